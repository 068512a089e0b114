"""Distillation: learning from teachers.

In: waveforms and log-mel maps of training clips. Out: the teachers' scores, embeddings and feature
maps (`teachers`), scores raised by labels (`confirmed`), and the student's distance to embeddings
and maps (`embeddings`, `feature_maps`).
"""
