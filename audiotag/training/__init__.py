"""Training: resumable, in one process or many, from labels or from teachers.

In: a recipe (`recipe`) and a prepared data set. Out: a run folder (`run_folder`).

- `setup` builds the parts of a run (`run`): `model`, `student`, `schedule`, teachers (`distill`).
- `loop` trains: `sampling` and `batches` prepare micro batches with `augment`, `losses` compares
  outputs with labels and teachers, `steps` updates the weights with `optim`, `validation` measures,
  and `saver` writes.
- `finetune` adapts a trained model, starting from a `probe`. `cross_validation` and `sweep` train
  several runs.

The batch of a step consists of micro batches. Each draws all its random numbers from a seed that is
made of the recipe's seed, the number of the step and its own number. So a resumed run repeats the
uninterrupted one, and it does not matter which process computes a micro batch.
"""
