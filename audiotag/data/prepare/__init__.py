"""Preparing a data set.

In: a source of recordings. Out: shards and an index. `plan` stores the settings; `clips` cuts
recordings; `duplicates` and `shared_labels` find repeated clips; `prepare` writes `parts`; `merge`
joins them; `verify` checks the result.

A part is a shard and its rows of the index. A killed run resumes after the last part on the disk,
and ends with the same bytes. Several machines may each prepare a share of the work.
"""
