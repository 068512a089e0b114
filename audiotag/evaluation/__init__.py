"""How good a model is, and how sure that is.

In: models and a data set; out: the results of `evaluate`. `scoring` computes the scores, `folds`
those of a cross-validation. `metrics` has the figures, `measurement` adds intervals by `bootstrap`,
`summary` sums up, `comparison` compares two models, and `thresholds` fits the score from which on a
tag is shown.
"""
