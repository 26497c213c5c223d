"""How fast SmolLM2 writes, against transformers on the same weights and against the memory.

One token of a batch of one takes all weights through the processor once: what memory can deliver
in that time bounds every implementation. Both libraries take turns in one process.
"""

from __future__ import annotations

import statistics
import tempfile
from pathlib import Path

import torch
from measure import Row, best_seconds, seconds

from llmlab.inference import generate
from llmlab.model import GPT, count_parameters, load_pretrained

N_TOKENS = 128
PROMPT = "The history of the lighthouse begins"


def rows(repeats: int = 5) -> list[Row]:
    """Measure both libraries and the bandwidth in turns; rates are medians of `repeats`."""
    model, tokenizer = load_pretrained("SmolLM2-135M-Instruct", device="cpu")
    theirs = same_weights_in_transformers(model)
    ids = tokenizer.encode(PROMPT)
    big = torch.ones(150_000_000)
    runs: dict[str, list[float]] = {"ours": [], "theirs": [], "bandwidth": []}
    for _ in range(repeats):
        runs["ours"].append(N_TOKENS / seconds(lambda: _ours(model, ids)))
        runs["theirs"].append(N_TOKENS / seconds(lambda: _theirs(theirs, ids)))
        runs["bandwidth"].append(big.nbytes / best_seconds(big.sum, repeats=3))
    ours, others = statistics.median(runs["ours"]), statistics.median(runs["theirs"])
    bandwidth = statistics.median(runs["bandwidth"])
    share = ours * 4 * count_parameters(model) / bandwidth
    return [
        Row(
            what=f"decoding, batch 1, {N_TOKENS} tokens, float32, against transformers",
            measured=f"{ours / others:.2f} times ({ours:.1f} against {others:.1f} tokens/s)",
            target=">= 1.3 times",
            met=ours >= 1.3 * others,
        ),
        Row(
            what="the same, as a share of what memory allows",
            measured=f"{100 * share:.0f} % (memory reads {bandwidth / 1e9:.0f} GB/s)",
            target=">= 50 %",
            met=share >= 0.5,
        ),
    ]


def _ours(model: GPT, ids: list[int]) -> None:
    assert len(list(generate(model, ids, max_new_tokens=N_TOKENS, temperature=0))) == N_TOKENS


def _theirs(model, ids: list[int]) -> None:
    out = model.generate(
        torch.tensor([ids]),
        attention_mask=torch.ones(1, len(ids), dtype=torch.long),
        max_new_tokens=N_TOKENS,
        min_new_tokens=N_TOKENS,
        do_sample=False,
        pad_token_id=0,
    )
    assert out.shape[1] == len(ids) + N_TOKENS


def same_weights_in_transformers(model: GPT):
    """Make transformers' Llama of the same config and weights, checked on the logits."""
    from safetensors.torch import save_file
    from transformers import LlamaConfig, LlamaForCausalLM

    from llmlab.model.formats import llama_names

    config = model.config
    with tempfile.TemporaryDirectory() as folder:
        LlamaConfig(
            vocab_size=config.vocab_size,
            hidden_size=config.width,
            intermediate_size=config.hidden_width,
            num_hidden_layers=config.n_layers,
            num_attention_heads=config.n_heads,
            num_key_value_heads=config.kv_heads,
            max_position_embeddings=config.context,
            rms_norm_eps=config.norm_eps,
            rope_parameters={"rope_type": "default", "rope_theta": config.rotary_base},
            tie_word_embeddings=config.tied,
            architectures=["LlamaForCausalLM"],
        ).save_pretrained(folder)
        weights = model.state_dict()
        named = {theirs: weights[ours] for theirs, ours in llama_names(config).items()}
        save_file(named, Path(folder) / "model.safetensors", metadata={"format": "pt"})
        theirs = LlamaForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    ids = torch.arange(100, 120).unsqueeze(0)
    with torch.inference_mode():
        torch.testing.assert_close(theirs(ids).logits, model(ids), atol=1e-3, rtol=0)
    return theirs


if __name__ == "__main__":
    print(*(row.markdown() for row in rows()), sep="\n")
