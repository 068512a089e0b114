"""Files of every format, to be damaged; decoding in this process, or by helpers of a test's own."""

import sys

import pytest

from audiotag.audio import helpers as helpers_module
from audiotag.audio.helpers import Helpers
from tests.support.damage import intact

__all__ = ["intact"]


@pytest.fixture
def helpers(monkeypatch):
    """The helpers of this process, which has none at first."""
    made = Helpers()
    monkeypatch.setattr(helpers_module, "HELPERS", made)
    yield made
    for helper in list(made.free):
        helper.stop()


@pytest.fixture
def decoded_here(monkeypatch):
    """This process decodes, with what a test changes in it."""
    monkeypatch.setattr(sys, "frozen", True, raising=False)
    monkeypatch.setattr(helpers_module, "HELPERS", Helpers())
