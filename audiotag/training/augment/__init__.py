"""Augmentation: random changes of clips as they are learnt, each a small object with its values.

`build` makes a recipe's augmentations; `waveforms` changes waveforms, `maps` power spectrograms and
log-mel maps. Each takes a batch and a seeded generator, and changes nothing in place. Random
numbers are drawn on the CPU, but for noise: a run makes the same draws on every device.
"""
