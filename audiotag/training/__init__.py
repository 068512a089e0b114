"""Training: resumable, on one process or many, from labels or from a teacher's scores.

In: a recipe (`recipe`) and a data set; out: a run folder (`run_folder`). `setup` brings a run's
parts together, `loop` runs it. A step's batch is made of micro batches. Each draws all its
randomness from a seed made of the recipe's seed, the step's number and its own, so that a resumed
run repeats the uninterrupted one, and it makes no difference which process computes it.
"""
