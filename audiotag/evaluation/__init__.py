"""How good a model is, and how sure that is.

In: models and a prepared data set. Out: figures with intervals (`evaluate`).

- `scoring` computes the scores of the clips; `folds` those of a cross-validation; `hearing` cuts
  clips into windows as `audiotag tag` does; `stored_scores` reads scores from files.
- `metrics` computes the figures, `bootstrap` their intervals, `measurement` both; `summary` keeps
  what is stored; `comparison` compares two models.
- `held_out` finds the clips that a model was not trained on.
- `calibration` fits scores to be probabilities; `thresholds` fits the lowest score of a tag.
"""
