"""How good a model is, and how sure that is.

In: a model and a data set (`scoring`). `metrics` has the figures, `measurement` adds intervals by
`bootstrap`, `evaluate` sums up, `comparison` holds two models against each other, `thresholds` fits
the score from which on a tag is shown.
"""
