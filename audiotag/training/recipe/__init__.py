"""Recipes: TOML files with every value of a run.

In: TOML text, and changes of single values. Out: a checked `Recipe`. `sections` has the values with
their defaults and limits, `toml` reads and writes them, `checks` has the rules between them, and
`finetune` chooses a recipe for a data set.
"""
