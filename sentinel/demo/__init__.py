"""The reference platform: real servers, real processes, its own ledgers, and a chaos schedule."""
