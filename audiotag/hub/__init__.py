"""Models on the Hugging Face Hub.

In: the Hub id of a model, or a model folder. Out: a model folder, or a repository on the Hub.

- `pull` downloads a model; `converted` converts the weights of other publishers, `classifiers`
  looks at those of transformers; `hashes` checks files; `cache` lists and removes what is there.
- `push` uploads a model folder, with the model card that `card` writes.
- `client` parses Hub ids and opens the Hub's client; `failures` turns its errors into one sentence.
"""
