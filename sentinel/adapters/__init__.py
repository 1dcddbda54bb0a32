"""One file per foreign system; their errors come out in our words (sentinel.errors)."""
