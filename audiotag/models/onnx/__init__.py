"""Models as ONNX files: `export` writes one, `model` computes with it, without torch."""
