"""From files to tags: the heart of `audiotag tag`.

In: paths and the name of a model (`locate`, `open`). `pipeline` decodes ahead and scores windows in
batches, `tag` pools them into results (`results`, which a `notebook` draws). Out: text in the
formats of `formats` and `html`, to the places that `outputs` plans, resumed by `resume`. `tagger`
has the class for Python, and `from_python` the functions.
"""
