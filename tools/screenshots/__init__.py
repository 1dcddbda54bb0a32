"""Pictures of every page from a demo under chaos: to be looked at, not compared."""
