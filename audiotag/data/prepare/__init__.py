"""Making a data set: planned, cut, checked for duplicates, written part by part, merged, verified.

A part is a shard and its rows of the index. A run that was killed resumes after the last part that
is on the disk, and ends in the same bytes. Several machines may each prepare a share of the work.
"""
