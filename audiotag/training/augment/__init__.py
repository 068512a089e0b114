"""Augmentation: random changes of training clips, each a small object with its values.

`build` makes a recipe's augmentations; `waveforms` changes waveforms, `maps` power spectrograms and
log-mel maps. Each takes a batch and a seeded generator, and changes nothing in place. Random
numbers, except those of noise, are drawn on the CPU, so a run makes the same draws on every device.
"""
