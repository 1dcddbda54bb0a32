"""Runbooks on this platform: where they lie, their parameters here, and the hands that run them."""
