"""Batches of waveforms for training.

In: a data set, and numbers of clips. Out: `crops` of these clips (`clips`), from decoded clips in
memory if they fit (`resident`), else from the disk (`streamed`).
"""
