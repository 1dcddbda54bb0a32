"""Tasks: assigned in time, by whom, fairly; and the synthetic ones. Pure."""
