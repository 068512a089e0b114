"""Audio tagging with DCLS.

- `tag(audio)`: the tags of a recording: a path, a file object, bytes, or an array of samples.
- `tag_many(paths)`: the tags of many files, one result at a time.
- `embed(audio)`: the embeddings of a recording.
- `listen(source)`: events of live sound, as they begin and end.
- `labels()`: the classes of the embedded model.
- `load_tagger()`: a model in torch (a `Tagger`), to inspect, change and share. Without torch
  installed, a model that can only tag.

The rooms of the package, from the command line down; each may import only rooms below it:

- `cli`: what does a command take, print and return?
- `benchmarks`: how fast is a model here, and how much memory does it take?
- `training`: how does a recipe become a trained model?
- `live`: what begins and ends now, at a microphone, a camera, a stream?
- `evaluation`: how good is a model, and is it better than another?
- `data`: how do labelled recordings become a data set, and how is it read?
- `tagging`: how do files become tags, and in what format are they written?
- `hub`: how is a model downloaded from the Hugging Face Hub, and uploaded to it?
- `models`: what is in a model folder, and how does it become a model that computes?
- `backbones`: what networks are there?
- `layers`: how does a convolution with learnable spacings work, and how is it folded?
- `features`: how does a waveform become a log-mel map?
- `audio`: how does a file become a waveform, and how is that cut into windows?
- `architectures`: what are the names of the backbones?
- `label_set`: what are the classes of a model?
- `runtime`: how are the machine's files, devices, processes and memory used?
- `errors`: what errors can a user fix?
"""

import os
from importlib import import_module
from typing import TYPE_CHECKING

from audiotag.runtime.missing import explain_missing
from audiotag.runtime.version import __version__

if TYPE_CHECKING:
    from audiotag.live.from_python import listen
    from audiotag.tagging.from_python import embed, labels, tag, tag_many
    from audiotag.tagging.load import load_tagger
    from audiotag.tagging.tagger import Tagger

# Else onnxruntime 1.32 and later keeps a number of this device in the home folder, and sends it and
# what is run to its maker. It looks when it is imported.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
__all__ = ["Tagger", "__version__", "embed", "labels", "listen", "load_tagger", "tag", "tag_many"]
# Imported on first use: torch takes seconds, and `audiotag --help` must stay instant.
LAZY = {
    "Tagger": "audiotag.tagging.tagger",
    "embed": "audiotag.tagging.from_python",
    "labels": "audiotag.tagging.from_python",
    "listen": "audiotag.live.from_python",
    "load_tagger": "audiotag.tagging.load",
    "tag": "audiotag.tagging.from_python",
    "tag_many": "audiotag.tagging.from_python",
}


def __getattr__(name: str):
    if name not in LAZY:
        raise AttributeError(f"module 'audiotag' has no attribute {name!r}")
    try:
        return getattr(import_module(LAZY[name]), name)
    except ModuleNotFoundError as error:
        message = explain_missing(error, f"audiotag.{name}")
        raise (ModuleNotFoundError(message, name=error.name) if message else error) from error


def __dir__() -> list[str]:
    return sorted(__all__)
