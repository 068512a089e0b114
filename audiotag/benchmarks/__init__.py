"""What `audiotag bench` measures on this machine: speed, memory, and how they compare.

`speed` measures `models` and `kernels` side by side, each with its `peak_memory`; `files_to_tags`
the command `audiotag tag` from outside, with its `cold_start`; `reading` the clips of a prepared
data set beside HDF5 files (`hdf5_baseline`). What is compared takes turns, so that whatever else
the machine does falls on all. `transformers` and `yamnet_onnx` are models to compare with.
"""
