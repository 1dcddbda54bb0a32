"""The status page and its live channel: what is shown, as values; how it follows what changes."""
