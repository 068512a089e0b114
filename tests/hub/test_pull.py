"""pull, and a Hub id as a model: the real client against a Hub on the loopback."""

import errno
import hashlib
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.torch import load as load_bytes
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

from audiotag.errors import HubError
from audiotag.hub.failures import transferring
from audiotag.models.config import read_config
from tests.support import reference_models
from tests.support.hub_client import (
    CLOSED_PORT,
    TIMEOUT,
    WRONG_TOKEN,
    Ended,
    contents,
    downloads,
    run_alone,
    run_python,
)
from tests.support.hub_server import READ_TOKEN, StoredFile

CAN_MOUNT = (
    bool(shutil.which("unshare"))
    and not subprocess.run(
        ["unshare", "-rm", "mount", "-t", "tmpfs", "none", "/mnt"], capture_output=True
    ).returncode
)


def test_pull_prints_a_folder_that_holds_the_model(run, folder, published):
    ended = run("pull", published)
    pulled = Path(ended.out.rstrip("\n"))
    assert ended.code == 0
    assert (pulled / "config.json").read_bytes() == (folder / "config.json").read_bytes()
    ours, theirs = (load_file(path / "model.safetensors") for path in (folder, pulled))
    assert ours.keys() == theirs.keys()
    assert all((ours[key] == theirs[key]).all() for key in ours)
    assert run("pull", published) == Ended(0, ended.out, "")


def test_a_hub_id_tags_as_the_folder_does(run, folder, published, make_wav, tmp_path):
    wav = make_wav(tmp_path / "a.wav", 2.0)
    tags = [
        run("tag", wav, "--model", model, "--format", "jsonl", "--device", "cpu").out
        for model in (folder, published, f"{published}@main")
    ]
    assert len(json.loads(tags[0])["tags"]) == 5
    assert tags[0] == tags[1] == tags[2]


@pytest.mark.slow
def test_another_publishers_model_is_converted_once(
    hub, run, environment, foreign, make_wav, tmp_path
):
    wav = make_wav(tmp_path / "a.wav", 2.0)
    arguments = ("tag", wav, "--model", foreign, "--format", "jsonl", "--device", "cpu")
    first = run(*arguments)
    assert first.code == 0 and len(json.loads(first.out)["tags"]) == 5
    folder = Path(run("pull", foreign).out.rstrip("\n"))
    assert folder.is_relative_to(Path(environment["HF_HOME"]) / "assets" / "audiotag")
    made, seen = contents(folder), len(hub.requests)
    assert made.keys() == {"config.json", "model.onnx", "model.safetensors"}
    assert run(*arguments) == Ended(0, first.out, "")
    assert contents(folder) == made and not any("/large/" in x for x in hub.requests[seen:])
    assert run("tag", wav, "--model", folder, *arguments[4:]).out == first.out


@pytest.mark.slow
def test_a_converted_model_works_without_the_hub(hub, run, environment, foreign):
    folder = run("pull", foreign).out
    hub.fail(f"/api/models/{foreign}", 503)
    ended = run("pull", foreign)
    assert (ended.code, ended.out) == (0, folder) and "Using the cached copy" in ended.err
    offline = environment | {"HF_HUB_OFFLINE": "1"}
    code = f"import sys; from audiotag.hub.pull import pull; print(pull({foreign!r})); "
    code += "sys.exit('torch' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], env=offline, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, folder, "")


@pytest.mark.slow
def test_another_commit_is_another_model(hub, run, foreign, theirs):
    first = Path(run("pull", foreign).out.rstrip("\n"))
    repository = hub.repositories[foreign]
    old = next(iter(repository.commits))
    doubled = {key: 2 * x for key, x in load_bytes(theirs).items()}
    tree = {"model.safetensors": StoredFile(to_bytes(doubled), large=True)}
    repository.commit("main", "second", tree)
    second = Path(run("pull", foreign).out.rstrip("\n"))
    key = "features.0.0.weight"
    ours, newer = (load_file(x / "model.safetensors")[key] for x in (first, second))
    assert second != first and torch.equal(newer, 2 * ours)
    assert run("pull", f"{foreign}@{old}").out == f"{first}\n"


def test_another_librarys_config_does_not_hide_a_known_layout(hub, run, theirs, name):
    files = {"config.json": b'{"library_name": "x"}', "model.safetensors": theirs}
    hub.add(f"{name}-mn01_as-hop-5", files)
    folder = Path(run("pull", f"{name}-mn01_as-hop-5").out.rstrip("\n"))
    config = read_config(folder)
    assert config.architecture == "mn01_as" and config.front_end_args["hop_length"] == 160
    hub.add(name, files)
    assert f"{name} is an EfficientAT model whose name does not tell" in run("pull", name).error


@pytest.mark.slow
def test_another_publishers_model_in_a_local_dir_and_verified(run, foreign, tmp_path):
    wanted = tmp_path / "here"
    assert run("pull", foreign, "--local-dir", wanted, "--verify").out == f"{wanted}\n"
    assert contents(wanted).keys() == {"config.json", "model.onnx", "model.safetensors"}
    cached = run("pull", foreign, "--verify").out.rstrip("\n")
    assert load_file(Path(cached) / "model.safetensors").keys()


def test_an_unknown_layout_is_refused_before_its_weights(hub, run, name):
    weights = to_bytes({"encoder.weight": torch.zeros(100_000), "norm.bias": torch.zeros(3)})
    hub.add(name, {"model.safetensors": weights})
    seen = len(hub.requests)
    error = run("pull", name).error
    assert error.startswith(
        f"Error: {name} is not an audiotag model: it has no config.json, and its model.safetensors "
        "has an unknown layout: expected EfficientAT mn (with "
    )
    assert "ConvNeXt-Tiny-AT (with bn0.weight, " in error
    assert error.endswith("; found 2 keys: encoder.weight, norm.bias")
    assert not downloads(hub.requests[seen:])


@pytest.mark.parametrize(
    ("files", "revision", "message"),
    [
        (
            ["b.pth", "a.bin"],
            "",
            "b.pth is a pickle, which is never loaded unasked; run: "
            "hf download {name} b.pth --local-dir . && audiotag convert b.pth {folder}",
        ),
        (
            ["my model.pt"],
            "@main",
            "run: hf download {name} 'my model.pt' --revision main --local-dir . && "
            "audiotag convert 'my model.pt' {folder}",
        ),
        (["a.bin"], "", "a.bin is a pickle, which is never loaded unasked; choose a model with a"),
    ],
)
def test_a_pickle_is_named_with_the_command_to_convert_it(hub, run, name, files, revision, message):
    hub.add(name, dict.fromkeys(files, b"pickle"))
    expected = message.format(name=name, folder=name.split("/")[1])
    assert expected in run("pull", f"{name}{revision}").error


@pytest.mark.slow
def test_convnext_tiny_at_tags_by_its_name(hub, run, environment, make_wav, tmp_path):
    model, wav = "topel/ConvNeXt-Tiny-AT", make_wav(tmp_path / "a.wav", 2.0)
    weights = to_bytes(reference_models.topel_state_dict())
    hub.add(model, {"model.safetensors": weights, "config.yaml": b"sample_rate: 32000"})
    seen = len(hub.requests)
    ended = run("tag", wav, "--model", model, "--format", "jsonl", "--device", "cpu")
    assert ended.code == 0 and len(json.loads(ended.out)["tags"]) == 5
    assert len(downloads(hub.requests[seen:])) == 1
    seen = len(hub.requests)
    offline = run_alone(environment | {"HF_HUB_OFFLINE": "1"}, "pull", model)
    config = json.loads((Path(offline.out.rstrip("\n")) / "config.json").read_text())
    assert config["architecture"] == "convnext_tiny_at" and len(hub.requests) == seen


@pytest.mark.slow
def test_converted_models_are_listed(run, foreign, environment):
    folder = run("pull", foreign).out.rstrip("\n")
    code = (
        "from audiotag.tagging import catalogue; print(*(x.cached for x in catalogue.downloaded()))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert foreign in ended.stdout and folder in ended.stdout


def test_local_dir_gets_the_files(run, folder, published, tmp_path):
    wanted = tmp_path / "here"
    ended = run("pull", published, "--local-dir", wanted, "--verify")
    assert ended.out == f"{wanted}\n"
    for file in ("config.json", "model.safetensors"):
        assert (wanted / file).read_bytes() == (folder / file).read_bytes()


def test_a_pickle_is_not_downloaded(hub, run, folder, published):
    files = hub.files(published) | {"pytorch_model.bin": b"pickle"}
    hub.add(published, files)
    pulled = Path(run("pull", published).out.rstrip("\n"))
    assert sorted(os.listdir(pulled)) == ["config.json", "model.safetensors", "recipe.toml"]


def test_a_damaged_file_in_the_cache_is_downloaded_again(run, published, folder):
    pulled = Path(run("pull", published, "--verify").out.rstrip("\n"))
    damaged = (pulled / "model.safetensors").resolve()
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    ended = run("pull", published, "--verify")
    assert ended.code == 0 and "model.safetensors" in ended.err
    weights = (pulled / "model.safetensors").read_bytes()
    assert weights == (folder / "model.safetensors").read_bytes()


def test_a_cut_download_goes_on_where_it_stopped(hub, run, folder, published):
    hub.cut(10_000)
    pulled = Path(run("pull", published).out.rstrip("\n"))
    weights = (pulled / "model.safetensors").read_bytes()
    assert weights == (folder / "model.safetensors").read_bytes()


def test_the_cache_serves_while_the_hub_fails(hub, run, published):
    pulled = run("pull", published).out
    hub.fail(f"/api/models/{published}", 503)
    ended = run("pull", published)
    assert (ended.code, ended.out) == (0, pulled)
    assert "Using the cached copy" in ended.err


def test_a_failing_hub_without_a_cached_copy(hub, run, published):
    hub.fail(f"/api/models/{published}", 503, times=4)
    assert run("pull", published).error == (
        f"Error: {published} is not in the cache, and {hub.url} fails (status 503); try again later"
    )


def test_a_wrong_token_is_said_though_the_model_is_cached(hub, run, published):
    run("pull", published)
    for ended in (
        run("pull", published, token=WRONG_TOKEN),
        run("pull", published, "--token", WRONG_TOKEN),
    ):
        assert ended.error == (
            f"Error: the Hub refuses the token; make one at {hub.url}/settings/tokens and "
            "set HF_TOKEN, run hf auth login, or give --token"
        )


@pytest.mark.parametrize(
    ("arguments", "token", "message"),
    [
        (["me/none"], "", "there is no me/none, or it is private"),
        (["me/none"], READ_TOKEN, "there is no me/none, or your token may not see it"),
        (["me/a", "--token", WRONG_TOKEN + "\u2026"], "", "characters that no token has"),
    ],
)
def test_pull_says_what_is_wrong_with_the_request(run, arguments, token, message):
    assert message in run("pull", *arguments, token=token).error


def test_a_missing_revision_is_named(hub, run, published):
    assert run("pull", f"{published}@v9").error == (
        f"Error: {published} has no revision v9; choose one listed at "
        f"{hub.url}/{published}/tree/main"
    )


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"README.md": b"hi"}, "it has no config.json and no model.safetensors; choose"),
        ({"config.json": b"{}", "a.pth": b""}, "a.pth is a pickle, which is never loaded"),
        (
            {"config.json": b'{"library_name": "x"}', "model.safetensors": b"x"},
            "config.json is not audiotag's",
        ),
        ({"config.json": b"not json", "model.safetensors": b"x"}, "config.json is not audiotag's"),
        ({"model.safetensors": b"x" * 99}, "no config.json, and its model.safetensors is damaged"),
    ],
)
def test_what_is_no_audiotag_model_is_refused_before_its_weights(hub, run, name, files, message):
    hub.add(name, files)
    seen = len(hub.requests)
    error = run("pull", name).error
    assert f"{name} is not an audiotag model: " in error and message in error
    assert not downloads(hub.requests[seen:])


def test_without_a_network(environment, tmp_path):
    away = environment | {"HF_ENDPOINT": CLOSED_PORT, "HF_HOME": str(tmp_path)}
    assert run_alone(away, "pull", "me/some").error == (
        f"Error: me/some is not in the cache, and {CLOSED_PORT} cannot be reached (ConnectError); "
        "check the network and HF_ENDPOINT"
    )


def test_offline_uses_the_cache_and_nothing_else(environment, hub, run, published):
    pulled = run("pull", published).out
    offline = environment | {"HF_HUB_OFFLINE": "1"}
    ended = run_alone(offline, "pull", published)
    assert (ended.code, ended.out, ended.err) == (0, pulled, "")
    assert run_alone(offline, "pull", "me/some").error == (
        "Error: me/some is not in the cache, and HF_HUB_OFFLINE forbids asking the Hub; unset it"
    )


def test_pull_does_not_wait_for_torch():
    code = "import sys, audiotag.hub.pull; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=TIMEOUT).returncode == 0


def test_a_revision_is_part_of_an_id():
    from audiotag.hub.client import HubId

    assert HubId.parse("a/b@refs/pr/1") == HubId("a/b", "refs/pr/1")
    assert str(HubId.parse("a/b", "v1")) == "a/b@v1"
    with pytest.raises(HubError, match="not a Hub id"):
        HubId.parse("a/b/c")


@pytest.mark.parametrize("status", [500, 502, None])
def test_what_fails_in_passing_is_asked_again(hub, run, published, status):
    path = f"/api/models/{published}"
    hub.drop(path, 2) if status is None else hub.fail(path, status, 2)
    ended = run("pull", published)
    assert ended.code == 0 and ended.err.count("trying again in") == 2


def test_finished_files_are_kept_when_another_fails(hub, run, folder, published):
    files = hub.files(published) | {"model.onnx": b"network"}
    hub.add(published, files)
    other = hashlib.sha256(b"network").hexdigest()
    hub.fail(f"/large/{other}", 503, times=5)  # one for the look at whether it is there
    seen = len(hub.requests)
    assert f"{hub.url} fails (status 503)" in run("pull", published, "--verify").error
    assert run("pull", published).code == 0
    weights = hashlib.sha256(files["model.safetensors"]).hexdigest()
    fetched = [x.rpartition("/")[2] for x in downloads(hub.requests[seen:])]
    assert fetched.count(weights) == 1 and fetched[-1] == other


def test_progress_is_not_drawn_into_a_file(environment, published, tmp_path):
    away = environment | {"HF_HOME": str(tmp_path)}
    assert run_alone(away, "pull", published).err == ""


def test_a_full_disk_is_named_and_the_pull_goes_on_later(environment, published, tmp_path):
    """A limit on the size of files stands for a disk that has no room for the weights."""
    limit, away = 30_000, environment | {"HF_HOME": str(tmp_path / "hf")}
    code = f"""
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
from audiotag.cli import main
main()
"""
    for options, place, remedy in (
        ([], tmp_path / "hf", "set HF_HOME to another folder"),
        (["--local-dir", str(tmp_path / "here")], tmp_path / "here", "name another folder"),
    ):
        ended = run_python(away, code, "pull", published, *options)
        assert ended.error == (
            f"Error: {published}: {place}: File too large; make room, or {remedy}"
        )
        assert run_alone(away, "pull", published, *options).code == 0


@pytest.mark.skipif(not CAN_MOUNT, reason="needs a file system of its own")
def test_a_disk_without_room_is_named(environment, published, tmp_path):
    away = environment | {"HF_HOME": str(tmp_path)}
    command = f"{sys.executable} -m audiotag pull {published}"
    script = f"mount -t tmpfs -o size=100k none {tmp_path} && {command}"
    ended = subprocess.run(
        ["unshare", "-rm", "sh", "-c", script], env=away, capture_output=True, text=True
    )
    (error,) = [x for x in ended.stderr.splitlines() if x.startswith("Error: ")]
    assert ended.returncode == 1
    assert error == (
        f"Error: {published}: {tmp_path}: No space left on device; make room, or set HF_HOME to "
        "another folder"
    )


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("Task error: IO Error: No space left on device (os error 28)", errno.ENOSPC),
        ("Task error: reconstruction failed", None),
    ],
)
def test_what_the_xet_part_of_the_client_raises_is_an_os_error(text, number):
    """Seen with hf_xet 1.8; the Hub of these tests has no Xet."""
    with pytest.raises(OSError) as caught, transferring():
        raise RuntimeError(text)
    assert caught.value.errno == number


@pytest.fixture(scope="session")
def tones(tmp_path_factory):
    """A data set of 8 tones at two pitches."""
    from audiotag.data.prepare.prepare import prepare
    from audiotag.data.sources.csv_table import CsvSource

    place = tmp_path_factory.mktemp("tones")
    rows = ["path,label,split"]
    for i in range(8):
        tone = np.sin(2 * np.pi * (400, 1600)[i % 2] * np.arange(64_000) / 32_000)
        soundfile.write(place / f"{i}.wav", (0.3 + 0.05 * i) * tone, 32_000)
        rows.append(f"{i}.wav,{('Bell', 'Dog')[i % 2]},{('train', 'valid')[i // 4]}")
    (place / "t.csv").write_text("\n".join(rows))
    return prepare(CsvSource(place / "t.csv"), place / "data")


@pytest.mark.slow
def test_a_revision_is_a_model_everywhere(hub, run, folder, published, tones, make_wav, tmp_path):
    """At a branch whose weights are others than main's, every command takes the branch's."""
    main, branch = hub.files(published), f"{published}@old"
    repository = hub.repositories[published]
    spoilt = {
        path: StoredFile(content, path.endswith(".safetensors"))
        for path, content in (main | {"model.safetensors": b"spoilt"}).items()
    }
    repository.branches["old"] = repository.branches["main"]
    repository.commit("main", "spoil", spoilt)
    wav = make_wav(tmp_path / "a.wav", 2.0)
    recipe = tmp_path / "distill.toml"
    recipe.write_text(
        '[model]\narchitecture = "convnext_dcls_audio_atto"\n'
        "args = { depths = [1, 1, 1, 1], dims = [8, 8, 16, 32] }\n[data]\ncrop_seconds = [2.0]\n"
        f'[distill]\nteacher = "{branch}"\n[optim]\nwarmup_epochs = 0.0\n'
        "[train]\nepochs = 1\nbatch_size = 4\n"
    )
    fast = ("--set", "train.epochs=1", "--device", "cpu")
    commands = (
        ("tag", wav, "--model", branch),
        ("embed", wav, "--model", branch, "--output", tmp_path / "e.npz"),
        ("evaluate", branch, tones, "--compare", branch, "--resamples", "10"),
        ("finetune", branch, "--data", tones, "--out", tmp_path / "finetuned", *fast),
        ("train", recipe, "--data", tones, "--out", tmp_path / "student", *fast),
        ("export", branch, tmp_path / "model.onnx"),
        ("bench", branch, "--seconds", "2", "--runs", "1"),
        ("pull", branch),
    )
    for command in commands:
        ended = run(*command)
        assert ended.code == 0, (command, ended.err)
    assert "model.safetensors cannot be read" in run("tag", wav, "--model", published).error
    assert f'init = "{branch}"' in (tmp_path / "finetuned" / "recipe.toml").read_text()
