"""How far a command is, shown on a terminal."""
