"""Recipes: TOML files with every value of a run, read, checked and written."""
