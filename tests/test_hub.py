"""push and pull: the real client, in processes of its own, against a Hub on the loopback."""

import itertools
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
import reference_models
import timm
import torch
from hub_server import OWNER, READ_TOKEN, WRITE_TOKEN, LoopbackHub, StoredFile
from published_models import efficientat
from safetensors.torch import load as load_bytes
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes

import audiotag.backbones  # noqa: F401  its models are timm's then
from audiotag.errors import HubError

CLOSED_PORT = "http://127.0.0.1:9"  # discard: nothing listens there
WRONG_TOKEN = "hf_" + "x" * 34
NUMBERS = itertools.count()
TIMEOUT = 120  # seconds, for a process that imports torch on a busy machine
# Runs one command line after another: the client reads HF_ENDPOINT at its import, so it needs a
# process of its own, and importing torch for each command would take seconds.
WORKER = """
import json, os, sys, tempfile, traceback
from audiotag.cli import main
answers = os.fdopen(os.dup(1), "w")
for line in sys.stdin:
    sys.argv, os.environ["HF_TOKEN"] = json.loads(line)
    files = tempfile.TemporaryFile("w+"), tempfile.TemporaryFile("w+")
    for number, file in enumerate(files, 1):
        os.dup2(file.fileno(), number)
    try:
        code = main() or 0
    except SystemExit as end:
        code = end.code or 0
    except Exception:
        code = traceback.print_exc()
    sys.stdout.flush()
    print(json.dumps([code, *(file.seek(0) or file.read() for file in files)]), file=answers)
    answers.flush()
"""


@dataclass(frozen=True)
class Ended:
    """What a command left: exit code, standard output, standard error."""

    code: int
    out: str
    err: str

    def __post_init__(self) -> None:
        """No command ever shows a token or a traceback."""
        shown = self.out + self.err
        assert not any(token in shown for token in (WRITE_TOKEN, READ_TOKEN, WRONG_TOKEN))
        assert "Traceback" not in shown

    @property
    def error(self) -> str:
        """The one line of an error, which must be all that says so."""
        assert self.code == 1 and not self.out
        return next(x for x in self.err.splitlines() if x.startswith("Error: "))


@pytest.fixture(scope="module")
def hub():
    with LoopbackHub() as server:
        yield server


@pytest.fixture(scope="module")
def environment(hub, tmp_path_factory) -> dict[str, str]:
    """Variables of a client that knows only this Hub and an empty cache."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGG"))}
    return kept | {
        "HF_ENDPOINT": hub.url,
        "HF_HOME": str(tmp_path_factory.mktemp("hf")),
        "HF_HUB_DISABLE_XET": "1",
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "PYTHONUTF8": "1",
    }


@pytest.fixture(scope="module")
def run(environment):
    """A function (*arguments, token) that runs an audiotag command."""
    worker = subprocess.Popen(
        [sys.executable, "-c", WORKER],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )

    def command(*arguments: object, token: str = "") -> Ended:
        line = [["audiotag", *map(str, arguments)], token]
        worker.stdin.write(json.dumps(line) + "\n")
        worker.stdin.flush()
        return Ended(*json.loads(worker.stdout.readline()))

    yield command
    worker.terminate()
    worker.wait(TIMEOUT)


def run_alone(environment: dict[str, str], *arguments: str) -> Ended:
    """An audiotag command in a process of its own, as a user starts it."""
    ended = subprocess.run(
        [sys.executable, "-m", "audiotag", *arguments],
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
    )
    return Ended(ended.returncode, ended.stdout, ended.stderr)


@pytest.fixture
def folder(tiny_tagger, tmp_path) -> Path:
    """A run folder: model, recipe, metrics, and files that must stay."""
    path = tmp_path / "run"
    tiny_tagger.save(path)
    recipe = '[distill]\nteacher = "/home/someone/models/mn04"\ntemperature = 1.0\n'
    (path / "recipe.toml").write_text(recipe)
    rows = [{"epoch": 1, "mAP": 0.1}, {"epoch": 2, "mAP": 0.23456, "lr": 1e-3}]
    (path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for name in ("state.safetensors", "optimizer.pt", "notes.txt"):
        (path / name).write_bytes(b"stays here")
    return path


@pytest.fixture
def name() -> str:
    """A repository's name that no other test uses."""
    return f"{OWNER}/model-{next(NUMBERS)}"


@pytest.fixture
def published(hub, folder, name) -> str:
    """Name of a repository that holds the model of `folder`."""
    sent = ("config.json", "model.safetensors", "recipe.toml")
    hub.add(name, {file: (folder / file).read_bytes() for file in sent})
    return name


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


def downloads(requests: list[str]) -> list[str]:
    """Of some requests, those for the whole of a large file."""
    return [x for x in requests if x.startswith("GET /large/") and "bytes=" not in x]


def contents(folder: Path) -> dict[str, tuple[bytes, int]]:
    """What a folder's files hold, and when they were written."""
    return {x.name: (x.read_bytes(), x.stat().st_mtime_ns) for x in folder.iterdir()}


@pytest.fixture(scope="module")
def theirs() -> bytes:
    """The model.safetensors of a small EfficientAT model."""
    torch.manual_seed(0)
    state = efficientat(timm.create_model("mn01_as"))
    return to_bytes({key: x.detach().contiguous() for key, x in state.items()})


@pytest.fixture
def foreign(hub, theirs, name) -> str:
    """Name of a repository that another publisher made, with no config of audiotag's."""
    files = {"model.safetensors": theirs, "config.yaml": b"a: 1", "old.pth": b"pickle"}
    hub.add(name, files)
    return name


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
    assert made.keys() == {"config.json", "model.safetensors"}
    assert run(*arguments) == Ended(0, first.out, "")
    assert contents(folder) == made and not any("/large/" in x for x in hub.requests[seen:])
    assert run("tag", wav, "--model", folder, *arguments[4:]).out == first.out


def test_a_converted_model_works_without_the_hub(hub, run, environment, foreign):
    folder = run("pull", foreign).out
    hub.fail(f"/api/models/{foreign}", 503)
    ended = run("pull", foreign)
    assert (ended.code, ended.out) == (0, folder) and "Using the cached copy" in ended.err
    offline = environment | {"HF_HUB_OFFLINE": "1"}
    code = f"import sys; from audiotag.hub import pull; print(pull({foreign!r})); "
    code += "sys.exit('torch' in sys.modules)"
    ended = subprocess.run(
        [sys.executable, "-c", code], env=offline, capture_output=True, text=True, timeout=TIMEOUT
    )
    assert (ended.returncode, ended.stdout, ended.stderr) == (0, folder, "")


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
    hub.add(name, {"config.json": b'{"library_name": "x"}', "model.safetensors": theirs})
    folder = Path(run("pull", name).out.rstrip("\n"))
    assert json.loads((folder / "config.json").read_text())["architecture"] == "mn01_as"


def test_another_publishers_model_in_a_local_dir_and_verified(run, foreign, tmp_path):
    wanted = tmp_path / "here"
    assert run("pull", foreign, "--local-dir", wanted, "--verify").out == f"{wanted}\n"
    assert contents(wanted).keys() == {"config.json", "model.safetensors"}
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


def test_converted_models_are_listed(run, foreign, environment):
    folder = run("pull", foreign).out.rstrip("\n")
    code = "from audiotag.hub_published import kept; print(*list(kept())[-1])"
    ended = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True
    )
    assert ended.stdout == f"{foreign} {folder}\n"


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
        (folder / "config.json").read_text().replace('"min_duration": 2.0', '"min_duration": 3.0')
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


def test_verify_names_a_damaged_file_and_how_to_mend_it(run, published):
    pulled = Path(run("pull", published, "--verify").out.rstrip("\n"))
    damaged = (pulled / "model.safetensors").resolve()
    damaged.chmod(0o644)
    damaged.write_bytes(damaged.read_bytes()[:-1] + b"\xff")
    assert run("pull", published, "--verify").error == (
        f"Error: {published}: model.safetensors differs from the Hub's hash; "
        f"delete {damaged} and pull again"
    )
    damaged.unlink()
    assert run("pull", published, "--verify").code == 0


def test_a_cut_download_goes_on_where_it_stopped(hub, run, folder, published):
    hub.cut(10_000)
    pulled = Path(run("pull", published).out.rstrip("\n"))
    weights = (pulled / "model.safetensors").read_bytes()
    assert weights == (folder / "model.safetensors").read_bytes()


def test_an_upload_is_tried_again(hub, run, folder, name):
    (folder / "model.safetensors").touch()
    hub.uploads.clear()
    hub.fail("/upload/", 503)
    assert run("push", folder, name, token=WRITE_TOKEN).code == 0
    assert "model.safetensors" in hub.files(name)


def test_the_cache_serves_while_the_hub_fails(hub, run, published):
    pulled = run("pull", published).out
    hub.fail(f"/api/models/{published}", 503)
    ended = run("pull", published)
    assert (ended.code, ended.out) == (0, pulled)
    assert "Using the cached copy" in ended.err


def test_a_failing_hub_without_a_cached_copy(hub, run, published):
    hub.fail(f"/api/models/{published}", 503)
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
        (["nonsense"], "", "'nonsense' is no Hub id; write OWNER/NAME"),
        (["a/b@x", "--revision", "y"], "", "contradict each other"),
        (["me/a--b"], "", "the Hub does not allow the name me/a--b"),
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


@pytest.mark.parametrize(
    ("target", "token", "message"),
    [
        ("me/new", "", "pushing to me/new needs a token; set HF_TOKEN"),
        ("me/new", WRONG_TOKEN, "the Hub refuses the token"),
        ("me/new", READ_TOKEN, "the token may not write to me/new"),
        ("someone/new", WRITE_TOKEN, "the token may not write to someone/new"),
        ("me/taken", WRITE_TOKEN, "me/taken holds another library's model; choose another name"),
        ("me", WRITE_TOKEN, "'me' is no Hub id"),
    ],
)
def test_push_says_why_it_is_refused(hub, run, folder, target, token, message):
    hub.add("me/taken", {"config.json": b'{"library_name": "timm"}'})
    before = set(hub.repositories)
    assert message in run("push", folder, target, token=token).error
    assert set(hub.repositories) == before
    assert hub.files("me/taken").keys() == {"config.json"}


def test_a_folder_that_is_no_model_is_not_pushed(hub, run, folder, name):
    (folder / "model.safetensors").write_bytes(b"damaged")
    assert "model.safetensors cannot be read" in run("push", folder, name, token=WRITE_TOKEN).error
    assert name not in hub.repositories


def test_a_file_that_holds_a_token_is_not_pushed(hub, run, folder, name):
    (folder / "recipe.toml").write_text(f'note = "{WRITE_TOKEN}"\n')
    error = run("push", folder, name, token=WRITE_TOKEN).error
    assert f"{folder / 'recipe.toml'} holds a Hub token" in error
    assert name not in hub.repositories


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


def test_the_card_has_metadata_that_the_hub_reads(tiny_tagger, folder):
    from huggingface_hub import ModelCard

    from audiotag.card import model_card

    card = ModelCard(model_card(folder, "me/birds"))
    assert card.data.library_name == "audiotag"
    assert card.data.pipeline_tag == "audio-classification"
    assert {"audiotag", "dcls", "convnext_dcls_audio_atto"} <= set(card.data.tags)
    parameters = sum({id(x): x.numel() for x in tiny_tagger.parameters()}.values())
    assert f"| Parameters | {parameters:,} |" in card.text
    assert "| mAP | 0.2346 |" in card.text and "| mAP | 0.1 |" not in card.text
    assert "AudioSet's 527 classes" in card.text and "arXiv:2309.13972" in card.text
    assert 'audiotag.load_tagger("me/birds")' in card.text


def test_the_card_lists_labels_of_ones_own(tmp_path):
    from audiotag.card import model_card
    from audiotag.labels import Labels
    from audiotag.tagger import Tagger, TaggerConfig

    names = [f"bird {i}" for i in range(70)]
    args = {"depths": [1, 1, 1, 1], "dims": [8, 8, 16, 32]}
    config = TaggerConfig("convnext_dcls_audio_atto", Labels(names), model_args=args)
    Tagger.create(config).save(tmp_path)
    text = model_card(tmp_path)
    assert "bird 0, bird 1, " in text and "bird 59, and 10 more" in text
    assert "## Results" not in text and "## Training" not in text


def test_the_folders_own_card_is_pushed_as_it_is(hub, run, folder, name):
    (folder / "README.md").write_text("---\nlicense: mit\n---\nMine.\n")
    run("push", folder, name, token=WRITE_TOKEN)
    assert hub.files(name)["README.md"] == b"---\nlicense: mit\n---\nMine.\n"


def test_paths_in_a_recipe_lose_their_folders():
    from audiotag.hub import _without_folders

    for path in ("/a/b c/mn04", "~/x/mn04", "~me/mn04", r"C:\\x\\mn04", "C:/mn04", "/a/mn04"):
        assert _without_folders(f'a = "{path}"') == 'a = "mn04"'
    for text in ('a = "models/mn04"', 'a = ["x", "y/z@v1"]', "a = 1.0"):
        assert _without_folders(text) == text


def test_file_names_are_those_the_model_and_training_write():
    from audiotag import card, hub, training

    assert (hub.RECIPE_FILE, hub.METRICS_FILE) == (training.RECIPE_FILE, training.METRICS_FILE)
    assert (card.RECIPE_FILE, card.METRICS_FILE) == (training.RECIPE_FILE, training.METRICS_FILE)


def test_pull_does_not_wait_for_torch():
    code = "import sys, audiotag.hub; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], timeout=TIMEOUT).returncode == 0


def test_a_revision_is_part_of_an_id():
    from audiotag.hub import HubId

    assert HubId.parse("a/b@refs/pr/1") == HubId("a/b", "refs/pr/1")
    assert str(HubId.parse("a/b", "v1")) == "a/b@v1"
    with pytest.raises(HubError, match="no Hub id"):
        HubId.parse("a/b/c")
