"""The message for a package that is needed and not installed."""

# For each module that may be missing: its usual name, and the extra that installs it.
PACKAGES = {
    "torch": ("PyTorch", "train"),
    # These are installed with PyTorch, the name that people know.
    "torchaudio": ("PyTorch", "train"),
    "torchvision": ("PyTorch", "train"),
    "timm": ("PyTorch", "train"),
    "DCLS": ("PyTorch", "train"),
    "pyarrow": ("pyarrow", "train"),
    "tomli_w": ("tomli-w", "train"),
    "onnx": ("onnx", "train"),
    "matplotlib": ("matplotlib", "train"),
    "h5py": ("h5py", "train"),
    "pooch": ("pooch", "train"),
    "transformers": ("transformers", "transformers"),
    "yt_dlp": ("yt-dlp", "youtube"),
    "imageio_ffmpeg": ("imageio-ffmpeg", "youtube"),
    "wandb": ("wandb", "wandb"),
    "sounddevice": ("sounddevice", "live"),
    "paho": ("paho-mqtt", "live"),
}


def explain_missing(error: ModuleNotFoundError, user: str) -> str | None:
    """One sentence with the line that installs a missing package.

    Args:
        error: What importing it raised.
        user: The command or function that needs it, such as "audiotag train".

    Returns:
        The sentence; None if no extra installs the module.
    """
    package = PACKAGES.get((error.name or "").partition(".")[0])
    if package is None:
        return None
    name, extra = package
    return f"{user} needs {name}: pip install 'audiotag-dcls[{extra}]'"
