"""The command line: one file a command. A command parses, calls one function of a room, and prints."""
