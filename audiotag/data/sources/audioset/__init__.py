"""AudioSet in each of the forms in which people have it; `open` finds out which one a folder is."""
