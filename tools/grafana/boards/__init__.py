"""One file per dashboard: what it shows, as a value `BOARD`. A new file is a new dashboard."""
