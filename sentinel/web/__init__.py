"""The status page, the read API and /metrics. Everything here only reads."""
