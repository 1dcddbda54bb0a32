"""Programs about this repository, for `make`: nothing here is part of sentinel."""
