"""The memory of a check over many looks: delivery, pending, canaries, cross-check, synthetic tasks."""
