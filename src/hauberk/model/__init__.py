"""The nouns: what flows through Hauberk. They do no I/O and know nobody."""
