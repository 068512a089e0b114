"""Published models by name, from a server that plays the Hub, Zenodo and GitHub."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from audiotag.label_set import Labels
from tests.support import reference_models
from tests.support.hub_client import CLOSED_PORT, commands, run_alone, run_python, variables
from tests.support.hub_server import Reply
from tests.support.mirror import LoopbackMirror
from tests.support.publishers import (
    ON_GITHUB,
    ON_HUB,
    ON_ZENODO,
    RECORD,
    narrow_ced,
    publish,
    small_mn,
    to_pt,
    to_safetensors,
)

FRONT_ENDS = {
    "mn10_as_hop_5": {"hop_length": 160},
    "mn10_as_hop_15": {"hop_length": 480},
    "mn10_as_hop_20": {"hop_length": 640},
    "mn10_as_hop_25": {"hop_length": 800},
    "mn10_as_mels_40": {"n_mels": 40},
    "mn10_as_mels_64": {"n_mels": 64},
    "mn10_as_mels_256": {"n_mels": 256},
}
# Resolves names, and notes what would be converted instead of doing it.
RESOLVE = """
import hashlib, json
from audiotag.hub import published, pull
from audiotag.models.published.efficientat import UNKNOWN, read_mel_frames
from audiotag.models.published.names import MODELS
from audiotag.tagging.locate import model_folder
object.__setattr__(MODELS["mn04_as"], "checksum", None)  # other numbers are served here
found = {}
def note(name, weights, local_dir=None):
    content, names = weights.read_bytes(), [weights.stem]
    tells = model.startswith("mn")
    front_end = read_mel_frames(names, UNKNOWN, name).arguments if tells else {}
    found[model] = [hashlib.sha256(content).hexdigest(), front_end]
    return weights.parent
published.converted = pull.converted = note
for model in MODELS:
    model_folder(model)
print(json.dumps(found))
"""
ENGINE = """
import sys
from audiotag.tagging.open import open_engine
print(type(open_engine(sys.argv[1], device="cpu")).__name__, "torch" in sys.modules)
"""


class Trap:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


@pytest.fixture(scope="module")
def mn01() -> bytes:
    """A small EfficientAT file."""
    return small_mn()


@pytest.fixture(scope="module")
def ced_tiny() -> bytes:
    """The Hub's file of CED-tiny, with the reference's numbers."""
    keys = reference_models.ced_hub_keys("ced_tiny")
    state = reference_models.state_dict("ced_tiny")
    return to_safetensors({keys[key]: x for key, x in state.items() if key in keys})


@pytest.fixture(scope="module")
def narrow() -> bytes:
    """A file of a narrow CED."""
    return to_pt(narrow_ced())


@pytest.fixture
def mirror():
    with LoopbackMirror() as server:
        yield server


@pytest.fixture
def environment(mirror, tmp_path) -> dict[str, str]:
    """Variables of a user who knows this mirror alone, and has nothing downloaded."""
    return variables(tmp_path / "hf") | {"AUDIOTAG_MIRROR": mirror.url}


def files_below(environment) -> list[str]:
    """Names of all files in the assets cache."""
    return [x.name for x in Path(environment["HF_HOME"], "assets").rglob("*") if x.is_file()]


def test_every_name_is_that_of_its_file(mirror, environment):
    """From the address that its publisher gives, and read with its own front end."""
    ced = {"encoder.init_bn.running_mean", "encoder.time_pos_embed", "outputlayer.1.weight"}
    topel = {"bn0.weight", "stages.0.0.dwconv.weight", "head_audioset.weight"}
    expected = {}
    for number, name in enumerate((*ON_HUB, *ON_ZENODO, *ON_GITHUB)):
        keys = ced if name.startswith("ced") else topel
        content = to_safetensors({key: torch.full((2,), 1.0 * number) for key in keys})
        publish(mirror, name, content)
        expected[name] = [hashlib.sha256(content).hexdigest(), FRONT_ENDS.get(name, {})]
    ended = run_python(environment, RESOLVE)
    assert ended.code == 0, ended.err
    assert json.loads(ended.out) == expected
    for name in expected:  # nothing is downloaded without a word
        said = next(x for x in ended.err.splitlines() if x.startswith(f"{name}: downloading "))
        assert "MB, once, from http://127.0.0.1" in said and "licence: " in said
    assert "/mispeech/ced-base (licence: Apache-2.0)" in ended.err


@pytest.fixture(scope="module")
def tagged(ced_tiny, tmp_path_factory):
    """What `tag --model ced-tiny` does of a clip at its first use: variables, requests, the clip,
    and what the command left."""
    folder = tmp_path_factory.mktemp("first")
    noise = 0.1 * np.random.default_rng(0).standard_normal(2 * 16_000)
    soundfile.write(folder / "a.wav", noise, 16_000, subtype="FLOAT")
    with LoopbackMirror() as mirror:
        publish(mirror, "ced-tiny", ced_tiny)
        environment = variables(folder / "hf") | {"AUDIOTAG_MIRROR": mirror.url}
        return environment, mirror.requests, *_tagged(environment, folder / "a.wav")


def _tagged(environment, clip):
    options = ("--model", "ced-tiny", "--format", "jsonl", "--top-k", "527", "--threshold", "0")
    return clip, run_alone(environment, "tag", *options, str(clip))


@pytest.mark.slow
def test_a_name_tags_in_one_command_and_then_without_network_or_torch(tagged):
    environment, requests, clip, first = tagged
    assert first.code == 0, first.err
    assert "ced-tiny: downloading 22.0 MB, once, from" in first.err
    downloads = [x for x in requests if x.startswith("GET /large/") and "=" not in x]
    assert len(downloads) == 1 and not any(".py" in x for x in requests)
    alone = environment | {"AUDIOTAG_MIRROR": CLOSED_PORT}
    again = _tagged(alone, clip)[1]
    assert (again.code, again.out, again.err) == (0, first.out, "")
    assert run_python(alone, ENGINE, "ced-tiny").out.split() == ["OnnxTagger", "False"]


@pytest.mark.slow
def test_scores_of_a_name_are_those_of_the_published_network(tagged):
    """The reference's numbers in a network that its stored logits have shown to be right."""
    import timm

    from audiotag.backbones import ced
    from audiotag.features.ced import CedMel

    _, _, clip, first = tagged
    network = timm.create_model("ced_tiny").eval()
    network.load_state_dict(ced.from_published(reference_models.state_dict("ced_tiny"), network))
    samples, _ = soundfile.read(clip, dtype="float32")
    with torch.inference_mode():
        expected = network(CedMel()(torch.from_numpy(samples)[None]))[0].sigmoid().numpy()
    found = {tag["label"]: tag["score"] for tag in json.loads(first.out)["tags"]}
    scores = [found[name] for name in Labels.audioset().names]
    assert np.ptp(scores) > 0.5
    np.testing.assert_allclose(scores, expected, atol=1e-4)


@pytest.mark.slow
def test_a_name_on_github_is_kept_listed_and_removed(mirror, environment, mn01, tmp_path):
    publish(mirror, "mn10_as_hop_5", mn01)
    with commands(environment) as run:
        folder = Path(run("pull", "mn10_as_hop_5").out.strip())
        assert {x.name for x in folder.iterdir()} >= {"config.json", "model.onnx"}
        front_end = json.loads((folder / "config.json").read_text())["front_end"]
        assert front_end["hop_length"] == 160
        asked = len(mirror.requests)
        assert run("pull", "mn10_as_hop_5").out.strip() == str(folder)
        assert len(mirror.requests) == asked
        listed = run("models").out
        assert "mn10_as_hop_5  mn01_as, 527 classes" in listed and "revision v0.0.1" in listed
        exported = run("export", "mn10_as_hop_5", tmp_path / "a.onnx")
        assert exported.code == 0 and len(mirror.requests) == asked
        elsewhere = run("pull", "mn10_as_hop_5", "--local-dir", tmp_path / "here")
        assert elsewhere.out.strip() == str(tmp_path / "here")
        assert (tmp_path / "here" / "config.json").is_file()
        size = (folder / "model.onnx").stat().st_size
        small = run("pull", "mn10_as_hop_5", "--int8")  # random weights, so small changes
        assert small.code == 0 and "mn10_as_hop_5: int8, " in small.err
        assert "changes the scores of 10 sample clips by 0" in small.err
        assert (folder / "model.onnx").stat().st_size < size
        assert "audiotag export --int8 makes" in run("pull", "me/birds", "--int8").usage_error
        assert run("models", "--remove", "mn10_as_hop_5").code == 0
        assert "mn10_as_hop_5" not in run("models").out.partition("Architectures")[0]
    assert files_below(environment) == []


@pytest.mark.slow
def test_a_file_on_zenodo_has_the_checksum_that_zenodo_states(mirror, environment, narrow):
    name = "convformer_audio_s18"
    publish(mirror, name, narrow)
    mirror.altered[ON_ZENODO[name]] = narrow[:-1] + b"x"
    with commands(environment) as run:
        error = run("pull", name).error
        assert error.startswith("Error: convformer_audio_s18.pth from http://127.0.0.1")
        assert "differs from its checksum and was not kept; try again" in error
        assert files_below(environment) == []
        mirror.altered.clear()
        assert run("pull", name).code == 0
        assert run("pull", name, "--verify").code == 0
        file = next(Path(environment["HF_HOME"], "assets").rglob("*.pth"))
        file.write_bytes(b"damaged")
        assert run("pull", name, "--verify").code == 0 and file.read_bytes() == narrow


PAGE = b"  <!DOCTYPE html><html><body>Please sign in</body></html>"


@pytest.mark.parametrize("name", ["mn01_as", "convnext_dcls_audio_tiny"])
def test_what_goes_wrong_is_said_and_nothing_is_kept(mirror, environment, mn01, name):
    with commands(environment) as run:
        mirror.records[RECORD] = {"other.pth": b""}
        gone = run("pull", name).error
        assert "look for it on" in gone and "audiotag convert FILE FOLDER" in gone
        publish(mirror, name, mn01)
        part = (ON_GITHUB | ON_ZENODO)[name]
        mirror.fail(part, 503)
        assert "fails (status 503); try again later" in run("pull", name).error
        mirror.reply(part, Reply(PAGE, headers={"Content-Type": "text/html; charset=utf-8"}))
        assert "check whether the network asks to sign in" in run("pull", name).error
        mirror.reply(part, Reply(PAGE))
        error = run("pull", name).error
        assert "asks to sign in" in error or "differs from its checksum" in error
        half = Reply(mn01[: len(mn01) // 2], headers={"Content-Length": str(len(mn01))})
        half.headers["Connection"] = "close"
        mirror.reply(part, half)
        assert f"{name} came incomplete from" in run("pull", name).error
        loop = Reply(b"", 302, {"Location": f"{mirror.url}/{part}"})
        mirror.reply(part, loop, 40)
        assert "gives something else than" in run("pull", name).error
        mirror.heal()
        assert files_below(environment) == []
        full = "import shutil, sys\nshutil.disk_usage = lambda path: (9, 9, 9)\n"
        full = full.replace("(9, 9, 9)", "type('Usage', (), {'free': 9})")
        full += f"from audiotag.cli import main\nsys.argv = ['audiotag', 'pull', '{name}']\nmain()"
        error = run_python(environment, full).err
        assert "No space left on device; make room, or set HF_HOME" in error
        assert files_below(environment) == []
    closed = run_alone(environment | {"AUDIOTAG_MIRROR": CLOSED_PORT}, "pull", name)
    assert "cannot be reached (ConnectionError); check the network" in closed.error
    offline = run_alone(environment | {"HF_HUB_OFFLINE": "1"}, "pull", name)
    assert f"{name} is not in the cache, and HF_HUB_OFFLINE forbids to fetch it" in offline.error


def test_a_record_that_is_a_page_is_told(mirror, environment):
    mirror.reply(f"/api/records/{RECORD}", Reply(PAGE, headers={"Content-Type": "text/html"}))
    error = run_alone(environment, "pull", "convnext_dcls_audio_tiny").error
    assert "check whether the network asks to sign in" in error


@pytest.mark.slow
def test_a_name_on_the_hub_says_what_goes_wrong(mirror, environment, ced_tiny):
    with commands(environment) as run:
        assert "there is no mispeech/ced-tiny" in run("pull", "ced-tiny").error
        publish(mirror, "ced-tiny", ced_tiny[:-4])
        assert "cannot be read" in run("pull", "ced-tiny").error
    closed = run_alone(environment | {"AUDIOTAG_MIRROR": CLOSED_PORT}, "pull", "ced-mini")
    assert "cannot be reached" in closed.error


@pytest.mark.slow
def test_a_file_that_asks_for_code_is_refused_and_not_kept(mirror, environment, tmp_path):
    publish(mirror, "mn01_as", to_pt({"model": Trap(tmp_path / "ran")}))
    error = run_alone(environment, "tag", "--model", "mn01_as", "a.wav").error
    assert "was refused and nothing in it was run" in error
    assert not (tmp_path / "ran").exists() and files_below(environment) == []


def test_a_checksum_that_is_known_is_looked_at(mirror, environment, mn01):
    publish(mirror, "mn04_as", mn01)
    assert "differs from its checksum" in run_alone(environment, "pull", "mn04_as").error


def test_names_that_are_none(environment):
    with commands(environment) as run:

        def said(name: str) -> str:
            return run("tag", "--model", name, "a.wav").error

        assert said("ced-smal") == "Error: no model 'ced-smal'; did you mean ced-small?"
        assert "did you mean mn40_as_ext" in said("MN40_AS_EXT")
        assert said("ced_tiny").endswith("the model with published weights is ced-tiny")
        assert "an architecture without weights" in said("convnext_dcls_audio_atto")
        for dense in ("convnext_audio_tiny", "fastvit_audio_sa24"):
            dcls = dense.replace("_audio_", "_dcls_audio_")
            message = f"links it to the file of {dcls}, from which its own cannot be told"
            assert message in said(dense)
        assert "give a model folder, an .onnx file, a Hub id" in said("nothing-like-it")
        assert "did you mean ced-base?" in run("pull", "ced-bse").usage_error
        assert "leave out --revision" in run("pull", "ced-base", "--revision", "v1").usage_error


def test_convert_takes_names_that_can_be_had(environment, tiny_tagger, tmp_path):
    tiny_tagger.save(tmp_path / "there")
    with commands(environment) as run:
        for name, said in (
            ("ced-smal", "did you mean ced-small?"),
            ("convnext_audio_tiny", "from which its own cannot be told"),
            ("nothing-like-it", "'nothing-like-it' does not exist"),
        ):
            assert said in run("convert", name, tmp_path / "out").usage_error
        error = run("convert", "ced-tiny", tmp_path / "out", "--mels", "64").usage_error
        assert "of ced-tiny are known; leave out --arch, --mels and --hop" in error
        error = run("convert", "ced-tiny", tmp_path / "there").error
        assert "already holds a model; delete it or name another folder" in error
    assert not (tmp_path / "out" / "config.json").exists()


def test_a_model_folder_of_the_name_goes_first(environment, tiny_tagger, make_wav, tmp_path):
    import os

    tiny_tagger.save(tmp_path / "mn10_as")
    make_wav(tmp_path / "a.wav", 3.0)
    code = "import os, sys; os.chdir(sys.argv[1]); from audiotag.tagging.locate import model_folder"
    code += "; print(model_folder('mn10_as'))"
    assert run_python(environment, code, os.fspath(tmp_path)).out.strip() == "mn10_as"


def test_without_torch_it_is_said_before_anything_is_downloaded(mirror, environment):
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda name, *a: None if name == 'torch' else find(name, *a)\n"
        "sys.argv = ['audiotag', 'tag', '--model', 'ced-tiny', 'a.wav']\n"
        "from audiotag.cli import main; main()"
    )
    error = run_python(environment, code).err
    assert error.startswith("Error: ced-tiny is converted by PyTorch when it is first used")
    assert "pip install 'audiotag-dcls[train]'" in error and mirror.requests == []


def test_the_default_starts_without_what_downloads(environment, make_wav, tmp_path):
    clip = str(make_wav(tmp_path / "a.wav", 3.0))
    code = (
        "import sys\nfrom audiotag.cli import main\n"
        "sys.argv = ['audiotag', 'tag', sys.argv[1], '-o', sys.argv[2], '--format', 'csv']\n"
        "try: main()\nexcept SystemExit: pass\n"
        "print({'pooch', 'requests', 'torch', 'huggingface_hub'} & set(sys.modules))"
    )
    ended = run_python(environment, code, clip, str(tmp_path / "out.csv"))
    assert ended.out.strip() == "set()" and (tmp_path / "out.csv").exists()
