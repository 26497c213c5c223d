"""Read released model files: a config and weights by llmlab's names out of GGUF or a folder.

A source is a function from a released tensor's name to the tensor; each family has a table
from llmlab's names to the released ones.
"""

from __future__ import annotations

import json
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path

import torch
from torch import Tensor

from llmlab.model.gpt import GPTConfig

Weights = dict[str, Tensor]


class TensorStore:
    """The tensors of one or several safetensors (or ``pytorch_model.bin``) files in a folder."""

    def __init__(self, folder: Path):
        self.folder = folder
        index = folder / "model.safetensors.index.json"
        if index.exists():
            files = set(_read_json(index, "weight_map")["weight_map"].values())
        elif (folder / "model.safetensors").exists():
            files = {"model.safetensors"}
        elif (folder / "pytorch_model.bin").exists():
            files = set()
        else:
            raise FileNotFoundError(
                f"{folder} has no model.safetensors and no pytorch_model.bin; "
                "give a folder that model.save_pretrained wrote"
            )
        self._tensors = self._read(sorted(files))
        self.unread = set(self._tensors)

    def _read(self, files: list[str]) -> Weights:
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        if not files:
            return self._read_pickle(self.folder / "pytorch_model.bin")
        tensors: Weights = {}
        for name in files:
            try:
                tensors.update(load_file(self.folder / name))
            except FileNotFoundError:
                raise FileNotFoundError(
                    f"{self.folder / name} is missing, but the index names it; bring it again"
                ) from None
            except SafetensorError as error:
                raise ValueError(
                    f"{self.folder / name} is damaged or cut short ({error}); bring it again"
                ) from error
        return tensors

    def _read_pickle(self, path: Path) -> Weights:
        """Read a pickle of tensors without running what else is in it."""
        try:
            return torch.load(path, map_location="cpu", weights_only=True)
        except (pickle.UnpicklingError, RuntimeError, OSError, EOFError) as error:
            raise ValueError(
                f"{path} is damaged, or holds code beside tensors, which llmlab does not run; "
                "bring it again, or use a model.safetensors file"
            ) from error

    def __contains__(self, name: str) -> bool:
        return name in self._tensors

    def __call__(self, name: str) -> Tensor:
        """Give one tensor; raises ``ValueError`` when the files do not have it."""
        if name not in self._tensors:
            raise ValueError(
                f"the tensor {name!r} is missing in {self.folder}; the files are incomplete or of "
                "another model than config.json says: bring the folder again"
            )
        self.unread.discard(name)
        return self._tensors[name]


def read_folder(folder: Path) -> tuple[GPTConfig, Weights]:
    """Read a Hugging Face model folder of the GPT-2 or the Llama family."""
    path = folder / "config.json"
    if not path.exists():
        raise FileNotFoundError(f"{folder} has no config.json; give a model folder")
    released = _read_json(path, "model_type")
    families = {"gpt2": (_gpt2_config, _gpt2_weights), "llama": (_llama_config, _llama_weights)}
    kind = released["model_type"]
    if kind not in families:
        raise ValueError(
            f"{folder} holds a {kind!r} model; llmlab reads the families "
            f"{' and '.join(map(repr, families))}"
        )
    config_of, weights_of = families[kind]
    try:
        config = config_of(released)
    except KeyError as error:
        raise ValueError(
            f"{path} does not say {error.args[0]!r}, which a {kind} model needs; bring it again"
        ) from None
    store = TensorStore(folder)
    weights = weights_of(config, store)
    extra = sorted(name for name in store.unread if not _is_derived(name))
    if extra:
        raise ValueError(
            f"{folder} holds tensors that a {kind} model of its config does not have: "
            f"{', '.join(extra[:3])}{' …' if len(extra) > 3 else ''}; it is a changed architecture"
        )
    return config, weights


def _read_json(path: Path, needed: str) -> dict:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        content[needed]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path} is no JSON file with the entry {needed!r} ({error}); bring it again"
        ) from error
    return content


def _is_derived(name: str) -> bool:
    """Tell stored helpers (masks, rotary tables, a copy of a tied head) from learned weights."""
    return name.endswith(("attn.bias", "attn.masked_bias", "rotary_emb.inv_freq", "lm_head.weight"))


def _require(released: dict, what: str, allowed: Iterable, *, default: object) -> None:
    """Refuse a setting that would change the computation in a way llmlab does not have."""
    value = released.get(what, default)
    if value not in allowed:
        choices = " or ".join(repr(choice) for choice in allowed)
        raise ValueError(
            f"{what}={value!r} in config.json is unknown to llmlab; it reads {choices}"
        )


def _gpt2_config(released: dict) -> GPTConfig:
    gelu = ("gelu_new", "gelu_pytorch_tanh")
    _require(released, "activation_function", gelu, default="gelu_new")
    _require(released, "scale_attn_weights", (True,), default=True)
    _require(released, "scale_attn_by_inverse_layer_idx", (False,), default=False)
    return GPTConfig(
        vocab_size=released["vocab_size"],
        context=released["n_positions"],
        width=released["n_embd"],
        n_layers=released["n_layer"],
        n_heads=released["n_head"],
        hidden=released.get("n_inner"),
        norm_eps=released.get("layer_norm_epsilon", 1e-5),
        tied=released.get("tie_word_embeddings", True),
    )


def _gpt2_weights(config: GPTConfig, source: TensorStore) -> Weights:
    prefix = "transformer." if "transformer.wte.weight" in source else ""
    weights = {
        "token_embedding.weight": source(f"{prefix}wte.weight"),
        "position_embedding.weight": source(f"{prefix}wpe.weight"),
        "final_norm.weight": source(f"{prefix}ln_f.weight"),
        "final_norm.bias": source(f"{prefix}ln_f.bias"),
    }
    if not config.tied:
        weights["output.weight"] = source("lm_head.weight")
    parts = {
        "attention_norm": "ln_1",
        "attention.out": "attn.c_proj",
        "feed_forward_norm": "ln_2",
        "feed_forward.up": "mlp.c_fc",
        "feed_forward.down": "mlp.c_proj",
    }
    for layer in range(config.n_layers):
        theirs, ours = f"{prefix}h.{layer}.", f"blocks.{layer}."
        for our_part, their_part in parts.items():
            weight = source(f"{theirs}{their_part}.weight")
            # GPT-2's files hold matrices as (inputs, outputs), nn.Linear the other way round
            weights[f"{ours}{our_part}.weight"] = weight.T if weight.dim() == 2 else weight
            weights[f"{ours}{our_part}.bias"] = source(f"{theirs}{their_part}.bias")
        together = source(f"{theirs}attn.c_attn.weight"), source(f"{theirs}attn.c_attn.bias")
        matrices, biases = (tensor.chunk(3, dim=-1) for tensor in together)
        for part, matrix, bias in zip(("query", "key", "value"), matrices, biases, strict=True):
            weights[f"{ours}attention.{part}.weight"] = matrix.T
            weights[f"{ours}attention.{part}.bias"] = bias
    return weights


def _llama_config(released: dict) -> GPTConfig:
    _require(released, "hidden_act", ("silu",), default="silu")
    rope = released.get("rope_parameters") or {}
    scaling = released.get("rope_scaling") or {}
    kind = {"rope_type": rope.get("rope_type") or scaling.get("rope_type") or scaling.get("type")}
    _require(kind, "rope_type", ("default", None), default=None)
    width, n_heads = released["hidden_size"], released["num_attention_heads"]
    head_width = released.get("head_dim")
    return GPTConfig(
        vocab_size=released["vocab_size"],
        context=released["max_position_embeddings"],
        width=width,
        n_layers=released["num_hidden_layers"],
        n_heads=n_heads,
        n_kv_heads=released.get("num_key_value_heads"),
        head_width=None if head_width is None or head_width * n_heads == width else head_width,
        hidden=released["intermediate_size"],
        norm="rms",
        norm_eps=released.get("rms_norm_eps", 1e-6),
        positions="rotary",
        rotary_base=float(rope.get("rope_theta") or released.get("rope_theta") or 10_000.0),
        activation="swiglu",
        attention_bias=released.get("attention_bias", False),
        feed_forward_bias=released.get("mlp_bias", False),
        tied=released.get("tie_word_embeddings", False),
    )


_LLAMA_PARTS = {
    "attention_norm": "input_layernorm",
    "attention.query": "self_attn.q_proj",
    "attention.key": "self_attn.k_proj",
    "attention.value": "self_attn.v_proj",
    "attention.out": "self_attn.o_proj",
    "feed_forward_norm": "post_attention_layernorm",
    "feed_forward.gate": "mlp.gate_proj",
    "feed_forward.up": "mlp.up_proj",
    "feed_forward.down": "mlp.down_proj",
}


def llama_names(config: GPTConfig, *, prefix: str = "model.") -> dict[str, str]:
    """List llmlab's name for every tensor of a Llama-type folder, by the name in the folder."""
    names = {
        f"{prefix}embed_tokens.weight": "token_embedding.weight",
        f"{prefix}norm.weight": "final_norm.weight",
    }
    if not config.tied:
        names["lm_head.weight"] = "output.weight"
    for layer in range(config.n_layers):
        for ours, theirs in _LLAMA_PARTS.items():
            name, own_name = f"{prefix}layers.{layer}.{theirs}", f"blocks.{layer}.{ours}"
            names[f"{name}.weight"] = f"{own_name}.weight"
            biased = config.attention_bias if "self_attn" in theirs else config.feed_forward_bias
            if biased and "norm" not in theirs:
                names[f"{name}.bias"] = f"{own_name}.bias"
    return names


def _llama_weights(config: GPTConfig, source: TensorStore) -> Weights:
    prefix = "model." if "model.embed_tokens.weight" in source else ""
    names = llama_names(config, prefix=prefix)
    return {ours: source(theirs) for theirs, ours in names.items()}


_GGUF_PARTS = {
    "attention_norm": "attn_norm",
    "attention.query": "attn_q",
    "attention.key": "attn_k",
    "attention.value": "attn_v",
    "attention.out": "attn_output",
    "feed_forward_norm": "ffn_norm",
    "feed_forward.gate": "ffn_gate",
    "feed_forward.up": "ffn_up",
    "feed_forward.down": "ffn_down",
}


def gguf_config(field: Callable[[str], object], *, tied: bool) -> GPTConfig:
    """Read the config of a Llama-type GGUF file; `field` looks a key up, None when absent."""
    if field("general.architecture") != "llama":
        raise ValueError(
            f"the GGUF file holds a {field('general.architecture')!r} model; llmlab reads 'llama'"
        )
    width, n_heads = field("llama.embedding_length"), field("llama.attention.head_count")
    return GPTConfig(
        vocab_size=field("llama.vocab_size"),
        context=field("llama.context_length"),
        width=width,
        n_layers=field("llama.block_count"),
        n_heads=n_heads,
        n_kv_heads=field("llama.attention.head_count_kv"),
        hidden=field("llama.feed_forward_length"),
        norm="rms",
        # the file stores float32; the number that was meant has few digits
        norm_eps=float(f"{field('llama.attention.layer_norm_rms_epsilon'):.6g}"),
        positions="rotary",
        rotary_base=float(field("llama.rope.freq_base") or 10_000.0),
        activation="swiglu",
        attention_bias=False,
        feed_forward_bias=False,
        tied=tied,
    )


def gguf_names(config: GPTConfig) -> dict[str, str]:
    """List llmlab's name for every tensor of a Llama-type GGUF file, by the name in the file."""
    names = {
        "token_embd.weight": "token_embedding.weight",
        "output_norm.weight": "final_norm.weight",
    }
    if not config.tied:
        names["output.weight"] = "output.weight"
    for layer in range(config.n_layers):
        for ours, theirs in _GGUF_PARTS.items():
            names[f"blk.{layer}.{theirs}.weight"] = f"blocks.{layer}.{ours}.weight"
    return names


def gguf_pair_order(weight_OI: Tensor, n_heads: int) -> Tensor:
    """Undo the reordering of query and key rows in Llama-type GGUF files.

    There, the two channels that rotary positions turn together lie side by side; here they are
    half a head apart (`ops.rotary_angles`).
    """
    n_out, n_in = weight_OI.shape
    side_by_side = weight_OI.reshape(n_heads, n_out // n_heads // 2, 2, n_in)
    return side_by_side.transpose(1, 2).reshape(n_out, n_in)
