"""Figures that a test measures are not those that `audiotag models` shows of this machine."""

import pytest


@pytest.fixture(autouse=True)
def own_speeds(tmp_path_factory, monkeypatch):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_ASSETS_CACHE", str(tmp_path_factory.mktemp("assets")))
