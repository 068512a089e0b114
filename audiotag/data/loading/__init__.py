"""Crops of many clips at once, from memory where they fit (`resident`), else from the disk
(`streamed`).
"""
