"""A model: front end, backbone and labels, in a folder of files.

In: a model folder (`folder` names its files, `config` reads and writes `config.json`). Out: a
`Model` in torch (`model`, whose network `build` makes), or one for onnxruntime (`onnx`); both are
an `Engine` (`engine`). `provenance`, `metrics_row` and `evaluation_record` read and write what
a folder says of the model's training and figures; `published` reads what others published.
"""
