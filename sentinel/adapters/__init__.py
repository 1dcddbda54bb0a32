"""One file or room for each foreign system; their errors come out in our words (sentinel.errors)."""
