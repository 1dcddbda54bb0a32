"""Runbooks: Markdown with executable steps, read strictly, planned without a shell, run dry."""
