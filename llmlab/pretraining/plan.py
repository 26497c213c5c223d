"""What pretraining takes, computed before it starts: memory, arithmetic, time, messages.

Pure arithmetic on a model's config; ``docs/scaling.md`` explains every formula and compares it
with what was measured. Memory is in bytes, arithmetic in FLOPs (a multiplication and an addition
are two), time in seconds.
"""

from __future__ import annotations

from dataclasses import astuple, dataclass

from llmlab.model import GPTConfig
from llmlab.train.losses import _CHUNK, _CHUNK_ELSEWHERE, _LARGE_VOCABULARY
from llmlab.train.optim import AT_ONCE

FLOAT, HALF = 4, 2  # bytes of a number in float32 and in bfloat16
_PROGRAM = 300_000_000  # Python, PyTorch and what they keep for themselves


# Parameters ---------------------------------------------------------------------------------------


def layer_matrices(config: GPTConfig) -> list[tuple[int, int]]:
    """List the shapes of the matrices in one layer, (rows, columns): those that Muon trains.

    >>> layer_matrices(GPTConfig(vocab_size=10, context=4, width=6, n_layers=1, n_heads=2))
    [(6, 6), (6, 6), (6, 6), (6, 6), (24, 6), (6, 24)]
    """
    width, hidden = config.width, config.hidden_width
    queries, keys = config.n_heads * config.query_width, config.kv_heads * config.query_width
    into = [(hidden, width)] * (2 if config.activation == "swiglu" else 1)
    return [
        (queries, width),
        (keys, width),
        (keys, width),
        (width, queries),
        *into,
        (width, hidden),
    ]


def in_matrices(config: GPTConfig) -> int:
    """Count the parameters in the matrices of all layers.

    >>> in_matrices(GPTConfig(vocab_size=50_257, context=1024, width=768, n_layers=12, n_heads=12))
    84934656
    """
    return config.n_layers * sum(rows * columns for rows, columns in layer_matrices(config))


# Arithmetic ---------------------------------------------------------------------------------------


def flops_per_token(config: GPTConfig) -> int:
    """Count the FLOPs that learning from one token takes, forward and backward.

    6 for each number of a matrix it is multiplied with, the output head's included: 2 forward,
    and twice that backward, for the gradients of the vectors and of the matrix. Attention adds
    12 * layers * width * context, 4 of it forward for the scores and the mixing (counted, as is
    the custom, as if no position were masked). Source: Chowdhery et al. 2022 (PaLM), appendix B.

    >>> gpt2 = GPTConfig(vocab_size=50_257, context=1024, width=768, n_layers=12, n_heads=12)
    >>> flops_per_token(gpt2) / 1e6
    854.4...
    """
    in_products = in_matrices(config) + config.vocab_size * config.width
    attention = config.n_layers * config.n_heads * config.query_width * config.context
    return 6 * in_products + 12 * attention


def muon_flops(config: GPTConfig) -> int:
    """Count the FLOPs of one step of Muon: five Newton-Schulz steps of every layer's matrices.

    Of a matrix with R rows and K columns, R <= K, each of them takes 2 products of R x K with
    R x R or K x R and one of two R x R. They do not depend on the batch.
    """
    return config.n_layers * sum(
        5 * (4 * min(shape) * rows * columns + 2 * min(shape) ** 3)
        for shape in layer_matrices(config)
        for rows, columns in [shape]
    )


def compute_optimal_tokens(n_parameters: int) -> int:
    """Give the number of tokens from which a given amount of arithmetic learns most: 20 each.

    Source: Hoffmann et al. 2022, "Training compute-optimal large language models", table 3.

    >>> compute_optimal_tokens(124_000_000)
    2480000000
    """
    return 20 * n_parameters


# Memory -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Memory:
    """What one process keeps, in bytes; `working` is what the optimiser needs in passing."""

    weights: int
    gradients: int
    optimizer: int
    activations: int
    logits: int
    working: int
    program: int = _PROGRAM

    @property
    def total(self) -> int:
        """The most there is at once: activations are gone when the optimiser works."""
        *lasting, activations, logits, working, program = astuple(self)
        return sum(lasting) + max(activations + logits, working) + program


def optimizer_bytes(config: GPTConfig, kind: str = "muon") -> int:
    """Count what the optimiser remembers: one number a parameter for Muon, two for AdamW.

    >>> tiny = GPTConfig(vocab_size=10, context=4, width=4, n_layers=1, n_heads=2)
    >>> optimizer_bytes(tiny, "adamw") == 2 * 4 * tiny.n_parameters
    True
    """
    by_muon = in_matrices(config) if kind == "muon" else 0
    return FLOAT * (by_muon + 2 * (config.n_parameters - by_muon))


def activations_per_token(config: GPTConfig, *, half: bool = False) -> int:
    """Count what the forward pass keeps of one token for the backward pass, in bytes.

    The stream before each norm and what comes out of it; queries, keys, values and their mixture;
    what the feed-forward part holds before and after its bend. With `half`, under bfloat16, what
    goes into matrix products takes 2 bytes a number instead of 4.
    """
    norm = config.width + (1 if config.norm == "rms" else 2)  # a scale, or a mean and a scale
    queries, keys = config.n_heads * config.query_width, config.kv_heads * config.query_width
    exact = 2 * norm + config.n_heads
    if config.qk_norm:
        exact += queries + keys + config.n_heads + config.kv_heads
    hidden = config.hidden_width * (4 if config.activation == "swiglu" else 2)
    products = 2 * config.width + 4 * queries + hidden
    size = HALF if half else FLOAT
    last = FLOAT * norm + size * config.width
    return config.n_layers * (FLOAT * exact + size * products) + last


def logits_bytes(config: GPTConfig, n_tokens: int, device: str = "cpu") -> int:
    """Count what the loss of so many tokens takes: its logits, how they are read, their gradient.

    A large vocabulary is worked through in pieces (`head_cross_entropy`), where all three lie in
    one place, on a GPU with a copy in the format of its products on either side of it. Beside
    them the gradient of the output matrix and those of the vectors are kept.
    """
    if config.vocab_size < _LARGE_VOCABULARY:
        return 3 * FLOAT * n_tokens * config.vocab_size
    chunk = min(_CHUNK.get(device, _CHUNK_ELSEWHERE), n_tokens)
    kept = config.vocab_size * config.width + n_tokens * config.width
    at_once = 1 if device == "cpu" else 2
    return FLOAT * (at_once * chunk * config.vocab_size + kept)


def muon_working_bytes(config: GPTConfig) -> int:
    """Count what Muon needs in passing: about seven copies of the matrices it moves at once."""
    shapes = config.n_layers * layer_matrices(config)
    portions = []
    for shape in set(shapes):
        size = shape[0] * shape[1]
        portions.append(min(shapes.count(shape), max(1, AT_ONCE // size)) * size)
    return 7 * FLOAT * max(portions)


def memory(
    config: GPTConfig,
    n_tokens: int,
    *,
    kind: str = "muon",
    n_processes: int = 1,
    fsdp: bool = False,
    half: bool = False,
    device: str = "cpu",
) -> Memory:
    """Count what one process keeps while it computes `n_tokens` at once.

    With `fsdp` the lasting things are shared out; the embeddings and two layers are there whole
    all the same, as weights and as gradients, because they are in use.
    """
    weights = FLOAT * config.n_parameters
    copies = HALF * (in_matrices(config) + config.vocab_size * config.width) if half else 0
    gradients, optimizer = weights, optimizer_bytes(config, kind)
    if fsdp and n_processes > 1:
        layer = FLOAT * (in_matrices(config) // config.n_layers)
        in_use = weights - config.n_layers * layer + min(2, config.n_layers) * layer
        weights = weights // n_processes + in_use
        gradients = gradients // n_processes + in_use
        optimizer //= n_processes
        copies = copies * in_use // (FLOAT * config.n_parameters)
    return Memory(
        weights=weights + copies,
        gradients=gradients,
        optimizer=optimizer,
        activations=n_tokens * activations_per_token(config, half=half),
        logits=logits_bytes(config, n_tokens, device),
        working=muon_working_bytes(config) if kind == "muon" else 0,
    )


# Messages and time --------------------------------------------------------------------------------


def bytes_sent(
    config: GPTConfig,
    n_processes: int,
    *,
    fsdp: bool = False,
    kind: str = "muon",
    n_parts: int = 1,
) -> int:
    """Count the bytes that each process sends in one step.

    DDP adds the gradients up around a ring: 2 (n - 1) / n of them. FSDP collects the layers'
    weights forward and backward and the other weights once, and hands out gradients, each
    (n - 1) / n, for every one of the `n_parts` a process computes its rows in; Muon collects what
    it orthogonalises once more. Source: Rajbhandari et al. 2020 (ZeRO), section 7.

    >>> tiny = GPTConfig(vocab_size=10, context=4, width=4, n_layers=1, n_heads=2)
    >>> bytes_sent(tiny, 2) == 4 * tiny.n_parameters
    True
    """
    if n_processes == 1:
        return 0
    numbers = 2 * config.n_parameters
    if fsdp:
        numbers = n_parts * (2 * config.n_parameters + in_matrices(config))
        numbers += in_matrices(config) * (kind == "muon")
    return FLOAT * numbers * (n_processes - 1) // n_processes


def step_flops(config: GPTConfig, n_tokens: int, *, kind: str = "muon") -> int:
    """Count the FLOPs of a process's step: its tokens', and the optimiser's."""
    return n_tokens * flops_per_token(config) + (muon_flops(config) if kind == "muon" else 0)
