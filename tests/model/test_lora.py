"""LoRA adapters: laws that hold for GPTs and Translators alike, and files that come back."""

import copy
import json
import math
import os
import types

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from torch.testing import assert_close

from llmlab.inference import generate
from llmlab.model import GPT, Classifier, count_parameters, lora, tensor_files
from llmlab.train import (
    NextTokenLoss,
    load_checkpoint,
    optimizer_for,
    packed_batches,
    save_checkpoint,
    train,
)

from .conftest import GPTS, LLAMA, RECIPE, random_translator, shaken
from .translators import FAMILIES, SOURCE, TARGET

ALL = ("query", "key", "value", "out", "up", "down")


def new(name, *, seed=0):
    """A model of one of the families, with a forward pass of its own, and something to run on."""
    if name in GPTS:
        ids_BT = torch.randint(23, (3, 10), generator=torch.Generator().manual_seed(1))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            return shaken(GPT(GPTS[name]), seed=seed).train(), (ids_BT,)
    return random_translator(FAMILIES[name], seed=seed).train(), (SOURCE, TARGET)


@pytest.fixture(params=[*GPTS, *FAMILIES])
def name(request):
    return request.param


def drawn(seed=0):
    return torch.Generator().manual_seed(seed)


def trained(model, *, seed=5):
    """Give A and B numbers as if they had learned."""
    generator = drawn(seed)
    with torch.no_grad():
        for parameter in lora.parameters(model):
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.3)
    return model


def test_the_output_is_unchanged_at_the_start(name):
    model, inputs = new(name)
    before = model(*inputs)
    layers = lora.add(model, 4, ALL, generator=drawn())
    assert len(layers) > 10
    assert torch.equal(model(*inputs), before)
    assert all(bool(layer.A_RI.any()) for layer in lora.adapters(model).values())


def test_merged_computes_what_unmerged_computes_and_is_plain(name):
    model, inputs = new(name)
    before, plain = model(*inputs), str(model)
    names = [key for key, _ in model.named_parameters()]
    lora.add(model, 4, ALL)
    trained(model)
    adapted = model(*inputs)
    assert not torch.allclose(adapted, before, atol=1e-2)
    lora.merge(model)
    assert_close(model(*inputs), adapted, atol=1e-5, rtol=1e-5)
    assert str(model) == plain
    assert [key for key, _ in model.named_parameters()] == names
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_removed_is_the_model_of_before(name):
    model, inputs = new(name)
    before = copy.deepcopy(model)
    lora.add(model, 2)
    trained(model)
    lora.remove(model)
    assert str(model) == str(before)
    for found, expected in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(found, expected)
    assert torch.equal(model(*inputs), before(*inputs))


@given(
    rank=st.integers(1, 8),
    n_in=st.integers(8, 12),
    n_out=st.integers(8, 12),
    alpha=st.floats(0.5, 32),
    bias=st.booleans(),
)
@settings(max_examples=25)
def test_one_layer_is_the_formula_written_out(rank, n_in, n_out, alpha, bias):
    model = torch.nn.ModuleDict({"query": lora.Linear(n_in, n_out, bias=bias)})
    base = copy.deepcopy(model["query"])
    lora.add(model, rank, ["query"], alpha=alpha)
    trained(model)
    layer, x_BI = model["query"], torch.randn(3, n_in)
    weight_OI = base.weight + alpha / rank * layer.B_OR @ layer.A_RI
    expected = x_BI @ weight_OI.T + (base.bias if bias else 0)
    assert_close(layer(x_BI), expected, atol=1e-4, rtol=1e-4)
    with torch.no_grad():  # a single vector takes another way
        assert_close(layer(x_BI[:1]), expected[:1], atol=1e-4, rtol=1e-4)


def test_a_is_drawn_and_reproducible():
    found = []
    for seed in (0, 0, 1):
        model, _ = new("llama")
        lora.add(model, 4, generator=drawn(seed))
        found.append(
            torch.cat([layer.A_RI.detach().flatten() for layer in lora.adapters(model).values()])
        )
    assert torch.equal(found[0], found[1])
    assert not torch.equal(found[0], found[2])
    bound = 1 / math.sqrt(16)
    assert float(found[0].abs().max()) <= bound
    # evenly between the bounds: the variance of such numbers is bound ** 2 / 3
    assert float(found[0].var()) == pytest.approx(bound**2 / 3, rel=0.2)


def test_only_adapters_get_gradients_and_their_number_is_exact(name):
    model, inputs = new(name)
    sizes = {
        key: part.weight.shape for key, part in model.named_modules() if hasattr(part, "weight")
    }
    everything = count_parameters(model)
    layers = lora.add(model, 3, ("query", "down"))
    trained(model)
    model(*inputs).square().sum().backward()
    own = {id(parameter) for parameter in lora.parameters(model)}
    for parameter in model.parameters():
        assert (parameter.grad is not None) == (id(parameter) in own)
        assert parameter.requires_grad == (id(parameter) in own)
    number = sum(parameter.numel() for parameter in lora.parameters(model))
    assert number == sum(3 * sum(sizes[layer]) for layer in layers)
    assert count_parameters(model) == everything + number


def test_targets_are_ends_of_names():
    model, _ = new("llama")
    assert lora.add(model, 2, ["blocks.1.attention.query"]) == ["blocks.1.attention.query"]
    lora.remove(model)
    gates = [name for name in lora.linear_layers(model) if name.endswith(".gate")]
    assert lora.add(model, 2, ["gate"]) == gates
    assert len(gates) == LLAMA.n_layers
    translator, _ = new("ours")
    lora.add(translator, 2, ["query"])
    assert len(lora.adapters(translator)) == 2 + 2 * 3  # a decoder layer also has a crossing one


REFUSED = {
    "no such layer": ({"targets": ["querry"]}, "no layer is called 'querry'; there are .*query"),
    "a part of a name": ({"targets": ["ery"]}, "no layer is called 'ery'"),
    "no layer": ({"targets": []}, "chooses no layer"),
    "a text": ({"targets": "query"}, "must be a list of names"),
    "rank 0": ({"rank": 0}, "rank=0 must be a whole number from 1 to 8"),
    "a large rank": ({"rank": 9}, "rank=9 must be a whole number from 1 to 8"),
    "half a rank": ({"rank": 2.5}, "rank=2.5"),
    "alpha 0": ({"alpha": 0}, "alpha=0 must be a number above 0"),
    "no alpha": ({"alpha": math.nan}, "alpha=nan"),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_nonsense_is_refused_and_changes_nothing(options, message):
    model, inputs = new("llama")
    plain, before = str(model), model(*inputs)
    with pytest.raises(ValueError, match=message):
        lora.add(model, **{"rank": 4} | options)
    assert str(model) == plain
    assert torch.equal(model(*inputs), before)
    assert all(parameter.requires_grad for parameter in model.parameters())


def test_twice_or_not_at_all():
    model, _ = new("gpt2")
    for function in (lora.merge, lora.remove):
        with pytest.raises(ValueError, match="has no adapters"):
            function(model)
    lora.add(model)
    with pytest.raises(ValueError, match="has adapters already"):
        lora.add(model)


# --- learning and using ---------------------------------------------------------------------------


def test_adapters_learn_and_the_rest_stays():
    model, _ = new("recipe")
    frozen = {key: weight.detach().clone() for key, weight in model.named_parameters()}
    lora.add(model, 4, ALL, generator=drawn())
    optimizer = optimizer_for(model, adam_lr=0.02)
    assert isinstance(optimizer, torch.optim.AdamW)  # nothing for Muon
    [group] = optimizer.param_groups
    assert {id(p) for p in group["params"]} == {id(p) for p in lora.parameters(model)}
    ids = torch.randint(23, (200,), generator=drawn(3)).tolist()
    batches = packed_batches(ids, context=12, batch_size=4, seed=0)
    losses = [step.loss for step in train(model, batches, optimizer=optimizer, steps=60)]
    assert sum(losses[-10:]) / 10 < sum(losses[:10]) / 10 - 0.3
    lora.remove(model)
    for key, weight in model.named_parameters():
        assert torch.equal(weight, frozen[key])


def test_other_optimisers_than_that_of_the_adapters_are_as_before():
    model, _ = new("recipe")
    kinds = [type(part).__name__ for part in optimizer_for(model).optimizers]
    assert kinds == ["Muon", "AdamW"]


def test_layers_below_the_first_adapter_keep_nothing_for_a_backward_pass():
    model, _ = new("recipe")
    ids = torch.randint(23, (100,), generator=drawn(3)).tolist()
    batch = next(packed_batches(ids, context=12, batch_size=4))

    def kept():
        own = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}
        sizes = {}

        def pack(tensor):
            if tensor.untyped_storage().data_ptr() not in own:
                sizes[tensor.untyped_storage().data_ptr()] = tensor.nbytes
            return tensor

        with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
            NextTokenLoss()(model, batch)
        return sum(sizes.values())

    lora.add(model, 2, ["blocks.0.attention.query"])
    low = kept()
    lora.remove(model)
    lora.add(model, 2, ["blocks.1.attention.query"])
    assert kept() < 0.75 * low


def test_generating_with_a_cache_is_generating_without():
    model, _ = new("llama")
    lora.add(model, 4, ALL)
    trained(model).eval()
    adapted = list(generate(model, [1, 2, 3], max_new_tokens=8, temperature=0))
    lora.merge(model)
    assert list(generate(model, [1, 2, 3], max_new_tokens=8, temperature=0)) == adapted


def test_a_checkpoint_says_what_to_do(tmp_path):
    model, inputs = new("gpt2")
    lora.add(model)
    trained(model)
    path = tmp_path / "model.safetensors"
    with pytest.raises(ValueError, match=r"lora.save\(model, path\) writes them alone"):
        save_checkpoint(path, model)
    lora.merge(model)
    save_checkpoint(path, model)
    assert torch.equal(load_checkpoint(path, device="cpu").model(*inputs), model(*inputs))


def test_a_classifier_can_be_adapted():
    model = Classifier(shaken(GPT(RECIPE)), 2)
    ids_BT = torch.randint(23, (3, 10))
    before = model(ids_BT)
    assert lora.add(model, 2)
    assert torch.equal(model(ids_BT), before)


# --- files ----------------------------------------------------------------------------------------


@pytest.fixture
def path(tmp_path):
    return tmp_path / "adapter ü.safetensors"


def test_a_file_brings_adapters_alone_to_the_same_model(name, path):
    model, inputs = new(name)
    layers = lora.add(model, 4, ("value", "up"), alpha=3)
    trained(model)
    lora.save(model, path, notes={"system": "Sei nett. ☺"})
    assert set(load_file(path)) == {f"{layer}.{part}" for layer in layers for part in "AB"}
    fresh, _ = new(name)
    assert lora.notes(path) == lora.load(fresh, path) == {"system": "Sei nett. ☺"}
    assert list(lora.adapters(fresh)) == layers
    assert torch.equal(fresh(*inputs), model(*inputs))
    own = {id(parameter) for parameter in lora.parameters(fresh)}
    assert all(p.requires_grad == (id(p) in own) for p in fresh.parameters())
    assert sum(parameter.numel() for parameter in lora.parameters(fresh)) * 4 < path.stat().st_size


def rewrite(path, change):
    with tensor_files.safe_open(path, framework="pt") as file:
        content = json.loads(file.metadata()[tensor_files.KEY])
    tensors = load_file(path)
    change(content, tensors)
    save_file(tensors, path, metadata={tensor_files.KEY: json.dumps(content)})


DAMAGES = {
    "another format": (lambda content, tensors: content.update(format="x"), "has the format 'x'"),
    "no rank": (lambda content, tensors: content.pop("rank"), "no adapter, or is damaged"),
    "half a rank": (lambda content, tensors: content.update(rank=1.5), "its rank is 1.5"),
    "rank 0": (lambda content, tensors: content.update(rank=0), "its rank is 0"),
    "a rank that fits no memory": (
        lambda content, tensors: content.update(rank=10**12),
        r"attention.query.A has the shape \(8, 16\) in .* and not \(1000000000000, 16\)",
    ),
    "alpha in words": (lambda content, tensors: content.update(alpha="two"), "its alpha is 'two'"),
    "alpha nan": (lambda content, tensors: content.update(alpha=math.nan), "its alpha is nan"),
    "no layers": (lambda content, tensors: content.update(layers=[]), r"its layers is \[\]"),
    "a layer twice": (
        lambda content, tensors: content["layers"].append(content["layers"][0]),
        "its layers is",
    ),
    "a note that is a number": (
        lambda content, tensors: content.update(notes={"system": 3}),
        r"its notes is \{'system': 3\}",
    ),
    "numbers that are not finite": (
        lambda content, tensors: tensors["blocks.1.attention.value.B"].fill_(math.inf),
        "blocks.1.attention.value.B in .* has numbers that are not finite",
    ),
    "a list": (lambda content, tensors: content.update(base=[1]), "no adapter, or is damaged"),
    "a layer that is not there": (
        lambda content, tensors: content["layers"].append("blocks.9.attention.query"),
        "asks for a layer 'blocks.9.attention.query'",
    ),
    "a tensor less": (
        lambda content, tensors: tensors.pop("blocks.1.attention.value.B"),
        "blocks.1.attention.value.B has the shape None",
    ),
    "a smaller tensor": (
        lambda content, tensors: tensors.update({"blocks.1.attention.value.B": torch.ones(2, 2)}),
        r"blocks.1.attention.value.B has the shape \(2, 2\)",
    ),
}


@pytest.mark.parametrize(("change", "message"), DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_refused_and_changes_nothing(path, change, message):
    model, inputs = new("llama")
    lora.add(model)
    lora.save(model, path)
    rewrite(path, change)
    fresh, _ = new("llama")
    plain, before = str(fresh), fresh(*inputs)
    with pytest.raises(ValueError, match=message):
        lora.load(fresh, path)
    assert str(fresh) == plain
    assert torch.equal(fresh(*inputs), before)
    assert all(parameter.requires_grad for parameter in fresh.parameters())


def test_files_of_another_kind_are_refused(path):
    model, _ = new("llama")
    with pytest.raises(FileNotFoundError, match=r"does not exist; give a file that lora\.save"):
        lora.load(model, path)
    path.write_bytes(b"")
    with pytest.raises(ValueError, match="is no adapter, or is cut short"):
        lora.load(model, path)
    save_checkpoint(path, model)
    with pytest.raises(ValueError, match="has the format 'llmlab-checkpoint-1'"):
        lora.load(model, path)
    lora.add(model)
    lora.save(model, path)
    with pytest.raises(ValueError, match="has the format 'llmlab-lora-1'"):
        load_checkpoint(path)
    with pytest.raises(ValueError, match="has adapters already"):
        lora.load(model, path)
    with pytest.raises(ValueError, match="is a folder"):
        lora.save(model, path.parent)


@pytest.mark.parametrize("other", ["gpt2", "ours"])
def test_an_adapter_of_another_model_is_refused(path, other):
    model, _ = new("llama")
    lora.add(model)
    lora.save(model, path)
    with pytest.raises(ValueError, match=r"belongs to a model with .*; load it onto the model it"):
        lora.load(new(other)[0], path)


def test_what_cannot_be_saved(path):
    model, _ = new("llama")
    with pytest.raises(ValueError, match="has no adapters"):
        lora.save(model, path)
    lora.add(model)
    with pytest.raises(ValueError, match="must be texts by name"):
        lora.save(model, path, notes={"steps": 3})
    with torch.no_grad():
        next(lora.parameters(model)).fill_(math.nan)
    with pytest.raises(ValueError, match="not finite"):
        lora.save(model, path)
    assert not path.exists()


def test_a_full_disk_leaves_the_old_file(path, monkeypatch):
    model, _ = new("llama")
    lora.add(model)
    lora.save(model, path)
    content = path.read_bytes()

    def full(descriptor):
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(tensor_files, "os", types.SimpleNamespace(**vars(os) | {"fsync": full}))
    with pytest.raises(OSError, match=r"could not be written .*; the adapter that was there is as"):
        lora.save(trained(model), path)
    assert path.read_bytes() == content
    assert [entry.name for entry in path.parent.iterdir()] == [path.name]
