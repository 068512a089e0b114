"""Sources of recordings.

In: a folder, a table, or a published collection. Out: recordings in a fixed order, with labels,
split, fold and group.
"""
