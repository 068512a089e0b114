"""Models that others published.

In: a checkpoint file. Out: a model folder (`convert`). `layouts` tells the publishers apart,
`weights` reads the tensors without running anything in the file, `figures` are the authors' own.
"""
