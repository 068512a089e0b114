"""The tagger of a classifier of transformers."""

from audiotag.models.transformers.classifier import Classifier
from audiotag.tagging.tags_audio import TagsAudio


class ClassifierTagger(TagsAudio, Classifier):
    """A classifier of transformers that tags files: what `load_tagger` gives for one."""
