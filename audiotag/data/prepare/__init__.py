"""Making a data set: planned, cut, checked for duplicates, written part by part, merged, verified.

A run that was killed resumes after the last part that is on the disk, and ends in the same bytes.
"""
