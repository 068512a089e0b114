"""Models on the Hugging Face Hub.

`pull` gives the folder of a Hub id, from the cache where it is there; `push` sends a folder with
the card that `card` writes; `cache` lists and frees what was downloaded. `failures` turns what the
network does into one sentence.
"""
