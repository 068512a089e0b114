"""Speed and memory on this machine, measured in turn: models, kernels, files, data."""
