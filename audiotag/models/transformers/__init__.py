"""Audio classifiers of the transformers library: models of the Hub that others trained.

`folder` says what a folder of one holds, without PyTorch. `config` builds its network and its
feature extractor from that, and nothing else: no code of the folder is run, and no pickle read.
`classifier` computes scores and embeddings.
"""
