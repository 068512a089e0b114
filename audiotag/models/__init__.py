"""A model: front end, backbone and labels, in a folder of files.

In: a model folder, or a published checkpoint. Out: an `Engine` (`engine`), which computes scores:
a `Model` in torch (`model`), an `OnnxModel` without torch (`onnx`), or another library's
`Classifier` (`transformers`).

- `folder`: the names of the files. `config`: `config.json`; `checks`: the values it may hold.
- `build`, `size_limit`: from a config to a network. `weights_file`: facts about the weights,
  without torch.
- `computing`: PyTorch's errors as one sentence.
- `calibration`: from a model's scores to probabilities.
- `provenance`, `metrics_row`, `evaluation_record`: what a model was trained on, the figures of its
  training, and those of its evaluation.
- `published`: checkpoints and figures that others published.
"""
