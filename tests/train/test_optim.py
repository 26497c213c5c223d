"""Optimisers: Muon against PyTorch's and the SVD, and which parameter goes where."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.testing import assert_close

from llmlab.model import GPT, GPTConfig, Translator, TranslatorConfig
from llmlab.train import JointOptimizer, Muon, optim, optimizer_for
from llmlab.train.optim import orthogonalise

SHAPES = [(8, 8), (8, 24), (24, 8), (8, 10), (10, 8), (1, 7), (7, 1), (1, 1)]


def random(*shape, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, generator=generator, dtype=torch.float64).to(dtype)


def bent(singular_values):
    """What five steps make of singular values, by the polynomial alone."""
    s = singular_values / singular_values.norm()
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    return s


# ---- orthogonalise


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_the_directions_stay_and_the_singular_values_follow_the_polynomial(shape, dtype):
    matrix_NRK = random(3, *shape)
    u_NRS, values_NS, v_NSK = torch.linalg.svd(matrix_NRK, full_matrices=False)
    expected = u_NRS @ torch.stack([bent(values) for values in values_NS]).diag_embed() @ v_NSK
    found = orthogonalise(matrix_NRK.to(dtype))
    assert found.dtype == dtype
    assert found.shape == matrix_NRK.shape
    exact = dtype == torch.float64
    assert_close(found.double(), expected, atol=1e-10 if exact else 1e-4, rtol=0)


@given(
    n_rows=st.integers(1, 12),
    n_columns=st.integers(1, 40),
    seed=st.integers(0, 1_000),
    smallest=st.floats(0.015, 1),
)
def test_all_singular_values_come_near_one(n_rows, n_columns, seed, smallest):
    u_RS, _, v_SK = torch.linalg.svd(random(n_rows, n_columns, seed=seed), full_matrices=False)
    values_S = torch.linspace(1, smallest, len(v_SK), dtype=torch.float64)
    values_S = values_S.clamp(min=0.01 * values_S.norm())
    matrix_RK = (u_RS * values_S @ v_SK).float()
    found_S = torch.linalg.svdvals(orthogonalise(matrix_RK[None])[0].double())
    assert found_S.min() > 0.6
    assert found_S.max() < 1.3


@pytest.mark.parametrize("shape", SHAPES)
def test_it_points_where_the_nearest_orthogonal_matrix_points(shape):
    matrix_RK = random(*shape, seed=3)
    u_RS, _, v_SK = torch.linalg.svd(matrix_RK, full_matrices=False)
    found, nearest = orthogonalise(matrix_RK[None])[0].flatten(), (u_RS @ v_SK).flatten()
    assert torch.cosine_similarity(found, nearest, dim=0) > 0.93


@pytest.mark.parametrize("shape", SHAPES)
def test_invariances(shape):
    matrix_NRK = random(2, *shape, seed=1)
    found_NRK = orthogonalise(matrix_NRK)
    assert_close(orthogonalise(matrix_NRK.mT), found_NRK.mT, atol=1e-10, rtol=0)
    for scale in (1e-6, 1e6):
        assert_close(orthogonalise(scale * matrix_NRK), found_NRK, atol=1e-10, rtol=0)
    assert_close(orthogonalise(-matrix_NRK), -found_NRK, atol=1e-10, rtol=0)
    turn_RR = torch.linalg.qr(random(shape[0], shape[0], seed=2)).Q
    turn_KK = torch.linalg.qr(random(shape[1], shape[1], seed=3)).Q
    turned_NRK = orthogonalise(turn_RR @ matrix_NRK @ turn_KK)
    assert_close(turned_NRK, turn_RR @ found_NRK @ turn_KK, atol=1e-9, rtol=0)


@pytest.mark.parametrize("shape", SHAPES)
def test_each_matrix_is_computed_by_itself(shape):
    matrix_NRK = random(4, *shape) * torch.tensor([1e-3, 1, 1e3, 0])[:, None, None]
    alone = torch.cat([orthogonalise(matrix_RK[None]) for matrix_RK in matrix_NRK])
    assert_close(orthogonalise(matrix_NRK), alone, atol=1e-10, rtol=0)
    assert (alone[3] == 0).all()


@pytest.mark.parametrize("steps", [0, 1, 2, 5])
@pytest.mark.parametrize("rank", [1, 3, 30])
def test_the_quick_way_for_long_matrices_is_the_same(steps, rank):
    """In float32 too, where the product of a matrix with itself loses half the digits."""
    matrix_NRK = random(2, 30, rank) @ random(2, rank, 120, seed=1)
    matrix_NRK /= torch.linalg.matrix_norm(matrix_NRK, keepdim=True)
    plain = optim._bend(matrix_NRK, steps)
    assert_close(optim._bend_product(matrix_NRK, steps), plain, atol=1e-10, rtol=0)
    found = optim._bend_product(matrix_NRK.float(), steps)
    assert_close(found.double(), plain, atol=1e-4, rtol=0)


def test_half_precision_comes_back_as_it_came():
    found = orthogonalise(random(1, 6, 9).bfloat16())
    assert found.dtype == torch.bfloat16


# ---- Muon


class Pair(nn.Module):
    def __init__(self, dtype=torch.float32):
        super().__init__()
        self.wide = nn.Parameter(random(6, 20, dtype=dtype))
        self.tall = nn.Parameter(random(20, 6, seed=1, dtype=dtype))
        self.other = nn.Parameter(random(6, 20, seed=2, dtype=dtype))
        self.square = nn.Parameter(random(6, 6, seed=3, dtype=dtype))


def moved(make, *, n_steps=6, dtype=torch.float32):
    model = Pair(dtype)
    optimizer = make(model.parameters())
    for step in range(n_steps):
        for number, parameter in enumerate(model.parameters()):
            parameter.grad = random(*parameter.shape, seed=10 * step + number, dtype=dtype)
        optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in model.parameters()])


def in_float32(monkeypatch):
    """Keep PyTorch's Muon, which computes in bfloat16, from rounding."""
    monkeypatch.setattr(torch.Tensor, "bfloat16", torch.Tensor.clone)


OPTIONS = [
    {"lr": 0.02, "momentum": 0.95, "weight_decay": 0.0},
    {"lr": 0.1, "momentum": 0.5, "weight_decay": 0.3},
    {"lr": 0.1, "momentum": 0.0, "weight_decay": 0.1},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_muon_is_pytorchs_without_its_rounding(monkeypatch, options):
    in_float32(monkeypatch)
    expected = moved(lambda parameters: torch.optim.Muon(parameters, **options))
    assert_close(moved(lambda p: Muon(p, **options)), expected, atol=2e-5, rtol=0)


@pytest.mark.parametrize("options", OPTIONS)
def test_muon_is_pytorchs_up_to_its_rounding(options):
    expected = moved(lambda parameters: torch.optim.Muon(parameters, **options))
    found = moved(lambda p: Muon(p, **options))
    assert_close(found, expected, atol=0.05 * 6 * options["lr"], rtol=0)


def test_parameters_without_a_gradient_stay_and_remember_nothing():
    model = Pair()
    before = copy.deepcopy(model)
    optimizer = Muon(model.parameters(), weight_decay=0.5)
    model.wide.grad = torch.ones_like(model.wide)
    optimizer.step()
    assert not model.wide.equal(before.wide)
    for name in ("tall", "other", "square"):
        assert getattr(model, name).equal(getattr(before, name))
    assert list(optimizer.state) == [model.wide]


def test_a_gradient_of_zero_moves_nothing():
    model = Pair()
    before = copy.deepcopy(model)
    optimizer = Muon(model.parameters())
    for parameter in model.parameters():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for parameter, old in zip(model.parameters(), before.parameters(), strict=True):
        assert parameter.equal(old)


def test_the_momentum_is_the_running_mean_of_the_gradients():
    model = Pair()
    optimizer = Muon([model.wide], momentum=0.8)
    mean = torch.zeros_like(model.wide)
    for step in range(4):
        model.wide.grad = random(6, 20, seed=step, dtype=torch.float32)
        kept = model.wide.grad.clone()
        optimizer.step()
        mean = 0.8 * mean + 0.2 * kept
        assert model.wide.grad.equal(kept)
    assert_close(optimizer.state[model.wide]["momentum"], mean)


def test_groups_have_settings_of_their_own():
    model = Pair()
    before = copy.deepcopy(model)
    optimizer = Muon([{"params": [model.wide], "lr": 0.0}, {"params": [model.other]}], lr=0.5)
    model.wide.grad = model.other.grad = torch.ones(6, 20)
    optimizer.step()
    assert model.wide.equal(before.wide)
    assert not model.other.equal(before.other)


def test_float64_is_computed_in_float64():
    rough = moved(lambda p: Muon(p)).double()
    exact = moved(lambda p: Muon(p), dtype=torch.float64)
    assert exact.dtype == torch.float64
    assert_close(rough, exact, atol=1e-5, rtol=0)
    assert not rough.equal(exact)


def test_muon_calls_a_closure_with_gradients_on():
    model = Pair()
    optimizer = Muon([model.square])

    def closure():
        optimizer.zero_grad()
        loss = model.square.square().sum()
        loss.backward()
        return loss

    first = optimizer.step(closure)
    assert optimizer.step(closure) < first


@pytest.mark.parametrize("make", [lambda p: Muon(p, lr=0.1), lambda p: torch.optim.SGD(p, lr=0.1)])
def test_muon_finds_the_optimum_of_a_quadratic(make):
    goal_RK = random(4, 6)
    weight_RK = nn.Parameter(torch.zeros(4, 6, dtype=torch.float64))
    optimizer = make([weight_RK])
    for step in range(300):
        optimizer.param_groups[0]["lr"] = 0.1 * (1 - step / 300)
        optimizer.zero_grad()
        (weight_RK - goal_RK).square().sum().backward()
        optimizer.step()
    assert_close(weight_RK.detach(), goal_RK, atol=1e-2, rtol=0)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lr": -0.1}, r"lr=-0\.1 is no rate"),
        ({"lr": float("nan")}, "lr=nan is no rate"),
        ({"weight_decay": -1}, "weight_decay=-1 is no rate"),
        ({"momentum": 1}, "momentum=1 keeps no share"),
        ({"momentum": -0.1}, r"momentum=-0\.1 keeps no share"),
    ],
)
def test_muon_refuses_settings_that_are_no_rates(options, message):
    with pytest.raises(ValueError, match=message):
        Muon(Pair().parameters(), **options)


@pytest.mark.parametrize("shape", [(), (5,), (2, 3, 4)])
def test_muon_refuses_what_is_no_matrix(shape):
    with pytest.raises(ValueError, match=r"shape \(.*\) .* no matrix .* optimizer_for\(model\)"):
        Muon([nn.Parameter(torch.zeros(shape))])


# ---- optimizer_for

SIZES = {"vocab_size": 23, "context": 12, "width": 16, "n_heads": 4}
MODELS = {
    "gpt2": lambda: GPT(GPTConfig(**SIZES, n_layers=2)),
    "llama": lambda: GPT(
        GPTConfig(
            **SIZES,
            n_layers=2,
            n_kv_heads=2,
            hidden=24,
            norm="rms",
            positions="rotary",
            activation="swiglu",
            attention_bias=False,
            feed_forward_bias=False,
            tied=False,
        )
    ),
    "translator": lambda: Translator(TranslatorConfig(**SIZES, **TRANSLATOR)),
    "translator, untied": lambda: Translator(
        TranslatorConfig(
            **SIZES,
            **TRANSLATOR,
            tied=False,
            positions="learned",
            norm="layer",
            attention_bias=True,
            feed_forward_bias=True,
        )
    ),
}
TRANSLATOR = {
    "n_encoder_layers": 1,
    "n_decoder_layers": 2,
    "pad_id": 0,
    "start_id": 1,
    "end_id": 2,
}


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def names_in(model, groups):
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    return [names[id(parameter)] for group in groups for parameter in group["params"]]


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_every_parameter_is_in_exactly_one_group(model, kind):
    found = names_in(model, optimizer_for(model, kind=kind).param_groups)
    assert sorted(found) == sorted(name for name, _ in model.named_parameters())


def is_hidden(name):
    """By name: a matrix of attention or feed-forward."""
    return "attention." in name or "feed_forward." in name


def test_muon_gets_the_matrices_of_the_layers_and_adamw_the_rest(model):
    muon, adamw = optimizer_for(model).optimizers
    assert isinstance(muon, Muon)
    assert isinstance(adamw, torch.optim.AdamW)
    expected = {name for name, p in model.named_parameters() if is_hidden(name) and p.dim() == 2}
    assert set(names_in(model, muon.param_groups)) == expected
    assert len(expected) >= 2 * 6


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_vectors_and_embeddings_do_not_decay(model, kind):
    groups = optimizer_for(model, kind=kind, weight_decay=0.25).param_groups
    assert {group["weight_decay"] for group in groups} == {0.0, 0.25}
    still = names_in(model, [group for group in groups if group["weight_decay"] == 0])
    for name, parameter in model.named_parameters():
        embedding = "embedding" in name or "positions" in name
        assert (name in still) == (embedding or parameter.dim() < 2)


def test_frozen_parameters_are_left_out(model):
    model.token_embedding.requires_grad_(False)
    layers = next(part for part in model.children() if isinstance(part, nn.ModuleList))
    layers[0].requires_grad_(False)
    found = names_in(model, optimizer_for(model).param_groups)
    assert sorted(found) == sorted(n for n, p in model.named_parameters() if p.requires_grad)
    assert 0 < len(found) < len(list(model.parameters()))


def test_a_matrix_tied_to_an_embedding_is_an_embedding():
    class Tied(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Embedding(5, 4), nn.Linear(4, 5), nn.Linear(4, 4)])
            self.layers[1].weight = self.layers[0].weight

    model = Tied()
    muon, adamw = optimizer_for(model).optimizers
    assert names_in(model, muon.param_groups) == ["layers.2.weight"]
    assert sorted(names_in(model, adamw.param_groups)) == [
        "layers.0.weight",
        "layers.1.bias",
        "layers.2.bias",
    ]


def test_rates_are_those_asked_for_and_known_to_schedules(model):
    muon, adamw = optimizer_for(model, muon_lr=0.3, adam_lr=0.1, momentum=0.7).optimizers
    assert {(g["lr"], g["initial_lr"], g["momentum"]) for g in muon.param_groups} == {
        (0.3, 0.3, 0.7)
    }
    assert {(g["lr"], g["initial_lr"]) for g in adamw.param_groups} == {(0.1, 0.1)}


def test_without_layers_there_is_only_adamw():
    model = nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 5))
    optimizer = optimizer_for(model)
    assert isinstance(optimizer, torch.optim.AdamW)
    assert len(names_in(model, optimizer.param_groups)) == 3


def test_where_all_are_hidden_there_is_only_muon():
    layers = nn.ModuleList([nn.Linear(4, 4, bias=False)])
    assert [type(one) for one in optimizer_for(layers).optimizers] == [Muon]


def gradients(model, step):
    for number, parameter in enumerate(model.parameters()):
        parameter.grad = random(*parameter.shape, seed=100 * step + number, dtype=torch.float32)


def test_adamw_is_pytorchs_exactly(model):
    other = copy.deepcopy(model)
    ours = optimizer_for(model, kind="adamw", adam_lr=0.01, betas=(0.8, 0.9), weight_decay=0.1)
    still = [p for n, p in other.named_parameters() if "embed" in n or "pos" in n or p.dim() < 2]
    rest = [p for p in other.parameters() if all(p is not one for one in still)]
    groups = [{"params": rest, "weight_decay": 0.1}, {"params": still, "weight_decay": 0.0}]
    theirs = torch.optim.AdamW(groups, lr=0.01, betas=(0.8, 0.9), fused=True)
    for step in range(5):
        gradients(model, step)
        gradients(other, step)
        ours.step()
        theirs.step()
    for mine, his in zip(model.parameters(), other.parameters(), strict=True):
        assert mine.equal(his)


def test_the_joint_optimiser_does_what_its_parts_do(model):
    other = copy.deepcopy(model)
    joint, parts = optimizer_for(model), optimizer_for(other).optimizers
    for step in range(3):
        gradients(model, step)
        gradients(other, step)
        joint.step()
        for part in parts:
            part.step()
    for mine, his in zip(model.parameters(), other.parameters(), strict=True):
        assert mine.equal(his)
    assert len(joint.state) == len(list(model.parameters()))
    joint.zero_grad()
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("kind", ["muon", "adamw"])
def test_a_saved_optimiser_goes_on_as_if_nothing_had_happened(model, kind):
    optimizer = optimizer_for(model, kind=kind, weight_decay=0.1)
    for step in range(3):
        gradients(model, step)
        optimizer.step()
    optimizer.param_groups[0]["lr"] = 0.123
    twin = copy.deepcopy(model)
    other = optimizer_for(twin, kind=kind, adam_lr=0.5, muon_lr=0.5)
    other.load_state_dict(copy.deepcopy(optimizer.state_dict()))
    assert other.param_groups[0]["lr"] == 0.123
    for step in range(3, 6):
        gradients(model, step)
        gradients(twin, step)
        optimizer.step()
        other.step()
    for mine, his in zip(model.parameters(), twin.parameters(), strict=True):
        assert mine.equal(his)
    assert same(optimizer.state_dict(), other.state_dict())


def same(one, other):
    if isinstance(one, torch.Tensor):
        return one.dtype == other.dtype and one.equal(other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def test_the_state_has_the_layout_of_a_single_optimiser(model):
    optimizer = optimizer_for(model)
    gradients(model, 0)
    optimizer.step()
    found = optimizer.state_dict()
    n_parameters = len(list(model.parameters()))
    assert sorted(found) == ["param_groups", "state"]
    numbers = [number for group in found["param_groups"] for number in group["params"]]
    assert numbers == list(range(n_parameters))
    assert sorted(found["state"]) == numbers
    for number, parameter in enumerate(p for g in optimizer.param_groups for p in g["params"]):
        shapes = {values.shape for values in found["state"][number].values() if values.dim()}
        assert shapes == {parameter.shape}


def test_a_fresh_state_can_be_loaded(model):
    saved = optimizer_for(model).state_dict()
    assert saved["state"] == {}
    optimizer = optimizer_for(model)
    gradients(model, 0)
    optimizer.step()
    optimizer.load_state_dict(saved)
    assert optimizer.state == {}


def test_another_models_state_is_refused_and_changes_nothing():
    saved = optimizer_for(MODELS["llama"]()).state_dict()
    model = MODELS["gpt2"]()
    optimizer = optimizer_for(model)
    gradients(model, 0)
    optimizer.step()
    before = copy.deepcopy(optimizer.state_dict())
    with pytest.raises(ValueError, match=r"groups of \[14, 1, 6\] .* groups of \[12, \d+\]"):
        optimizer.load_state_dict(saved)
    assert same(optimizer.state_dict(), before)


def test_the_state_of_a_wider_model_is_refused_and_changes_nothing():
    wide = GPT(GPTConfig(**SIZES | {"width": 32}, n_layers=2))
    model = MODELS["gpt2"]()
    optimizers = optimizer_for(wide), optimizer_for(model)
    for one, optimizer in zip((wide, model), optimizers, strict=True):
        gradients(one, 0)
        optimizer.step()
    before = copy.deepcopy(optimizers[1].state_dict())
    with pytest.raises(ValueError, match=r"parameter 0 has the shape \(32, 32\) .* another model"):
        optimizers[1].load_state_dict(optimizers[0].state_dict())
    assert same(optimizers[1].state_dict(), before)


def test_a_joint_optimiser_says_what_it_joins(model):
    assert repr(optimizer_for(model)).startswith("JointOptimizer(Muon (")
    assert isinstance(optimizer_for(model), JointOptimizer)


def test_a_frozen_model_is_refused(model):
    with pytest.raises(ValueError, match=r"no parameter to train: all \d+ have requires_grad=F"):
        optimizer_for(model.requires_grad_(False))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"kind": "adam"}, "kind='adam' is no optimiser here; use 'muon' or 'adamw'"),
        ({"muon_lr": -1}, "muon_lr=-1 is no rate"),
        ({"adam_lr": float("inf")}, "adam_lr=inf is no rate"),
        ({"weight_decay": -1}, "weight_decay=-1 is no rate"),
        ({"momentum": 1.0}, r"momentum=1\.0 keeps no share"),
        ({"betas": (0.9, 1.0)}, r"betas=1\.0 keeps no share"),
    ],
)
def test_optimizer_for_refuses_nonsense(options, message):
    with pytest.raises(ValueError, match=message):
        optimizer_for(MODELS["gpt2"](), **options)


def test_adamw_is_fused_only_where_that_exists():
    assert optimizer_for(MODELS["gpt2"](), kind="adamw").param_groups[0]["fused"]
    with torch.device("meta"):
        model = nn.Linear(3, 3)
    assert not optimizer_for(model).param_groups[0]["fused"]
