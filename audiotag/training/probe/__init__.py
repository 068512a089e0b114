"""The probe: a new head, fitted by logistic regression to the outputs of the frozen backbone.

In: a model, clips and their labels. Out: a fitted last layer (`head`, `regression`), and its
cross-validated figures (`probe`).
"""
