"""Data sets of every form, from files to figures: prepared, trained on for two steps, evaluated."""

import io
import json
import tarfile

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile
from click.testing import CliRunner

from audiotag.cli import cli
from tests.data.sources.datasets.test_tables import AUDIO, CLASS_LABEL, table
from tests.support.made_recordings import RATE, noise

COUNT = 10
RECIPE = """
[model]
architecture = "test_resnet"
[features.args]
n_mels = 64
hop_length = 640
[data]
crop_seconds = [1.0]
[optim]
warmup_epochs = 0.0
[train]
epochs = 1
save_every = 1
batch_size = 4
"""
LISTS = {"balanced_train": range(8), "eval": range(8, COUNT)}
MIDS = ("/m/04rlf", "/m/09x0r")


def flac(number):
    file = io.BytesIO()
    soundfile.write(file, noise(number), RATE, format="FLAC")
    return file.getvalue()


def esc_50_of_the_hub(folder):
    columns = {"fold": [i % 5 + 1 for i in range(COUNT)], "category": ["a", "b"] * 5}
    types = {"fold": pa.int64(), "category": pa.string()}
    (folder / "data").mkdir()
    path = folder / "data" / "train-00000-of-00001.parquet"
    pq.write_table(table(columns, types), path)
    return "hub", "valid", 2


def several_named_labels(folder):
    feature = {"labels": {"feature": CLASS_LABEL, "_type": "Sequence"}}
    for name in ("train", "validation"):
        written = table({"labels": [[0], [1, 2]] * 5}, {"labels": pa.list_(pa.int64())}, feature)
        pq.write_table(written, folder / f"{name}-00000-of-00001.parquet")
    return "hub", "valid", COUNT


def audio_folder(folder):
    rows = []
    for number in range(COUNT):
        split = "val" if number > 7 else "train"
        (folder / split).mkdir(exist_ok=True)
        (folder / split / f"{number}.flac").write_bytes(flac(number))
        rows.append({"file_name": f"{split}/{number}.flac", "label": "ab"[number % 2]})
    (folder / "metadata.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return "hub", "valid", 2


def class_folders(folder):
    for number in range(COUNT):
        place = folder / ("val" if number > 7 else "train") / "ab"[number % 2]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{number}.flac").write_bytes(flac(number))
    return "folder", "valid", 2


def write_lists(folder):
    for name, numbers in LISTS.items():
        lines = (f'id-{i:08d}, 30.000, 40.000, "{MIDS[i % 2]}"\n' for i in numbers)
        (folder / f"{name}_segments.csv").write_text("".join(lines))


def audioset_parquet_anywhere(folder):
    for name, numbers in {"first/training": range(8), "second/evaluation": range(8, 10)}.items():
        rows = [
            {
                "video_id": f"id-{i:08d}",
                "audio": {"bytes": flac(i), "path": None},
                "labels": [MIDS[i % 2]],
            }
            for i in numbers
        ]
        types = [("video_id", pa.string()), ("audio", AUDIO), ("labels", pa.list_(pa.string()))]
        (folder / name).mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, pa.schema(types)), folder / name / "0.parquet")
    return "audioset", "eval", 2


def tars_with_labels_in_the_lists(folder):
    write_lists(folder)
    with tarfile.open(folder / "00000.tar", "w") as tar:
        for number in range(COUNT):
            data = flac(number)
            member = tarfile.TarInfo(f"Yid-{number:08d}_30000.flac")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return "audioset", "eval", 2


def whole_videos(folder):
    write_lists(folder)
    for number in range(COUNT):
        path = folder / f"Yid-{number:08d}.wav"
        soundfile.write(path, noise(number, 41), RATE)
    return "audioset", "eval", 2


@pytest.mark.slow
@pytest.mark.parametrize(
    "write",
    [
        *(esc_50_of_the_hub, several_named_labels, audio_folder, class_folders),
        *(audioset_parquet_anywhere, tars_with_labels_in_the_lists, whole_videos),
    ],
)
def test_prepared_trained_and_evaluated(tmp_path, write):
    (tmp_path / "source").mkdir()
    kind, split, clips = write(tmp_path / "source")
    (tmp_path / "recipe.toml").write_text(RECIPE)

    def run(*words):
        result = CliRunner().invoke(cli, list(map(str, words)))
        assert result.exit_code == 0, result.output
        return result.stdout

    source, data, out = (tmp_path / name for name in ("source", "data", "run"))
    run("prepare", kind, source, data, "--keep-duplicates")
    words = ("--data", data, "--out", out, "--set", f"data.valid_split={split}")
    run("train", tmp_path / "recipe.toml", *words, "--device", "cpu")
    found = json.loads(run("evaluate", out, data, "--split", split, "--json", "--device", "cpu"))
    assert found["clips"] == clips and 0 <= found["figures"]["mAP"]["value"] <= 1
