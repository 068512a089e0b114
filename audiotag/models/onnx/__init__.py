"""Models as ONNX files: `export` writes one, `in_folder` one beside a model's weights, and `model`
computes with it, without torch."""
