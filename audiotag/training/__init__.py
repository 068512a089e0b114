"""Training: resumable, on one process or many, from labels or from a teacher's scores.

In: a recipe (`recipe`) and a data set; out: a run folder (`run_folder`). `setup` brings a run's
parts together (`run`), and `loop` trains: `batches` prepares micro batches, `losses` compares them
with labels and teachers (`distill`), `steps` moves the weights (`optim`), `saver` writes.

A step's batch is made of micro batches. Each draws all its random numbers from a seed made of the
recipe's seed, the step's number and its own. So a resumed run repeats the uninterrupted one, and
it makes no difference which process computes a micro batch.
"""
