"""What others wrote, read strictly and shown harmlessly: expressions, JSON, names of hosts, text. Pure."""
