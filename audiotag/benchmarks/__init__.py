"""What `audiotag bench` measures on this machine: speed, memory, and how they compare.

In: names of models, or a prepared data set. Out: tables of figures, which `plot` draws. All that is
compared is run in turn, so that other load on the machine slows all of it alike.

- `speed`: time and `peak_memory` of `models`, and of building DCLS `kernels`.
- `files_to_tags`: the command `audiotag tag`, as a user runs it, and its `cold_start` in phases.
- `reading`: reading clips from a prepared data set, and from HDF5 files (`hdf5_baseline`).
- `transformers`, `yamnet_onnx`: models to compare with.
"""
