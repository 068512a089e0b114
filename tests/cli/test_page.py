"""`audiotag tag --output tags.html`: what the page and the folder beside it hold."""

import json
from pathlib import Path

import pytest
import soundfile
from click.testing import CliRunner

import audiotag
from audiotag.cli import cli

SAMPLES = Path(audiotag.__file__).parent / "assets" / "samples"


@pytest.fixture
def sounds(tmp_path):
    """A recording that browsers play, and one that they do not."""
    (tmp_path / "in").mkdir()
    samples, rate = soundfile.read(SAMPLES / "rooster.wav")
    for name in ("a.wav", "b.aiff"):
        soundfile.write(tmp_path / "in" / name, samples, rate)
    return tmp_path / "in"


def records(page):
    text = page.read_text(encoding="utf-8").partition('id="records">')[2]
    return [json.loads(line) for line in text.partition("</script>")[0].strip().splitlines()]


def tag(sounds, *options):
    page = sounds.parent / "tags.html"
    done = CliRunner().invoke(cli, ["tag", str(sounds), "--output", str(page), *options])
    assert done.exit_code == 0, done.output
    return records(page)


def test_recordings_have_pictures_and_previews_where_needed(sounds):
    wav, aiff = tag(sounds, "--events")
    assert wav["picture"].startswith("data:image/png;base64,") and "preview" not in wav
    assert wav["picture"] == aiff["picture"]  # the same sound
    assert wav["events"] == aiff["events"]
    info = soundfile.info(sounds.parent / aiff["preview"])
    assert info.format == "FLAC" and info.duration == pytest.approx(wav["duration"], abs=0.01)
    assert [x.name for x in (sounds.parent / "tags_files").iterdir()] == [
        Path(aiff["preview"]).name
    ]


def test_both_can_be_left_out(sounds):
    for record in tag(sounds, "--no-spectrogram", "--no-preview"):
        assert not {"picture", "pictured", "preview"} & record.keys()
    assert not (sounds.parent / "tags_files").exists()


def test_on_standard_output_all_lies_in_the_page(sounds):
    done = CliRunner().invoke(cli, ["tag", str(sounds), "--format", "html"])
    assert done.exit_code == 0 and done.stdout.count('"picture":"data:image/png') == 2
    assert '"preview"' not in done.stdout and len(list(sounds.parent.iterdir())) == 1


def test_a_folder_has_a_page_for_each(sounds):
    out = sounds.parent / "pages"
    done = CliRunner().invoke(cli, ["tag", str(sounds), "--format", "html", "--output", str(out)])
    assert done.exit_code == 0, done.output
    (aiff,) = records(out / "b.aiff.html")
    assert (out / aiff["preview"]).is_file() and (out / aiff["link"]).resolve() == sounds / "b.aiff"
