"""push: the real client against a Hub on the loopback."""

import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from safetensors.torch import load_file

from audiotag.models.evaluation_record import Evaluation, Figure
from audiotag.models.provenance import Part, TrainedOn
from tests.support.hub_client import TIMEOUT, WRONG_TOKEN, run_python
from tests.support.hub_server import READ_TOKEN, WRITE_TOKEN


def test_push_sends_only_what_belongs_to_the_model(hub, run, folder, name):
    ended = run("push", folder, name, token=WRITE_TOKEN)
    assert (ended.code, ended.out) == (0, f"{hub.url}/{name}\n")
    files = hub.files(name)
    sent = {"config.json", "model.safetensors", "README.md", "recipe.toml", "metrics.jsonl"}
    assert files.keys() == sent | {".gitattributes"}
    for file in ("config.json", "model.safetensors", "metrics.jsonl"):
        assert files[file] == (folder / file).read_bytes()
    assert not hub.repositories[name].private
    assert not (folder / "README.md").exists()


def test_pushed_text_names_no_folder_of_the_machine(hub, run, folder, name):
    run("push", folder, name, token=WRITE_TOKEN)
    files = hub.files(name)
    assert files["recipe.toml"].decode() == '[distill]\nteacher = "mn04"\ntemperature = 1.0\n'
    texts = b"".join(content for path, content in files.items() if path != "model.safetensors")
    assert b"/home" not in texts and str(folder.parent).encode() not in texts


def test_an_onnx_file_travels_with_the_model(hub, run, folder, name):
    (folder / "model.onnx").write_bytes(b"network")
    assert "7 bytes  model.onnx\n" in run("push", folder, name, "--dry-run").out
    assert run("push", folder, name, token=WRITE_TOKEN).code == 0
    assert hub.files(name)["model.onnx"] == b"network"
    pulled = Path(run("pull", name).out.rstrip("\n"))
    assert (pulled / "model.onnx").read_bytes() == b"network"


def test_push_again_changes_only_what_changed(hub, run, folder, name):
    run("push", folder, name, token=WRITE_TOKEN)
    (folder / "metrics.jsonl").write_text('{"epoch": 3, "mAP": 0.5}\n')
    seen = len(hub.requests)
    run("push", folder, name, "--commit-message", "third", token=WRITE_TOKEN)
    assert hub.files(name)["metrics.jsonl"] == b'{"epoch": 3, "mAP": 0.5}\n'
    assert b"| mAP | 0.5 |" in hub.files(name)["README.md"]
    assert hub.repositories[name].titles[-1] == "third"
    assert not any(request.startswith("PUT /upload") for request in hub.requests[seen:])


def test_branches_are_made_and_pulled(hub, run, folder, published):
    changed = (
        (folder / "config.json").read_text().replace('"min_duration": 3.0', '"min_duration": 4.0')
    )
    (folder / "config.json").write_text(changed)
    ended = run("push", folder, published, "--revision", "trial/b", token=WRITE_TOKEN)
    assert ended.out == f"{hub.url}/{published}/tree/trial/b\n"
    for arguments in ((f"{published}@trial/b",), (published, "--revision", "trial/b")):
        pulled = Path(run("pull", *arguments).out.rstrip("\n"))
        assert (pulled / "config.json").read_text() == changed
    pulled = Path(run("pull", published).out.rstrip("\n"))
    assert (pulled / "config.json").read_text() != changed


def test_a_pull_request_leaves_the_branch_alone(hub, run, folder):
    hub.add("someone/theirs", {".gitattributes": b""})
    ended = run("push", folder, "someone/theirs", "--create-pr", token=WRITE_TOKEN)
    assert ended.out == f"{hub.url}/someone/theirs/discussions/1\n"
    assert hub.files("someone/theirs").keys() == {".gitattributes"}
    assert "model.safetensors" in hub.files("someone/theirs", "refs/pr/1")


def test_a_private_repository_needs_a_token(hub, run, folder, name):
    run("push", folder, name, "--private", "--token", WRITE_TOKEN)
    assert hub.repositories[name].private
    assert run("pull", name).error == (
        f"Error: there is no {name}, or it is private; check the name, or set HF_TOKEN, "
        "run hf auth login, or give --token"
    )
    assert run("pull", name, "--token", READ_TOKEN).code == 0
    assert run("pull", name, token=READ_TOKEN).code == 0


def test_dry_run_shows_files_and_card_and_asks_nothing(hub, run, folder, name):
    seen = len(hub.requests)
    ended = run("push", folder, name, "--dry-run")
    assert ended.code == 0 and len(hub.requests) == seen
    size = (folder / "model.safetensors").stat().st_size
    assert f"{size:,} bytes  model.safetensors\n" in ended.out
    assert f"# {name}\n" in ended.out
    assert "optimizer.pt" not in ended.out


def test_an_upload_is_tried_again(hub, run, folder, name):
    (folder / "model.safetensors").touch()
    hub.uploads.clear()
    hub.fail("/upload/", 503)
    assert run("push", folder, name, token=WRITE_TOKEN).code == 0
    assert "model.safetensors" in hub.files(name)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pull", "nonsense"], "'nonsense' is not a Hub id; write OWNER/NAME"),
        (["pull", "a/b@x", "--revision", "y"], "contradict each other"),
        (["pull", "me/a--b"], "the Hub does not allow the name me/a--b"),
        (["models", "--remove", "nonsense"], "'nonsense' is not a Hub id"),
        (["push", ".", "me"], "'me' is not a Hub id"),
        (["push", ".", "me/a", "--create-pr", "--tag", "v1"], "a pull request is against main"),
        (["push", ".", "me/a", "--create-pr", "--revision", "b"], "a pull request is against main"),
        (["push", ".", "me/a", "--license", "MIT License"], "has no licence 'MIT License'"),
        (["push", "nowhere", "me/a"], "'nowhere' does not exist"),
    ],
)
def test_wrong_usage_is_said_before_anything_is_asked(hub, run, arguments, message):
    seen = len(hub.requests)
    assert message in run(*arguments, token=WRITE_TOKEN).usage_error
    assert len(hub.requests) == seen


@pytest.mark.parametrize(
    ("target", "token", "message"),
    [
        ("me/new", "", "pushing to me/new needs a token; set HF_TOKEN"),
        ("me/new", WRONG_TOKEN, "the Hub refuses the token"),
        ("me/new", READ_TOKEN, "the token may not write to me/new"),
        ("someone/new", WRITE_TOKEN, "the token may not write to someone/new"),
        ("me/taken", WRITE_TOKEN, "me/taken holds another library's model; choose another name"),
        ("me/weights", WRITE_TOKEN, "me/weights holds another library's model; choose another"),
        ("me/pickle", WRITE_TOKEN, "me/pickle holds another library's model; choose another name"),
    ],
)
def test_push_says_why_it_is_refused(hub, run, folder, target, token, message):
    hub.add("me/taken", {"config.json": b'{"library_name": "timm"}'})
    hub.add("me/weights", {"model.safetensors": b"x"})
    hub.add("me/pickle", {"pytorch_model.bin": b"x"})
    before = set(hub.repositories)
    assert message in run("push", folder, target, token=token).error
    assert set(hub.repositories) == before
    assert hub.files("me/taken").keys() == {"config.json"}


def test_a_folder_that_is_no_model_is_not_pushed(hub, run, folder, name):
    (folder / "model.safetensors").write_bytes(b"damaged")
    assert "model.safetensors cannot be read" in run("push", folder, name, token=WRITE_TOKEN).error
    assert name not in hub.repositories


def test_a_file_that_holds_a_token_is_not_pushed(hub, run, folder, name):
    (folder / "recipe.toml").write_text(f'[train]\nwandb_project = "{WRITE_TOKEN}"\n')
    error = run("push", folder, name, token=WRITE_TOKEN).error
    assert f"{folder / 'recipe.toml'} holds a Hub token" in error
    assert name not in hub.repositories


def test_the_folders_own_card_is_pushed_as_it_is(hub, run, folder, name):
    (folder / "README.md").write_text("---\nlicense: mit\n---\nMine.\n")
    run("push", folder, name, token=WRITE_TOKEN)
    assert hub.files(name)["README.md"] == b"---\nlicense: mit\n---\nMine.\n"


def test_paths_in_a_recipe_lose_their_folders():
    from audiotag.hub.push import _without_folders

    for path in ("/a/b c/mn04", "~/x/mn04", "~me/mn04", r"C:\\x\\mn04", "C:/mn04", "/a/mn04"):
        assert _without_folders(f'a = "{path}"') == 'a = "mn04"'
    for text in ('a = "models/mn04"', 'a = ["x", "y/z@v1"]', "a = 1.0"):
        assert _without_folders(text) == text


def sha256(path: Path) -> str:
    """Hash of a file, by which the Hub stores it."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def uploads(requests: list[str]) -> list[str]:
    """Of some requests, the hashes of the large files that were sent."""
    return [x.removeprefix("PUT /upload/") for x in requests if x.startswith("PUT /upload/")]


def test_a_tag_names_the_commit(hub, run, folder, name):
    ended = run("push", folder, name, "--tag", "v1.0", token=WRITE_TOKEN)
    assert (ended.code, ended.out) == (0, f"{hub.url}/{name}/tree/v1.0\n")
    (folder / "metrics.jsonl").write_text('{"epoch": 3, "mAP": 0.5}\n')
    run("push", folder, name, token=WRITE_TOKEN)
    tagged, latest = hub.files(name, "v1.0"), hub.files(name)
    assert tagged["metrics.jsonl"] != latest["metrics.jsonl"]
    pulled = Path(run("pull", f"{name}@v1.0").out.rstrip("\n"))
    assert (pulled / "metrics.jsonl").read_bytes() == tagged["metrics.jsonl"]


def test_a_tag_that_is_there_is_not_moved(hub, run, folder, name):
    run("push", folder, name, "--tag", "v1", token=WRITE_TOKEN)
    before = dict(hub.repositories[name].commits)
    (folder / "metrics.jsonl").write_text("{}")
    error = run("push", folder, name, "--tag", "v1", token=WRITE_TOKEN).error
    assert error == f"Error: {name} has a tag v1 already; choose another"
    assert hub.repositories[name].commits == before


def test_a_branch_can_be_tagged(hub, run, folder, name):
    run("push", folder, name, "--revision", "b", "--tag", "v1", token=WRITE_TOKEN)
    assert hub.repositories[name].tags["v1"] == hub.repositories[name].branches["b"]
    assert "model.safetensors" not in hub.files(name)


def test_folded_weights_take_half_and_tag_the_same(hub, run, folder, name, make_wav, tmp_path):
    assert run("push", folder, name, "--folded", token=WRITE_TOKEN).code == 0
    sent = hub.files(name)["model.safetensors"]
    assert len(sent) < 0.6 * (folder / "model.safetensors").stat().st_size
    pulled = Path(run("pull", name).out.rstrip("\n"))
    assert not any(key.endswith(".P") for key in load_file(pulled / "model.safetensors"))
    wav = make_wav(tmp_path / "a.wav", 3.0)
    scores = []
    for model in (folder, name):
        ended = run("tag", wav, "--model", model, "--format", "jsonl", "--top-k", "527")
        scores.append({tag["label"]: tag["score"] for tag in json.loads(ended.out)["tags"]})
    assert scores[0].keys() == scores[1].keys() and len(scores[0]) == 527
    assert max(abs(scores[0][key] - scores[1][key]) for key in scores[0]) < 1e-3
    assert "folded, in half precision" in hub.files(name)["README.md"].decode()
    assert load_file(folder / "model.safetensors").keys() >= {"stages.0.blocks.0.conv_dw.P"}


def test_a_licence_is_in_the_card(hub, run, folder, name):
    from huggingface_hub import ModelCard

    run("push", folder, name, "--license", "cc-by-4.0", token=WRITE_TOKEN)
    card = ModelCard(hub.files(name)["README.md"].decode())
    assert card.data.license == "cc-by-4.0" and "`cc-by-4.0`, for the weights." in card.text


def test_a_licence_beside_a_card_of_ones_own_is_refused(run, folder, name):
    (folder / "README.md").write_text("---\nlicense: mit\n---\nMine.\n")
    assert run("push", folder, name, "--license", "mit", token=WRITE_TOKEN).error == (
        f"Error: {folder / 'README.md'} is your own card; put the licence in its head"
    )


def test_what_a_run_has_noted_travels_without_paths(hub, run, folder, name):
    part = {"clips": 3, "hours": 0.5, "keys": "0123456789abcdef"}
    data = {"name": "birds", "train": part, "valid": part}
    (folder / "data.json").write_text(json.dumps(data))
    figure = {"value": 0.5, "low": 0.4, "high": 0.6}
    evaluation = {"model": str(folder), "data": "birds", "split": "valid", "fold": None}
    evaluation |= {"clips": 3, "keys": "0123456789abcdef", "labels": 527, "resamples": 1000}
    evaluation |= {"figures": {"mAP": figure}, "classes": [], "confusion": None}
    evaluation |= {"learnt": 0, "data_hash": "ab", "weights_sha256": "cd", "audiotag": "1"}
    evaluation |= {"heard_seconds": 10.0, "shortest_crop": 5.0, "longest_crop": None}
    evaluation |= {"published_map": None, "published_in": None}
    (folder / "evaluation.json").write_text(json.dumps(evaluation))
    assert run("push", folder, name, token=WRITE_TOKEN).code == 0
    files = hub.files(name)
    assert json.loads(files["data.json"]) == data
    assert json.loads(files["evaluation.json"]) == evaluation | {"model": name}
    assert b"| mAP | 0.5000 | 0.4000 to 0.6000 |" in files["README.md"]
    pulled = Path(run("pull", name).out.rstrip("\n"))
    assert (pulled / "evaluation.json").read_bytes() == files["evaluation.json"]


@pytest.mark.parametrize("file", ["data.json", "evaluation.json"])
def test_a_damaged_file_of_a_run_is_named(run, folder, name, file):
    (folder / file).write_text("{}")
    error = run("push", folder, name, token=WRITE_TOKEN).error
    assert error.startswith(f"Error: {folder / file} cannot be read (")


@pytest.mark.parametrize("place", [Path.home(), Path.cwd()])
def test_a_file_that_names_a_folder_of_the_machine_is_not_pushed(hub, run, folder, name, place):
    (folder / "README.md").write_text(f"---\nlicense: mit\n---\nSee {place}/notes.\n")
    error = run("push", folder, name, token=WRITE_TOKEN).error
    assert error == (
        f"Error: {folder / 'README.md'} names {place}, a folder of this machine; remove that"
    )
    assert name not in hub.repositories


def test_a_card_that_the_hub_refuses_is_named(hub, run, folder, name):
    (folder / "README.md").write_text("No head.\n")
    error = run("push", folder, name, token=WRITE_TOKEN).error
    assert error.startswith("Error: the Hub refuses README.md: Invalid metadata")
    assert not uploads(hub.requests[-5:])


@pytest.mark.parametrize("data", ["my sounds", "données", "...", ""])
def test_data_of_any_name_make_a_card_that_the_hub_takes(hub, run, folder, name, data):
    part = Part(1, 1.0, "0" * 16)
    TrainedOn(data, part, part).save(folder)
    figures = {"mAP": Figure(0.5, 0.4, 0.6)}
    Evaluation("m", data, None, None, 1, "ab", 527, 1, figures, (), None).save(folder)
    assert run("push", folder, name, token=WRITE_TOKEN).code == 0
    assert "model-index" in hub.files(name)["README.md"].decode()


@pytest.mark.parametrize("request_path", ["/api/repos/create", "/api/models/{name}/commit/main"])
@pytest.mark.parametrize("status", [500, 503, None])
def test_what_fails_in_passing_is_tried_again(hub, run, folder, name, request_path, status):
    path = request_path.format(name=name)
    hub.drop(path, 2) if status is None else hub.fail(path, status, 2)
    seen = len(hub.requests)
    ended = run("push", folder, name, token=WRITE_TOKEN)
    assert ended.code == 0 and "trying again in" in ended.err
    assert "model.safetensors" in hub.files(name)
    assert len(uploads(hub.requests[seen:])) <= 1


def test_a_pull_request_that_may_have_arrived_is_not_sent_twice(hub, run, folder):
    hub.add("someone/other", {".gitattributes": b""})
    hub.drop("/commit/main")
    error = run("push", folder, "someone/other", "--create-pr", token=WRITE_TOKEN).error
    assert "cannot be reached" in error
    assert hub.repositories["someone/other"].pull_requests == 0


def test_a_hub_that_keeps_failing_is_said(hub, run, folder, name):
    hub.fail("/api/repos/create", 500, times=4)
    assert run("push", folder, name, token=WRITE_TOKEN).error == (
        f"Error: {hub.url} fails (status 500); try again later"
    )


@pytest.mark.slow
def test_push_without_a_network(environment, folder, tmp_path):
    away = environment | {"HF_ENDPOINT": "http://127.0.0.1:9", "HF_TOKEN": WRITE_TOKEN}
    code = f"from audiotag.hub.push import push; push({str(folder)!r}, 'me/some')"
    ended = run_python(away, code)
    assert ended.code == 1
    assert "http://127.0.0.1:9 cannot be reached (ConnectError); check the network" in ended.err


@pytest.mark.slow
def test_a_killed_push_goes_on(hub, environment, run, folder, name, tmp_path):
    """Killed when one of two large files is with the Hub and the other is on its way."""
    (folder / "model.onnx").write_bytes(b"network " * 1000)
    done, other = sha256(folder / "model.safetensors"), sha256(folder / "model.onnx")
    hub.uploads.clear()
    process = subprocess.Popen(
        [sys.executable, "-m", "audiotag", "push", str(folder), name],
        env=environment | {"HF_TOKEN": WRITE_TOKEN},
        stderr=subprocess.DEVNULL,
    )

    def kill(path: str) -> None:
        if path == f"/upload/{other}":
            while done not in hub.uploads and process.poll() is None:
                time.sleep(0.01)
            process.kill()

    hub.watch = kill
    assert process.wait(TIMEOUT) < 0
    hub.watch = lambda path: None
    assert "model.safetensors" not in hub.files(name)
    hub.uploads.pop(other, None)  # which the server may still have read to its end
    seen = len(hub.requests)
    assert run("push", folder, name, token=WRITE_TOKEN).code == 0
    assert uploads(hub.requests[seen:]) == [other]
    assert hub.files(name).keys() >= {"model.safetensors", "model.onnx", "README.md"}


def test_a_tagger_in_memory_is_pushed_and_comes_back(hub, run, name):
    code = f"""
import torch
from audiotag.models.config import ModelConfig
from audiotag.label_set import Labels
from audiotag import Tagger
arguments = {{"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]}}
tagger = Tagger.create(ModelConfig("convnext_dcls_audio_atto", Labels(["a", "b"]), arguments))
print(tagger.push_to_hub({name!r}, private=True, tag="v1", license="mit"))
for again in (
    Tagger.from_pretrained({name!r}),
    Tagger.from_pretrained({name!r}, revision="v1"),
    Tagger.from_pretrained("{name}@v1", token={WRITE_TOKEN!r}),
):
    ours, theirs = tagger.backbone.state_dict(), again.backbone.state_dict()
    assert ours.keys() == theirs.keys() and all(torch.equal(ours[k], theirs[k]) for k in ours)
assert Tagger.from_pretrained().labels == Labels.audioset()
"""
    ended = run("-c", code, token=WRITE_TOKEN)
    assert (ended.code, ended.out) == (0, f"{hub.url}/{name}/tree/v1\n"), ended.err
    assert hub.repositories[name].private
    assert hub.files(name).keys() == {
        *(".gitattributes", "config.json", "model.safetensors", "README.md")
    }


def test_timm_loads_what_was_pushed(hub, run, folder, name):
    assert run("push", folder, name, token=WRITE_TOKEN).code == 0
    code = f"""
import timm, torch, audiotag, audiotag.backbones
backbone = timm.create_model("hf-hub:{name}", pretrained=True).eval()
maps = torch.randn(1, 1, 128, 320)
with torch.inference_mode():
    difference = backbone(maps) - audiotag.load_tagger({name!r}, "cpu").backbone(maps)
assert difference.abs().max() < 1e-4, difference
"""
    ended = run("-c", code)
    assert ended.code == 0, ended.err
    assert f'timm.create_model("hf-hub:{name}", pretrained=True)' in (
        hub.files(name)["README.md"].decode()
    )


@pytest.mark.parametrize("file", ["README.md", "metrics.jsonl", "model.safetensors"])
def test_a_link_out_of_the_folder_is_not_pushed(file, run, folder, name, hub, tmp_path):
    secret = tmp_path / "secret"
    secret.write_bytes((folder / file).read_bytes() if (folder / file).exists() else b"# mine")
    (folder / file).unlink(missing_ok=True)
    (folder / file).symlink_to(secret)
    assert f"{file} is a link to {secret}" in run("push", folder, name, token=WRITE_TOKEN).error
    assert name not in hub.repositories


def test_a_model_in_the_cache_whose_files_are_links_is_pushed(run, published, hub, name):
    pulled = run("pull", published).out.rstrip("\n")
    assert (Path(pulled) / "config.json").is_symlink()
    assert run("push", pulled, f"{name}-again", token=WRITE_TOKEN).code == 0
    assert f"{name}-again" in hub.repositories
