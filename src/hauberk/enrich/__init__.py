"""Records to who and where. State machines without I/O: they are told, they never ask."""
