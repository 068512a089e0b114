"""The files of a run folder.

In: a run in progress. Out: the resumable `state`, the rows of `history` (also for `tensorboard`),
`kept_weights` of the last and best validations, and an `onnx_file`. `plot` draws the rows.
"""
