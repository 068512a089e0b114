"""Distillation: learning from teachers.

In: waveforms and log-mel maps of training clips. Out: the teachers' scores, embeddings and feature
maps (`teachers`), and the student's distance to them (`embeddings`, `feature_maps`).
"""
