import doctest
from dataclasses import replace

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import FlopCounterMode

from llmlab.model import GPT, GPTConfig, ops
from llmlab.pretraining import PretrainingRecipe, make_plan, plan
from llmlab.pretraining.machine import measured_flops, memory_there_is
from llmlab.train import NextTokenLoss, head_cross_entropy, optimizer_for, packed_batches, train
from llmlab.train.optim import Muon, orthogonalise

SIZES = {"vocab_size": 40, "context": 16, "width": 24, "n_heads": 4, "n_layers": 2}
PLAIN = {"norm": "rms", "attention_bias": False, "feed_forward_bias": False}
KINDS = {
    "gpt2": {},
    "llama": PLAIN | {"positions": "rotary", "activation": "swiglu", "hidden": 40, "tied": False},
    "grouped": PLAIN | {"positions": "rotary", "activation": "swiglu", "n_kv_heads": 2},
    "ours": PLAIN | {"positions": "rotary", "activation": "relu2", "qk_norm": True},
    "ours, grouped": PLAIN | {"activation": "relu2", "qk_norm": True, "n_kv_heads": 2},
    "wide heads": PLAIN | {"head_width": 10},
}


@pytest.fixture(params=KINDS.values(), ids=KINDS)
def config(request):
    return GPTConfig(**SIZES | request.param)


def one_batch(config, n_rows=3):
    ids = torch.randint(config.vocab_size, (n_rows * config.context + 1,)).tolist()
    return next(packed_batches(ids, context=config.context, batch_size=n_rows + 1))


def full_batch(config, n_rows=3):
    """Rows without any filling."""
    ids_BT = torch.randint(config.vocab_size, (n_rows, config.context + 1))
    batch = one_batch(config)
    return replace(
        batch, inputs=(ids_BT[:, :-1],), targets_BT=ids_BT[:, 1:].clone(), n_targets=None
    )


def bytes_saved(config):
    """Sum what autograd keeps between the passes, the parameters apart, each memory once."""
    model, kept = GPT(config), {}
    own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def pack(tensor):
        kept[tensor.untyped_storage().data_ptr()] = tensor
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        NextTokenLoss()(model, full_batch(config))
    return sum(t.untyped_storage().nbytes() for place, t in kept.items() if place not in own)


def test_what_a_layer_keeps_is_what_autograd_saves(config):
    n_tokens = 3 * config.context
    one, three = (replace(config, n_layers=n) for n in (1, 3))
    grown = bytes_saved(three) - bytes_saved(one)
    predicted = plan.activations_per_token(three) - plan.activations_per_token(one)
    assert predicted * n_tokens == grown


class Large(TorchDispatchMode):
    """Notes the memory that is asked for in pieces of some size at least."""

    def __init__(self, least):
        super().__init__()
        self.least, self.pieces = least, {}

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor) and result.untyped_storage().nbytes() >= self.least:
            self.pieces[result.untyped_storage().data_ptr()] = result  # and keeps its place taken
        return result


def test_the_loss_in_pieces_holds_the_logits_of_one_piece_once():
    config = GPTConfig(**SIZES | {"vocab_size": 5000})
    n_tokens, chunk = 1500, 512
    hidden_NC = torch.randn(n_tokens, config.width, requires_grad=True)
    weight_VC = torch.randn(config.vocab_size, config.width, requires_grad=True)
    targets_N = torch.randint(config.vocab_size, (n_tokens,))
    with Large(plan.FLOAT * chunk * config.vocab_size) as large:
        head_cross_entropy(hidden_NC, weight_VC, targets_N, reduction="sum").backward()
    logits = sum(piece.untyped_storage().nbytes() for piece in large.pieces.values())
    gradients = hidden_NC.grad.nbytes + weight_VC.grad.nbytes
    assert plan.logits_bytes(config, n_tokens) == logits + gradients


def test_activations_in_half_precision_take_between_half_and_all(config):
    full = plan.activations_per_token(config)
    assert full / 2 < plan.activations_per_token(config, half=True) < full


def test_the_arithmetic_is_what_a_counter_counts(config):
    model = GPT(config, attend=ops.attend)  # its products are plain, and all are counted
    batch = full_batch(config)
    with FlopCounterMode(display=False) as counter:
        NextTokenLoss()(model, batch).backward()
    assert counter.get_total_flops() == plan.flops_per_token(config) * batch.n_targets


def test_the_arithmetic_of_muon_is_what_a_counter_counts():
    config = GPTConfig(**SIZES | {"hidden": SIZES["width"]})  # square matrices only
    with FlopCounterMode(display=False) as counter:
        for shape in config.n_layers * plan.layer_matrices(config):
            orthogonalise(torch.randn(1, *shape))
    assert counter.get_total_flops() == plan.muon_flops(config)
    long = GPTConfig(**SIZES)
    with FlopCounterMode(display=False) as counter:  # long ones take a shorter way on a CPU
        for shape in long.n_layers * plan.layer_matrices(long):
            orthogonalise(torch.randn(1, *shape))
    assert 0.5 * plan.muon_flops(long) < counter.get_total_flops() < plan.muon_flops(long)


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_the_lasting_memory_is_that_of_the_tensors_there_are(config, kind):
    model = GPT(config)
    optimizer = optimizer_for(model, kind=kind)
    list(train(model, [full_batch(config)], optimizer=optimizer, steps=1))
    parts = plan.memory(config, 48, kind=kind)
    assert parts.weights == sum(p.nbytes for p in model.parameters())
    assert parts.gradients == sum(p.grad.nbytes for p in model.parameters())
    remembered = [t for state in optimizer.state.values() for t in state.values() if t.dim()]
    assert parts.optimizer == sum(tensor.nbytes for tensor in remembered)
    if kind == "muon":
        muon = next(part for part in optimizer.optimizers if isinstance(part, Muon))
        shapes = [tuple(p.shape) for group in muon.param_groups for p in group["params"]]
        assert sorted(shapes) == sorted(config.n_layers * plan.layer_matrices(config))


def test_memory_adds_up_and_is_shared_out():
    config = GPTConfig(vocab_size=1000, context=64, width=64, n_layers=10, n_heads=4)
    alone = plan.memory(config, 64)
    lasting = alone.weights + alone.gradients + alone.optimizer + alone.program
    assert alone.total == lasting + max(alone.activations + alone.logits, alone.working)
    assert plan.memory(config, 640_000).total > alone.total + 600_000 * plan.activations_per_token(
        config
    )
    ddp, fsdp = (plan.memory(config, 64, n_processes=4, fsdp=kind) for kind in (False, True))
    assert ddp == alone
    assert fsdp.optimizer == alone.optimizer // 4
    in_use = config.n_parameters - 0.8 * plan.in_matrices(config)
    assert fsdp.weights == fsdp.gradients == alone.weights // 4 + 4 * in_use
    assert fsdp.activations == alone.activations


@pytest.mark.parametrize("n", [1, 2, 8])
def test_what_is_sent(config, n):
    total = 4 * config.n_parameters
    assert plan.bytes_sent(config, n) == 2 * total * (n - 1) // n
    once = plan.bytes_sent(config, n, fsdp=True, kind="adamw")
    # collected forward and backward and handed out, but for the embeddings: not anew backward
    assert once == (2 * total + 4 * plan.in_matrices(config)) * (n - 1) // n
    assert plan.bytes_sent(config, n, fsdp=True, kind="adamw", n_parts=3) == pytest.approx(3 * once)
    muon = plan.bytes_sent(config, n, fsdp=True) - once
    assert muon == pytest.approx(4 * plan.in_matrices(config) * (n - 1) / n, abs=1)


def test_the_plan_of_a_recipe():
    recipe = PretrainingRecipe.load("gpt2-124m")
    made = make_plan(recipe, device="cpu", processes=8, flops=1e12, room=10**12)
    assert (made.rows, made.tokens) == (16, 5064 * 480 * 1024)
    assert made.step_flops == 60 * 1024 * plan.flops_per_token(recipe.model)
    assert made.seconds == pytest.approx(5064 * made.step_flops / 0.5e12)
    assert made.bytes_sent == plan.bytes_sent(recipe.model, 8)
    text = str(made)
    for words in ("124,439,808 parameters", "2,489,057,280 tokens, 20.0 a par", "8 on cpu; each"):
        assert words in text
    everything = replace(made, recipe=recipe.changed(training={"micro_batch": None}))
    assert everything.rows == 60


def test_a_plan_that_cannot_fit_is_refused_with_a_way_out_that_fits():
    recipe = PretrainingRecipe.load("gpt2-124m")
    roomy = make_plan(recipe, device="cpu", flops=1e12, room=10**11)
    roomy.check()
    replace(roomy, room=None).check()  # nobody knows
    with pytest.raises(
        ValueError, match=r"needs 12\.\d GB .* there are 8\.0 GB; .*micro_batch = "
    ) as e:
        replace(roomy, room=8 * 10**9).check()
    advised = int(str(e.value).rpartition("= ")[2])
    for rows, fits in ((advised, True), (advised + 1, False)):
        other = recipe.changed(training={"micro_batch": rows})
        needed = replace(roomy, recipe=other).memory.total
        assert (needed <= 8 * 10**9) is fits
    with pytest.raises(ValueError, match="choose a smaller model or a shorter context"):
        replace(roomy, room=10**9).check()


def test_a_model_too_large_for_one_is_to_be_shared_out():
    recipe = PretrainingRecipe.load("llama-7b")
    alone = make_plan(recipe, device="cpu", flops=1e12, room=80 * 10**9)
    with pytest.raises(ValueError, match=r"share the model out: --fsdp with (\d+) such") as error:
        alone.check()
    n = int(str(error.value).partition("with ")[2].partition(" ")[0])
    replace(alone, size=n, fsdp=True).check()
    with pytest.raises(ValueError, match="share the model out"):
        replace(alone, size=n // 2, fsdp=True).check()
    with pytest.raises(ValueError, match="share the model out"):
        replace(alone, size=n).check()  # many processes alone are no help


def test_this_machine_has_memory_and_speed(monkeypatch):
    device = torch.device("cpu")
    room = memory_there_is(device)
    assert room is None or room > 10**8
    if room is not None:
        monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
        assert memory_there_is(device) == room // 2
    assert measured_flops(device, seconds=0.05) > 1e8


def test_the_examples_in_the_docstrings():
    failed, tried = doctest.testmod(plan, optionflags=doctest.ELLIPSIS)
    assert failed == 0
    assert tried > 5
