"""The configs of well-known published models, from their papers and released files."""

from __future__ import annotations

from llmlab.model.gpt import GPTConfig


def _gpt(vocab_size: int, context: int, width: int, n_layers: int, n_heads: int) -> GPTConfig:
    return GPTConfig(
        vocab_size=vocab_size, context=context, width=width, n_layers=n_layers, n_heads=n_heads
    )


PUBLISHED: dict[str, GPTConfig] = {
    # Radford et al. 2018, section 4.1. Its norms stand after each part, not before, and there is
    # none at the end: one norm fewer than this config has (1,536 of 117 million parameters).
    "GPT-1": _gpt(40_478, 512, 768, 12, 12),
    # Radford et al. 2019, table 2, as released.
    "GPT-2 small": _gpt(50_257, 1024, 768, 12, 12),
    "GPT-2 medium": _gpt(50_257, 1024, 1024, 24, 16),
    "GPT-2 large": _gpt(50_257, 1024, 1280, 36, 20),
    "GPT-2 XL": _gpt(50_257, 1024, 1600, 48, 25),
    # Brown et al. 2020, table 2.1. Every second layer looks at a narrower band of positions,
    # which changes no parameter.
    "GPT-3": _gpt(50_257, 2048, 12_288, 96, 96),
    # Allal et al. 2025, "SmolLM2", as released.
    "SmolLM2-135M": GPTConfig(
        vocab_size=49_152,
        context=8192,
        width=576,
        n_layers=30,
        n_heads=9,
        n_kv_heads=3,
        hidden=1536,
        norm="rms",
        positions="rotary",
        rotary_base=100_000.0,
        activation="swiglu",
        attention_bias=False,
        feed_forward_bias=False,
    ),
}
