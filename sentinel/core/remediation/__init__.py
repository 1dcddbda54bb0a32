"""May something be done, and what: restarts with capped retries, brake, breaker. Pure."""
