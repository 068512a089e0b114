"""Where recordings come from: a folder, a table, or a published collection.

Each source gives recordings in a fixed order, with labels, split, fold and group.
"""
