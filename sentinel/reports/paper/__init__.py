"""From facts to files: one document, three formats, written whole and remembered."""
