"""How good a model is, and how sure that is.

In: models and a data set; out: the results of `evaluate`. `scoring` computes the scores, `folds`
those of a cross-validation. `metrics` has the figures, `measurement` adds intervals by `bootstrap`,
`summary` sums up, `comparison` compares two models. `calibration` fits what scores are brought to,
so that a score is the share of tags that are right, and `thresholds` the score from which on a tag
is shown.
"""
