"""Published models by name, wherever a model is named: downloaded at the first use, from servers
that play the Hub, Zenodo and GitHub."""

from pathlib import Path

import numpy as np
import pytest
import soundfile

from audiotag.data.prepare.prepare import prepare
from audiotag.data.sources.csv_table import CsvSource
from audiotag.training.recipe.toml import dump_recipe, parse_recipe
from tests.support.hub_client import CLOSED_PORT, commands, variables
from tests.support.hub_server import Reply
from tests.support.mirror import LoopbackMirror
from tests.support.publishers import narrow_ced, publish, small_mn, to_pt, to_safetensors
from tests.support.tiny_models import TINY

GITHUB, HUB, ZENODO = "mn01_as", "ced-tiny", "convformer_audio_s18"
NAMES = (GITHUB, HUB, ZENODO)
HZ = {GITHUB: 32_000, HUB: 16_000, ZENODO: 16_000}  # of what is served here
LIMITS = "--set train.batch_size=2 --epochs 1 --device cpu"
# A command line for each place where a model is named, and what it makes. CED hears 16 kHz.
PLACES = {
    "labels": ("labels --model NAME", None),
    "tag": ("tag AUDIO --model NAME --format jsonl -o OUT/t.jsonl", "t.jsonl"),
    "embed": ("embed AUDIO --model NAME -o OUT/e.npz", "e.npz"),
    "evaluate": ("evaluate NAME DATA --resamples 0 --scores OUT/s.npz", "s.npz"),
    "compare": ("evaluate DEFAULT DATA --resamples 9 --compare NAME", None),
    "finetune": (f"finetune NAME --data DATA_AT_ITS_RATE --out OUT/f {LIMITS}", "f/config.json"),
    "model.init": ("train INIT --data DATA_AT_ITS_RATE --out OUT/i --set model.init=NAME", None),
    "distill.teacher": ("train RECIPE --data DATA --out OUT/d --set distill.teacher=NAME", None),
    "export": ("export NAME OUT/m.onnx", "m.onnx"),
    "pull": ("pull NAME --local-dir OUT/p", "p/model.safetensors"),
    "convert": ("convert NAME OUT/v", "v/model.safetensors"),
    "bench": ("bench models NAME --runs 1 --batch-size 1 --threads 1 --json", None),
}


# Of a name that is an architecture's too, bench models measures random weights: they take as long.
CASES = [(place, name) for place in PLACES for name in NAMES if place != "bench" or name == HUB]


@pytest.fixture(scope="module")
def mirror():
    with LoopbackMirror() as server:
        ced = narrow_ced()
        publish(server, GITHUB, small_mn())
        publish(server, HUB, to_safetensors(ced))
        publish(server, ZENODO, to_pt(ced))
        yield server


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> dict[str, Path]:
    """What command lines read, by the words that stand for it."""
    folder = tmp_path_factory.mktemp("files")
    rng, rows = np.random.default_rng(0), ["path,label,split"]
    for i in range(8):
        soundfile.write(folder / f"{i}.wav", 0.1 * rng.standard_normal(96_000), 32_000)
        rows.append(f"{i}.wav,{('Dog', 'Rain')[i % 2]},{'train' if i < 6 else 'valid'}")
    (folder / "t.csv").write_text("\n".join(rows))
    recipe = {
        "model": {"architecture": "convnext_dcls_audio_atto", "args": TINY},
        "data": {"label_set": "audioset", "crop_seconds": [3.0]},
        "optim": {"warmup_epochs": 0.0},
        "train": {"epochs": 1, "batch_size": 6},
    }
    (folder / "recipe.toml").write_text(dump_recipe(parse_recipe(recipe)))
    (folder / "init.toml").write_text(dump_recipe(parse_recipe(recipe | {"model": {}})))
    found = {"AUDIO": folder / "0.wav", "RECIPE": folder / "recipe.toml"}
    found["INIT"] = folder / "init.toml"
    for rate in (16_000, 32_000):
        found[str(rate)] = folder / str(rate)
        prepare(CsvSource(folder / "t.csv"), folder / str(rate), sample_rate=rate)
    return found | {"DATA": found["32000"], "DEFAULT": Path("default")}


@pytest.fixture(scope="module")
def run(mirror, tmp_path_factory):
    """Runs commands with nothing in the cache but what they have downloaded."""
    home = tmp_path_factory.mktemp("home")
    with commands(variables(home) | {"AUDIOTAG_MIRROR": mirror.url}) as command:
        yield command


def words(line: str, name: str, files: dict[str, Path], out: Path) -> list[str]:
    known = files | {"DATA_AT_ITS_RATE": files[str(HZ[name])], "NAME": name}
    found = [str(known.get(word, word)) for word in line.split()]
    return [x.replace("OUT/", f"{out}/").replace("=NAME", f"={name}") for x in found]


@pytest.mark.slow
@pytest.mark.parametrize(("place", "name"), CASES)
def test_a_name_is_taken_at_its_first_use(place, name, run, mirror, files, tmp_path):
    run("models", "--remove", name)
    line, made = PLACES[place]
    before = len(mirror.requests)
    ended = run(*words(line, name, files, tmp_path))
    assert ended.code == 0, ended.err
    assert len(mirror.requests) > before
    assert f"{name}: downloading " in ended.err and "(licence: " in ended.err
    if made is not None:
        assert (tmp_path / made).stat().st_size > 0
    if place not in ("pull", "convert"):  # which read the file again for each new folder
        before = len(mirror.requests)
        assert run("tag", files["AUDIO"], "--model", name).code == 0
        assert len(mirror.requests) == before


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """Runs commands without a network and with nothing in the cache."""
    home = tmp_path_factory.mktemp("alone")
    with commands(variables(home) | {"AUDIOTAG_MIRROR": CLOSED_PORT}) as command:
        yield command


@pytest.mark.parametrize(("place", "name"), CASES)
def test_without_a_network_each_place_says_so(place, name, alone, files, tmp_path):
    ended = alone(*words(PLACES[place][0], name, files, tmp_path))
    errors = [x for x in ended.err.splitlines() if x.startswith("Error: ")]
    assert ended.code == 1 and len(errors) == 1, ended.err
    assert "cannot be reached" in errors[0] and "check the network" in errors[0]


PAGE = b"  <!DOCTYPE html><html><body>Please sign in</body></html>"
SIGN_IN = Reply(PAGE, headers={"Content-Type": "text/html; charset=utf-8"})
HUB_FILE = "/mispeech/ced-tiny/resolve"
# The Hub's client then writes no further byte.
NO_ROOM = """
import errno, os
from huggingface_hub import file_download
def full(*args, **kwargs):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
file_download.http_get = full
"""


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("nothing there", "there is no mispeech/ced-tiny"),
        ("page", "does not answer as a Hub does; check AUDIOTAG_MIRROR, and whether the"),
        ("page for the file", "and its model.safetensors is damaged; choose another model"),
        ("half", "mispeech/ced-tiny came incomplete from http://127.0.0.1"),
        ("altered", "model.safetensors differed from the Hub's hash, and was removed"),
        ("no room", "No space left on device; make room, or set HF_HOME"),
    ],
)
def test_what_goes_wrong_on_the_hub_is_one_sentence_and_nothing_is_kept(wrong, said, tmp_path):
    home = tmp_path / "home"
    content = to_safetensors(narrow_ced())
    with LoopbackMirror() as hub:
        if wrong != "nothing there":
            publish(hub, HUB, content)
        if wrong == "page":
            hub.reply("/api/models/mispeech/ced-tiny", SIGN_IN, 9)
        elif wrong == "page for the file":
            hub.reply(f"{HUB_FILE}/main/model.safetensors", SIGN_IN, 9)
        elif wrong == "half":
            headers = {"Content-Length": str(len(content)), "Connection": "close"}
            hub.reply("/large/", Reply(content[: len(content) // 2], headers=headers), 40)
        elif wrong == "altered":
            hub.reply("/large/", Reply(content[:-1] + bytes([content[-1] ^ 1])), 40)
        environment = variables(home) | {"AUDIOTAG_MIRROR": hub.url}
        with commands(environment) as run:
            if wrong == "no room":
                assert run("-c", NO_ROOM).code == 0
            error = run("pull", HUB).error
    assert said in error
    assert not [x for x in home.rglob("*") if x.name in ("model.onnx", "model.safetensors")]
