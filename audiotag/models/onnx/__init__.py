"""Models as ONNX files.

`export` writes one from a `Model`, with some layers replaced by those of `layers`; `in_folder` puts
one beside a model's weights. `model` computes with a file, without torch, after `graph` has checked
it.
"""
