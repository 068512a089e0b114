"""Tiny audio classifiers of transformers with random weights, of every kind, as it saves them."""

from pathlib import Path
from typing import Any

import torch

from audiotag.label_set import Labels

W2V = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "conv_dim": (8, 8, 8),
    "conv_stride": (5, 4, 4),
    "conv_kernel": (10, 8, 4),
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
    "classifier_proj_size": 12,
}
SEW = {**W2V, "squeeze_factor": 2, "conv_dim": (8, 8, 16)}
AST = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "max_length": 128,
}
WHISPER = {
    "d_model": 16,
    "encoder_layers": 2,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "decoder_layers": 1,
    "decoder_attention_heads": 2,
    "decoder_ffn_dim": 24,
    "vocab_size": 60,
    "num_mel_bins": 80,
    "max_source_positions": 500,
    "classifier_proj_size": 12,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "decoder_start_token_id": 1,
}
BERT = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 24,
    "feature_projection_input_dim": 160,
    "classifier_proj_size": 12,
}
# By kind: arguments of its config; its feature extractor, and arguments of that.
KINDS: dict[str, tuple[dict[str, Any], str, dict[str, Any]]] = {
    "audio-spectrogram-transformer": (AST, "ASTFeatureExtractor", {"max_length": 128}),
    "data2vec-audio": (W2V, "Wav2Vec2FeatureExtractor", {"return_attention_mask": True}),
    "hubert": (W2V, "Wav2Vec2FeatureExtractor", {}),
    "sew": (SEW, "Wav2Vec2FeatureExtractor", {}),
    "sew-d": (SEW, "Wav2Vec2FeatureExtractor", {}),
    "unispeech": (W2V, "Wav2Vec2FeatureExtractor", {}),
    "unispeech-sat": (W2V, "Wav2Vec2FeatureExtractor", {}),
    "wav2vec2": (W2V, "Wav2Vec2FeatureExtractor", {"do_normalize": False}),
    "wav2vec2-bert": (BERT, "SeamlessM4TFeatureExtractor", {}),
    "wav2vec2-conformer": (W2V, "Wav2Vec2FeatureExtractor", {}),
    "wavlm": (W2V, "Wav2Vec2FeatureExtractor", {}),
    "whisper": (WHISPER, "WhisperFeatureExtractor", {"chunk_length": 10}),
}
NAMES = ("yes", "no", "up", "down")
AUDIOSET = Labels.audioset().names


def save_classifier(
    folder: Path, kind: str, problem: str | None = None, names: tuple[str, ...] = NAMES
) -> Path:
    """A classifier of a kind whose scores differ from clip to clip, as `save_pretrained` writes it
    and its feature extractor."""
    import transformers

    arguments, extractor, of_extractor = KINDS[kind]
    named = {"id2label": dict(enumerate(names)), "label2id": {x: i for i, x in enumerate(names)}}
    torch.manual_seed(0)
    config = transformers.CONFIG_MAPPING[kind](**arguments, **named, problem_type=problem)
    network = transformers.AutoModelForAudioClassification.from_config(config)
    for key, parameter in network.named_parameters():
        if key.startswith("classifier") and parameter.ndim > 1:
            torch.nn.init.normal_(parameter, std=3.0)
    network.save_pretrained(folder)
    getattr(transformers, extractor)(**of_extractor).save_pretrained(folder)
    return folder
