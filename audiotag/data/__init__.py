"""From recordings to a data set, and from a data set to batches.

In: labelled recordings. Out: a prepared data set, that is shards (tar files of clips) with an index
(`shards`, `index`); and its clips, singly or in batches.

- `sources` lists `recordings` and their labels; `prepare` cuts them into clips and writes shards.
- `dataset` reads one clip, `loading` many at once for training; `targets` has their labels.
- `info` reads `dataset.json`; `summary` counts from the index; `plot` draws the counts.
"""
