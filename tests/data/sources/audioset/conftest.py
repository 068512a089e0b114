"""AudioSet"s parquet files, written small."""

from tests.support.audioset_parquet import folder

__all__ = ["folder"]
