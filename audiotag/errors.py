"""Errors that a user can act on: each message names the thing and the remedy."""


class AudioTagError(Exception):
    """Base class of errors of the input or the machine; the command line prints one line."""


class AudioError(AudioTagError):
    """An audio file that cannot be opened or decoded."""


class ModelError(AudioTagError):
    """A model folder, checkpoint or label set that cannot be used."""


class RecipeError(AudioTagError):
    """A training recipe with an unknown key or an impossible value."""


class DataError(AudioTagError):
    """A prepared data set that is missing, damaged or does not fit the model."""


class OutputError(AudioTagError):
    """A file or folder that cannot be written."""


class HubError(AudioTagError):
    """A request to the Hugging Face Hub, or another place of models, that failed."""
