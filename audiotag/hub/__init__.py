"""Models on the Hugging Face Hub.

`pull` gives the model folder of a Hub id, from the cache if it is there; `converted` makes one from
other publishers' weights; `push` uploads a model folder with the card that `card` writes; `cache`
lists and removes what was downloaded. `client` names models and opens the Hub's client; `failures`
turns the client's errors into one sentence.
"""
