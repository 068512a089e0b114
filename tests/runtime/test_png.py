"""PNG files, read back by Pillow."""

from io import BytesIO

import numpy as np
import pytest

from audiotag.runtime.png import MOST_COLOURS, to_png

Image = pytest.importorskip("PIL.Image")


@pytest.mark.parametrize("shape", [(1, 1), (3, 4), (64, 401), (2, 20_001)])
def test_pixels_have_their_colours(shape):
    random = np.random.default_rng(0)
    pixels = random.integers(0, MOST_COLOURS, shape, np.uint8)
    palette = random.integers(0, 256, (MOST_COLOURS, 3), np.uint8)
    read = np.asarray(Image.open(BytesIO(to_png(pixels, palette))).convert("RGB"))
    assert np.array_equal(read, palette[pixels])


def test_a_smooth_picture_is_small():
    pixels = np.repeat(np.arange(16, dtype=np.uint8)[:, None], 10_000, axis=1)
    assert len(to_png(pixels, np.zeros((16, 3), np.uint8))) < 2_000
