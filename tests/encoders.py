"""Randomly initialised encoders, small enough to be saved and applied in a test."""

from pathlib import Path

import torch
from transformers import (
    HubertConfig,
    HubertModel,
    SeamlessM4TFeatureExtractor,
    Wav2Vec2BertConfig,
    Wav2Vec2BertModel,
    Wav2Vec2Config,
    Wav2Vec2FeatureExtractor,
    Wav2Vec2Model,
    WavLMConfig,
    WavLMModel,
    WhisperConfig,
    WhisperFeatureExtractor,
    WhisperModel,
)

WIDTH, BLOCKS = 16, 2
SECONDS = 1  # window of the tiny Whisper
_WAVES = {
    "hidden_size": WIDTH,
    "num_hidden_layers": BLOCKS,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "conv_dim": (8,) * 7,
    "num_conv_pos_embeddings": 16,
    "num_conv_pos_embedding_groups": 2,
}


def save_tiny(folder: Path) -> None:
    """Save one encoder of each family, as `save_pretrained` does."""
    torch.manual_seed(0)
    models = {
        "wav2vec2": Wav2Vec2Model(Wav2Vec2Config(**_WAVES)),
        "hubert": HubertModel(HubertConfig(**_WAVES)),
        "wavlm": WavLMModel(WavLMConfig(**_WAVES)),
        "whisper": WhisperModel(_whisper()),
        "wav2vec2-bert": Wav2Vec2BertModel(Wav2Vec2BertConfig(**_WAVES)),
    }
    waves = Wav2Vec2FeatureExtractor(do_normalize=True)
    others = {
        "whisper": WhisperFeatureExtractor(chunk_length=SECONDS),
        "wav2vec2-bert": SeamlessM4TFeatureExtractor(),
    }
    for name, model in models.items():
        model.save_pretrained(folder / name)
        others.get(name, waves).save_pretrained(folder / name)


def _whisper() -> WhisperConfig:
    return WhisperConfig(
        d_model=WIDTH,
        encoder_layers=BLOCKS,
        decoder_layers=1,
        encoder_attention_heads=2,
        decoder_attention_heads=2,
        encoder_ffn_dim=32,
        decoder_ffn_dim=32,
        max_source_positions=50 * SECONDS,
        max_target_positions=8,
        vocab_size=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
