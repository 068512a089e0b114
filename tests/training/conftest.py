"""Tones of three pitches in two folds, and a recipe that learns them."""

from tests.support.tones import data, recipe

__all__ = ["data", "recipe"]
