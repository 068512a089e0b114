"""What a command says where a package that it needs is not installed."""

import click

# By the module that cannot be imported: what people call it, and the extra that brings it.
PACKAGES = {
    "torch": ("PyTorch", "train"),
    # These come with PyTorch, which is what people know.
    "torchaudio": ("PyTorch", "train"),
    "torchvision": ("PyTorch", "train"),
    "timm": ("PyTorch", "train"),
    "DCLS": ("PyTorch", "train"),
    "pyarrow": ("pyarrow", "train"),
    "tomli_w": ("tomli-w", "train"),
    "onnx": ("onnx", "train"),
    "matplotlib": ("matplotlib", "train"),
    "h5py": ("h5py", "train"),
    "yt_dlp": ("yt-dlp", "youtube"),
    "imageio_ffmpeg": ("imageio-ffmpeg", "youtube"),
    "wandb": ("wandb", "wandb"),
}


def explain_missing(error: ModuleNotFoundError, command: str) -> click.ClickException | None:
    """The message of a command that needs a package which is not there.

    Args:
        error: What importing it raised.
        command: The command, such as "train".

    Returns:
        One sentence with the line that installs it; None where no extra brings the module.
    """
    package = PACKAGES.get((error.name or "").partition(".")[0])
    if package is None:
        return None
    name, extra = package
    return click.ClickException(
        f"audiotag {command} needs {name}: pip install 'audiotag-dcls[{extra}]'"
    )
