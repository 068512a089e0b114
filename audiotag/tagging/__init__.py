"""From files to tags: what `audiotag tag` and `audiotag embed` do.

In: paths, and the name of a model. Out: results, as Python objects or as text in files.

- Models: `locate` finds the folder, `open` the engine, `load` a `tagger`; `catalogue` lists them.
- Computing: `pipeline` decodes ahead and computes windows in batches; `tag` pools scores into
  `results`, which `notebook` draws. `from_python` has the functions for Python.
- Text: `formats` and `html`, with `text`, `csv_rows` and `chains`. `outputs` decides where it goes,
  `provenance` says how it was made, `resume` reads unfinished outputs.
- Embeddings: `embeddings` writes files, `embedding_store` holds them until they are complete.
"""
