"""Tasks in PostgreSQL: the statements, and what they answer."""
