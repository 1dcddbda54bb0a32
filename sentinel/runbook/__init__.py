"""Runbooks: Markdown with executable steps. Read strictly, planned without a shell, run dry first."""
