"""A component: what it needs, how it stands, and what befalls it. Pure."""
