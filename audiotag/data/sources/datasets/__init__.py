"""Data sets in the layouts of the `datasets` library, as most on the Hugging Face Hub are: parquet
or Arrow files with audio in them, or audio files with a metadata table or a folder for each class.
"""
