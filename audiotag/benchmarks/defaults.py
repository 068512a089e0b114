"""Defaults of the benchmarks: how often and how much is measured."""

MODEL_RUNS = 10  # of each model, or of each way to build kernels, in turn
FILES_RUNS, DATA_RUNS = 3, 5
FILES = 500  # recordings that are tagged
