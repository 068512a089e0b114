"""A model in an ONNX file, computed by onnxruntime on the CPU.

It needs no torch, which would take seconds to import.
"""

import os
import re
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import lru_cache, partial
from pathlib import Path
from typing import Self

import numpy as np
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as failures

from audiotag.errors import ModelError
from audiotag.features.mel_bank import MelBank
from audiotag.features.numpy_front_ends import FRONT_ENDS, check_numpy_front_end
from audiotag.models.config import ModelConfig
from audiotag.models.engine import Configured
from audiotag.models.folder import regular
from audiotag.models.onnx.deadline import DEADLINE, SECONDS
from audiotag.models.onnx.graph import check_graph, unreadable
from audiotag.runtime.json_text import parse_json, shown

METADATA_KEY = "audiotag"  # config.json's text and "input"
MEL_BANK_KEY = "audiotag.mel_bank"  # of a file that takes log-mel maps
WAVEFORM, LOG_MEL = "waveform", "log_mel"  # inputs
SCORES, EMBEDDING = "scores", "embedding"  # outputs
FATAL_ONLY = 4  # onnxruntime's log severity; its errors are raised, and reported in our words
UNREADABLE = (
    failures.InvalidProtobuf,
    failures.InvalidGraph,
    failures.InvalidArgument,
    failures.NotImplemented,
    failures.RuntimeException,
    failures.Fail,
)
# A graph of a few bytes can ask for any amount of memory. One window of 10 s takes a large model
# 0.3 GB, an hour at once the embedded model 3 GB.
MEMORY, MEMORY_A_THREAD = 3 * 2**30, 2**30  # bytes at most
USUAL_ARENA = (-1, -1, -1)  # how it grows, and its pieces: as onnxruntime thinks best
# Words in onnxruntime's errors when memory runs out; these errors have no type of their own.
NO_MEMORY = re.compile(r"alloc|memory", re.IGNORECASE)


class OnnxModel(Configured):
    """Waveforms in, scores of named classes out; computes on the CPU.

    Several windows are computed at the same time, each in one thread: threads that share a window
    mostly wait for each other, above all on busy cores.

    Attributes:
        name: Its name in messages.
        config: The content of a `config.json`, from the file's metadata.
        is_gpu: False.
    """

    is_gpu = False

    def __init__(
        self,
        session: onnxruntime.InferenceSession,
        config: ModelConfig,
        input: str,
        features: Callable[[np.ndarray], np.ndarray] | None,
        name: str,
        threads: int,
    ) -> None:
        self.name, self.config = name, config
        self._session, self._input, self._features = session, input, features
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="onnx")

    @classmethod
    def load(cls, path: Path | str, threads: int | None = None, name: str | None = None) -> Self:
        """The model of a file written by `audiotag export`.

        Args:
            path: An ONNX file.
            threads: Windows computed at once; if None, OMP_NUM_THREADS, or the number of cores.
            name: Its name in messages; the file unless given.

        Raises:
            ModelError: If it cannot be read, or is not from `audiotag export`.
        """
        path = Path(path)
        try:
            content = regular(path).read_bytes()
        except OSError as error:
            raise ModelError(f"{path} cannot be read: {error.strerror}") from error
        return cls.from_bytes(content, str(path), threads, name or path.stem)

    @classmethod
    def from_bytes(
        cls, content: bytes, source: str, threads: int | None = None, name: str | None = None
    ) -> Self:
        """As `load`, from the content of a file; `source` is the file's name in messages."""
        check_graph(content, source)
        try:
            session = onnxruntime.InferenceSession(
                content, _options(), providers=["CPUExecutionProvider"]
            )
        except UNREADABLE as error:
            raise ModelError(unreadable(source)) from error
        metadata = session.get_modelmeta().custom_metadata_map
        config, input = _read_metadata(metadata, source)
        _check_ends(session, input, len(config.labels), source)
        features = _front_end(metadata, config, source) if input == LOG_MEL else None
        count = _threads() if threads is None else threads
        return cls(session, config, input, features, name or source, count)

    @property
    def sample_rate(self) -> int:
        """Sample rate of its input, Hz."""
        return self.config.front_end_args["sample_rate"]

    def score_windows(self, waveforms: np.ndarray, double: bool = False) -> np.ndarray:
        """Scores (B, classes) in [0, 1] of waveforms (B, T) float32; see `Engine.score_windows`.
        The file computes them in single precision, and has no logits.

        Raises:
            ModelError: If they do not fit into memory at once.
        """
        scores = self._run(SCORES, waveforms)
        if scores.shape != (len(waveforms), len(self.labels)):
            raise ModelError(_miscounted(self.name, scores.shape[-1:], len(self.labels)))
        scores = self.calibrated(scores)
        return scores.astype(np.float64) if double else scores

    def embed_windows(self, waveforms: np.ndarray) -> np.ndarray:
        """Embeddings (B, D) of waveforms (B, T) float32; errors as `score_windows`."""
        return self._run(EMBEDDING, waveforms)

    def _run(self, output: str, waveforms: np.ndarray) -> np.ndarray:
        windows = (waveforms[i : i + 1] for i in range(len(waveforms)))
        run = onnxruntime.RunOptions()
        try:
            run_one = partial(self._run_one, output, run)
            with DEADLINE.of(run, len(waveforms)):
                return np.concatenate(list(self._threads.map(run_one, windows)))
        except (MemoryError, *UNREADABLE) as error:
            if run.terminate:
                raise ModelError(_endless(self.name, waveforms)) from error
            raise ModelError(_failure(error, self.name, waveforms)) from error
        except KeyboardInterrupt:  # else the process would end when all operators are done
            run.terminate = True
            raise

    def _run_one(
        self, output: str, run: onnxruntime.RunOptions, waveform: np.ndarray
    ) -> np.ndarray:
        """Output (1, K) of a waveform (1, T)."""
        inputs = waveform if self._features is None else self._features(waveform)
        return self._session.run([output], {self._input: inputs}, run)[0]


def _endless(name: str, waveforms: np.ndarray) -> str:
    return (
        f"{name} computed for more than {SECONDS:.0f} s for each window of {waveforms.shape[1]:,} "
        "samples and was ended; give shorter windows (--window), or another model"
    )


def _failure(error: Exception, name: str, waveforms: np.ndarray) -> str:
    count, length = waveforms.shape
    if isinstance(error, MemoryError) or NO_MEMORY.search(str(error)):
        return (
            f"{count} windows of this length do not fit into memory at once; "
            "give a smaller batch size (--batch-size) or shorter windows (--window)"
        )
    reason = str(error).partition("\n")[0][:200]
    return f"{name} cannot compute windows of {length:,} samples ({reason}); export it again"


@lru_cache(1)
def _limit_memory() -> None:
    """Give all of this process's sessions one allocator, which takes no more than a model needs."""
    limit = MEMORY + _threads() * MEMORY_A_THREAD
    kind = onnxruntime.OrtAllocatorType.ORT_ARENA_ALLOCATOR
    memory = onnxruntime.OrtMemoryInfo("Cpu", kind, 0, onnxruntime.OrtMemType.DEFAULT)
    with suppress(failures.Fail):  # an application has set its own
        onnxruntime.create_and_register_allocator(
            memory, onnxruntime.OrtArenaCfg(limit, *USUAL_ARENA)
        )


def _options() -> onnxruntime.SessionOptions:
    _limit_memory()
    options = onnxruntime.SessionOptions()
    options.log_severity_level = FATAL_ONLY
    # Read it as ONNX, the format that was checked: onnxruntime also has a format of its own.
    options.add_session_config_entry("session.load_model_format", "ONNX")
    options.add_session_config_entry("session.use_env_allocators", "1")
    options.enable_mem_pattern = False  # would plan the memory for each new length
    options.intra_op_num_threads = 1
    return options


def _threads() -> int:
    """Number of windows to compute at once."""
    wanted = os.environ.get("OMP_NUM_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _read_metadata(metadata: dict[str, str], source: str) -> tuple[ModelConfig, str]:
    """Config and input of a model."""
    if METADATA_KEY not in metadata:
        raise ModelError(
            f"{source}: an ONNX file without audiotag's labels and front end; make one with "
            "audiotag export MODEL OUT.onnx"
        )
    text = metadata[METADATA_KEY]
    try:
        config, input = ModelConfig.from_json(text), parse_json(text).get("input")
    except ModelError as error:
        raise _unreadable(source, error) from error
    missing = {"sample_rate", "hop_length"} - config.front_end_args.keys()
    if input not in (WAVEFORM, LOG_MEL) or missing:
        reason = f"no {missing.pop()}" if missing else f"its input is {shown(input)}"
        raise _unreadable(source, ValueError(reason))
    return config, input


def _check_ends(
    session: onnxruntime.InferenceSession, input: str, labels: int, source: str
) -> None:
    """Raise a ModelError if the inputs or outputs of a graph are not those in its metadata."""
    names = [x.name for x in session.get_inputs()]
    outputs = {x.name: x.shape for x in session.get_outputs()}
    if names != [input] or not {SCORES, EMBEDDING} <= outputs.keys():
        raise ModelError(
            f"{source}: takes {', '.join(names) or 'nothing'} and gives {', '.join(outputs)}, not "
            f"{input}, {SCORES} and {EMBEDDING}; make the file again with audiotag export"
        )
    count = outputs[SCORES][-1:]
    if any(isinstance(x, int) and x != labels for x in count):
        raise ModelError(_miscounted(source, count, labels))


def _miscounted(source: str, count: Sequence[int], labels: int) -> str:
    number = count[0] if count else "no"
    return (
        f"{source}: gives {number} scores for {labels} labels; make the file again with "
        "audiotag export"
    )


def _front_end(
    metadata: dict[str, str], config: ModelConfig, source: str
) -> Callable[[np.ndarray], np.ndarray]:
    """The front end of a model that takes log-mel maps."""
    check_numpy_front_end(config.front_end)
    try:
        bank = _mel_bank(metadata.get(MEL_BANK_KEY), config)
        return FRONT_ENDS[config.front_end](bank, config.front_end_args)
    except (KeyError, ValueError, TypeError, IndexError, ModelError) as error:
        raise _unreadable(source, error) from error


def _mel_bank(text: str | None, config: ModelConfig) -> MelBank:
    if text is not None:
        return MelBank.from_json(text)
    # Files of older versions do not hold it: torch builds it, which takes seconds.
    from audiotag.features.front_ends import build_mel_bank

    return build_mel_bank(config.front_end, config.front_end_args)


def _unreadable(source: str, error: Exception) -> ModelError:
    return ModelError(
        f"{source}: its audiotag metadata cannot be read ({error}); make the file again with "
        "audiotag export"
    )
