"""The public face: what `import audiotag` offers, and its examples, which run as they stand."""

import inspect
import os
import shutil
import subprocess
import sys
from dataclasses import fields
from importlib.resources import files
from pathlib import Path
from types import FunctionType

import pytest

import audiotag
from tests.support.hub_server import WRITE_TOKEN, LoopbackHub

ROOT = Path(__file__).parents[1]
METHODS = (FunctionType, classmethod, staticmethod)
PUBLIC = ("Tagger", "embed", "labels", "listen", "load_tagger", "tag", "tag_many")
EXAMPLES = f"""
import doctest, sys
sys.path.insert(0, {str(ROOT)!r})
from tests.test_public import public_objects
runner = doctest.DocTestRunner(optionflags=doctest.REPORT_NDIFF)
for name, value in public_objects().items():
    text = value.__doc__ or ""
    runner.run(doctest.DocTestParser().get_doctest(text, {{}}, name, None, None))
sys.exit(bool(runner.failures))
"""


def public_objects() -> dict[str, object]:
    """By name: the public functions, the class, and its methods that are ours."""
    found: dict[str, object] = {name: getattr(audiotag, name) for name in PUBLIC}
    for cls in audiotag.Tagger.__mro__:
        if cls.__module__.startswith("audiotag."):
            for name in vars(cls):
                method = inspect.getattr_static(audiotag.Tagger, name)
                if not name.startswith("_") and isinstance(method, METHODS):
                    found[f"Tagger.{name}"] = getattr(audiotag.Tagger, name)
    return found


def test_the_package_offers_these_names_and_its_version():
    assert set(audiotag.__all__) == {*PUBLIC, "__version__"}
    assert set(audiotag.__all__) <= set(dir(audiotag))
    for name in PUBLIC:
        assert getattr(audiotag, name).__name__ == name
    with pytest.raises(AttributeError, match="no attribute 'tagger_of_tomorrow'"):
        audiotag.tagger_of_tomorrow  # noqa: B018


def test_type_checkers_find_the_package_typed():
    assert (files("audiotag") / "py.typed").is_file()


def test_importing_the_package_imports_little():
    code = "import sys, audiotag; print({'torch', 'onnxruntime', 'numpy'} & sys.modules.keys())"
    run = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert run.stdout == "set()\n", run.stderr


def test_methods_are_found_to_look_at():
    assert {"Tagger.tag", "Tagger.from_pretrained", "Tagger.fold"} <= public_objects().keys()


@pytest.mark.parametrize("name", public_objects())
def test_it_has_an_example(name):
    assert ">>> " in (public_objects()[name].__doc__ or "")


@pytest.mark.slow
def test_examples_run_as_they_stand(tmp_path):
    """In a folder of the sample recordings, with a Hub on the loopback."""
    shutil.copytree(str(files("audiotag") / "assets" / "samples"), tmp_path / "samples")
    with LoopbackHub() as hub:
        environment = os.environ | {
            "PYTHONPATH": str(ROOT),
            "HF_ENDPOINT": hub.url,
            "HF_HOME": str(tmp_path / "hf"),
            "HF_TOKEN": WRITE_TOKEN,
            "HF_HUB_DISABLE_XET": "1",
        }
        run = subprocess.run(
            [sys.executable, "-c", EXAMPLES],
            cwd=tmp_path / "samples",
            env=environment,
            capture_output=True,
            text=True,
        )
    assert run.returncode == 0, run.stdout + run.stderr


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: audiotag.tag("cat.mp3", topk=3), r"tag\(\) .* 'topk'; did you mean 'top_k'\?"),
        (
            lambda: audiotag.Tagger.tag(None, "cat.mp3", treshold=0.5),
            r"tag\(\) .* 'treshold'; did you mean 'threshold'\?",
        ),
        (
            lambda: audiotag.Tagger.push_to_hub(None, "me/sounds", licence="mit"),
            r"push_to_hub\(\) .* 'licence'; did you mean 'license'\?",
        ),
        (lambda: audiotag.tag("cat.mp3", loud=True), "'loud'; choose from top_k, threshold, "),
        (lambda: audiotag.tag("cat.mp3", samplerate=1), "'samplerate'; did you mean 'sample_rate'"),
        (lambda: audiotag.tag_many(["cat.mp3"], windows=1), r"tag_many\(\) .* mean 'window'\?"),
        (lambda: audiotag.embed("cat.mp3", hops=1), r"embed\(\) .* 'hops'; did you mean 'hop'\?"),
        (lambda: audiotag.embed("cat.mp3", top_k=1), "'top_k'; choose from window, hop, "),
    ],
)
def test_a_wrong_option_is_refused_and_the_near_one_named(call, message):
    with pytest.raises(TypeError, match=message):
        call()


def test_options_of_python_are_those_of_the_library():
    from audiotag.hub.push import push
    from audiotag.tagging.tag import TagKeywords, TagOptions
    from audiotag.tagging.tagger import PushKeywords

    assert list(TagKeywords.__annotations__) == [field.name for field in fields(TagOptions)]
    keywords = inspect.signature(push).parameters.keys() - {"folder", "repo_id", "dry_run"}
    assert PushKeywords.__annotations__.keys() == keywords
