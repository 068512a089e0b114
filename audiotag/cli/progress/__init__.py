"""How far a command is, shown on standard error, and how it ends when Ctrl-C stops it."""
