"""Bytes to nouns. Pure: no clock, no I/O."""
