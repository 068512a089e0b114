"""Which parameters learn, and how fast.

In: a model and the recipe's [optim]. Out: an optimiser, with parameter groups and schedule
(`optim`), by depth of layers (`layer_depth`), without frozen parameters (`freezing`).
"""
