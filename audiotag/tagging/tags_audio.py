"""The method `tag` of every tagger, in torch or onnxruntime."""

from typing import Any, Unpack

from audiotag.audio.in_memory import as_input
from audiotag.models.engine import Engine
from audiotag.tagging.results import FileTags
from audiotag.tagging.tag import TagKeywords, options_from, tag_file


class TagsAudio:
    """An engine that tags recordings."""

    def tag(
        self: Engine,
        audio: Any,
        *,
        sample_rate: float | None = None,
        channels_last: bool = False,
        **options: Unpack[TagKeywords],
    ) -> FileTags:
        """Tags of a recording, the same as `audiotag tag` prints.

        Args:
            audio: A path; a binary file object or the bytes of a file; or an array of samples, (T,)
                or (channels, T), int16 or floating point in [-1, 1].
            sample_rate: Hz, of an array.
            channels_last: Whether an array is (T, channels).
            options: Fields of `tagging.TagOptions`.

        Raises:
            AudioError: If the recording cannot be decoded.
            TypeError, ValueError: If an option is unknown, its value is invalid, or an array is not
                as described.

        Example:
            >>> import audiotag
            >>> tagger = audiotag.load_tagger()
            >>> for segment in tagger.tag("guitar.mp3", timeline=True, window=4.0).segments:
            ...     print(segment.start, segment.end, segment.tags[0].label)
            0.0 4.0 Music
            1.59021875 5.59021875 Music
        """
        checked = options_from("tag", options, ["sample_rate", "channels_last"])
        return tag_file(self, as_input(audio, sample_rate, channels_last), checked)
