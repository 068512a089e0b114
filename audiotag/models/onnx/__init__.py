"""Models as ONNX files.

`export` writes one from a `Model`; `in_folder` one beside a model's weights;
`layers` are the layers that are replaced for that. `model` computes with a file, without torch, after `graph` has checked it.
"""
