"""From recordings to a data set, and from a data set to batches.

`sources` lists recordings and their labels; `prepare` cuts them into clips and writes shards (tar
files) with an index; `dataset` reads one clip, `loading` many at once for training; `info` is what
a data set says of itself, `summary` what is counted from its index, `plot` a picture of that.
"""
