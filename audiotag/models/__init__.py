"""A model: front end, backbone and labels, in a folder of files.

In: a model folder (`folder` names its files, `config` reads and writes `config.json`). Out: a
`Model` in torch (`model`), or one for onnxruntime (`onnx`); both are an `Engine` (`engine`).
`published` reads the checkpoints that others published. `provenance`, `metrics_row` and
`evaluation_record` read and write what training and evaluation leave beside a model.
"""
