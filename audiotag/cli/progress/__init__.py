"""The progress of a command on standard error, and its end when Ctrl-C or a signal stops it."""
