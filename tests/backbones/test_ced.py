"""CED against its authors' parameter counts and stored logits, from maps and from a recording."""

import copy

import numpy as np
import pytest
import soundfile
import soxr
import timm
import torch
from safetensors.torch import save_file

from audiotag.backbones import ced
from audiotag.layers.folding import fold
from audiotag.models.model import Model
from audiotag.models.onnx.export import export
from audiotag.models.onnx.model import OnnxModel
from audiotag.models.published.convert import convert, import_checkpoint
from audiotag.training.optim.optim import parameter_groups
from audiotag.training.recipe.sections import OptimRecipe
from tests.support import reference_models

PARAMETERS = {
    "ced_tiny": 5_503_183,
    "ced_mini": 9_696_655,
    "ced_small": 21_622_543,
    "ced_base": 85_711_759,
}
FRAMES = (1001, 400)
CLIP = "f62-S-v2swA_200_210.wav"
TINY = {"embed_dim": 24, "num_heads": 3, "depth": 2}


@pytest.fixture(scope="module", params=PARAMETERS)
def reference(request):
    """A size's name, and the model with the reference's deterministic weights."""
    model = timm.create_model(request.param).eval()
    state = ced.from_published(reference_models.state_dict(request.param), model)
    model.load_state_dict(state)
    return request.param, model


@pytest.fixture(scope="module")
def tagger(tmp_path_factory) -> Model:
    """What `convert` makes of the file on Zenodo."""
    folder = tmp_path_factory.mktemp("ced")
    file = folder / "audiotransformer_tiny_mAP_4814.pt"
    torch.save(reference_models.state_dict("ced_tiny"), file)
    return Model.load(convert(file, folder / "converted"))


@pytest.fixture
def small() -> torch.nn.Module:
    """A small one whose patches and places all count."""
    torch.manual_seed(0)
    model = timm.create_model("ced_tiny", num_classes=5, **TINY).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return model


def difference(model: torch.nn.Module, name: str) -> float:
    """Largest difference from the reference's logits, at both lengths."""
    stored = reference_models.logits(name)
    with torch.inference_mode():
        found = torch.stack([model(reference_models.ced_maps(frames)) for frames in FRAMES])
    return (found - stored).abs().max().item()


def test_parameter_counts_are_the_references(reference):
    name, model = reference
    assert sum(p.numel() for p in model.parameters()) == PARAMETERS[name]


def test_logits_are_the_references(reference):
    name, model = reference
    assert reference_models.logits(name).std() > 0.4
    assert difference(model, name) < 1e-4


def test_folded_logits_are_the_references(reference):
    name, model = reference
    assert difference(fold(copy.deepcopy(model)), name) < 1e-4


def test_logits_from_the_waveform_are_the_references(tagger, test_data):
    samples, rate = soundfile.read(test_data / "clips" / CLIP, dtype="float32")
    waveform = torch.from_numpy(soxr.resample(samples, rate, tagger.sample_rate))[None]
    expected = torch.from_numpy(np.load(reference_models.FOLDER / "ced_tiny.wave_logits.npy"))
    with torch.inference_mode():
        assert (tagger(waveform) - expected).abs().max() < 1e-3
        assert tagger.embed(waveform).shape == (1, 192)


def test_the_files_on_zenodo_and_on_the_hub_make_the_same_model(tagger, tmp_path):
    state, keys = reference_models.state_dict("ced_tiny"), reference_models.ced_hub_keys("ced_tiny")
    save_file({keys[key]: x for key, x in state.items() if key in keys}, tmp_path / "m.safetensors")
    torch.save({"model": state}, tmp_path / "nested.pt")
    for file in ("m.safetensors", "nested.pt"):
        other = import_checkpoint(tmp_path / file)
        assert other.resolved_config() == tagger.config
        ours, theirs = other.backbone.state_dict(), tagger.backbone.state_dict()
        torch.testing.assert_close(ours, theirs, atol=0, rtol=0)


def test_a_width_that_is_not_published_is_converted_too(tmp_path):
    torch.manual_seed(0)
    arguments = {"embed_dim": 128, "num_heads": 2}
    model = timm.create_model("ced_base", **arguments).eval()
    keys = {key.replace("init_bn.", "init_bn.1."): x for key, x in model.state_dict().items()}
    torch.save(keys, tmp_path / "wide.pt")
    found = import_checkpoint(tmp_path / "wide.pt")
    assert (found.config.architecture, found.config.model_args) == ("ced_base", arguments)
    maps = torch.randn(1, 1, 64, 120)
    torch.testing.assert_close(found.backbone(maps), model(maps))


@torch.no_grad()
def test_long_maps_are_split_evenly_and_never_padded(small):
    ramp = torch.linspace(-5, 5, 2501)
    maps = torch.randn(2, 1, 64, 2501) + ramp  # three pieces of 833 frames
    pieces = [maps[..., i * 833 : (i + 1) * 833] for i in range(3)]
    scores = torch.stack([small(piece).double().sigmoid() for piece in pieces])
    assert (scores[0] - scores[1]).abs().max() > 0.05
    torch.testing.assert_close(small(maps).double().sigmoid(), scores.mean(0), rtol=1e-4, atol=1e-6)
    embeddings = [small.forward_head(small.forward_features(x), pre_logits=True) for x in pieces]
    found = small.forward_head(small.forward_features(maps), pre_logits=True)
    torch.testing.assert_close(found, torch.stack(embeddings).mean(0))
    assert small.forward_features(torch.zeros(1, 1, 64, 1012)).shape == (1, 1, 4 * 63, 24)
    assert small.forward_features(torch.zeros(1, 1, 64, 1013)).shape == (1, 2, 4 * 31, 24)


def test_less_than_a_patch_is_refused(small, tagger):
    with pytest.raises(ValueError, match="takes 16 frames or more, got 15"):
        small(torch.zeros(1, 1, 64, 15))
    shortest = round(tagger.min_duration * tagger.sample_rate)
    assert tagger.score_windows(np.zeros((1, shortest), np.float32)).shape == (1, 527)


@torch.no_grad()
def test_timm_interface(small):
    x = torch.randn(3, 1, 64, 130)
    maps = small.forward_features(x)
    embedding = small.forward_head(maps, pre_logits=True)
    assert embedding.shape == (3, small.num_features)
    torch.testing.assert_close(small.get_classifier()(embedding), small(x))
    small.reset_classifier(7)
    assert small(x).shape == (3, 7)
    small.reset_classifier(0)
    torch.testing.assert_close(small(x), embedding)
    stereo = timm.create_model("ced_mini", in_chans=2, num_classes=3, **TINY)
    assert stereo(torch.zeros(1, 2, 64, 40)).shape == (1, 3)


def test_deeper_layers_learn_faster(small):
    """With a rate for each layer: those of the stem the least, of the classifier the whole."""
    groups = parameter_groups(small, OptimRecipe(layer_decay=0.5))
    names = {parameter: name for name, parameter in small.named_parameters()}
    rates = {names[p]: group["lr_scale"] for group in groups for p in group["params"]}
    assert rates.keys() == set(names.values())
    stem = {rates[x] for x in ("time_pos_embed", "freq_pos_embed", "patch_embed.proj.weight")}
    first, second = (rates[f"blocks.{i}.attn.qkv.weight"] for i in range(2))
    assert stem == {first / 2} and second == 2 * first
    assert rates["norm.weight"] == second and rates["outputlayer.1.weight"] == 1 == 2 * second


@pytest.mark.parametrize("waveform", [False, True])
def test_exported_it_computes_the_same_at_any_length(tmp_path, waveform):
    torch.manual_seed(0)
    whole = import_checkpoint(_tiny_checkpoint(tmp_path))
    exported = export(whole, tmp_path / "ced.onnx", waveform=waveform)
    assert exported.difference < 1e-4
    engine = OnnxModel.load(exported.path)
    for seconds in (0.16, 0.9, 10.0, 13.0, 24.0):
        heard = np.random.default_rng(1).normal(0, 0.1, (2, round(seconds * 16_000)))
        heard = heard.astype(np.float32)
        scores = whole.score_windows(heard)
        assert scores.std() > 0.1
        np.testing.assert_allclose(engine.score_windows(heard), scores, atol=1e-4)
        np.testing.assert_allclose(
            engine.embed_windows(heard), whole.embed_windows(heard), atol=1e-4
        )


def _tiny_checkpoint(folder):
    """A file as on Zenodo, of a narrow network whose scores spread."""
    model = timm.create_model("ced_base", embed_dim=48, num_heads=1)
    torch.nn.init.normal_(model.outputlayer[1].weight, std=0.5)
    model.init_bn.running_mean.fill_(-30)
    model.init_bn.running_var.fill_(400)
    state = {key.replace("init_bn.", "init_bn.1."): x for key, x in model.state_dict().items()}
    torch.save(state, folder / "narrow.pt")
    return folder / "narrow.pt"
