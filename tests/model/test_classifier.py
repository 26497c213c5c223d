"""The classifier's laws: padding, parity with transformers, what is frozen, what is shared."""

import copy

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from llmlab.model import GPT, Classifier, load_pretrained
from llmlab.model.ops import last_real
from llmlab.train import optimizer_for

from .conftest import GPT2, GPTS, LLAMA, shaken


def classifier(model, n_classes=3, *, seed=0, **options):
    """A classifier whose new parts, too, have numbers of their own."""
    made = Classifier(model, n_classes, **options)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for part in (made.head, made.trunk.final_norm):
            for weight in part.parameters():
                weight.add_(torch.randn(weight.shape, generator=generator) * 0.3)
    return made.eval()


def learned(model):
    return {name for name, weight in model.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize("n_frozen", [0, 1, 2])
@given(
    lengths=st.lists(st.integers(1, 8), min_size=1, max_size=4),
    left=st.lists(st.integers(0, 2), min_size=4, max_size=4),
    right=st.integers(0, 2),
    filler=st.integers(0, 22),
)
def test_padding_on_either_side_changes_nothing(
    tiny, ids_BT, n_frozen, lengths, left, right, filler
):
    model = classifier(tiny, n_frozen=n_frozen)
    rows = list(zip(lengths, left, strict=False))
    padded_BT = torch.full((len(rows), max(map(sum, rows)) + right), filler)
    mask_BT = torch.zeros_like(padded_BT, dtype=torch.bool)
    for row, (n, skip) in enumerate(rows):
        padded_BT[row, skip : skip + n] = ids_BT[row % 3, :n]
        mask_BT[row, skip : skip + n] = True
    with torch.no_grad():
        together_BK = model(padded_BT, mask_BT)
        for row, (n, _) in enumerate(rows):
            alone_BK = model(ids_BT[row % 3, :n][None])
            assert_close(together_BK[row], alone_BK[0], atol=1e-5, rtol=1e-5)


@given(
    mask=st.lists(st.lists(st.booleans(), min_size=5, max_size=5).filter(any), min_size=1),
    seed=st.integers(0, 9),
)
def test_last_real_looks_at_each_text_from_behind(mask, seed):
    mask_BT = torch.tensor(mask)
    x_BTC = torch.randn(*mask_BT.shape, 2, generator=torch.Generator().manual_seed(seed))
    for row, vector_C in enumerate(last_real(x_BTC, mask_BT)):
        place = 4 - mask[row][::-1].index(True)
        assert torch.equal(vector_C, x_BTC[row, place])


# transformers leaves open files behind while it writes a folder
@pytest.mark.filterwarnings(
    "ignore:unclosed file:ResourceWarning",
    "ignore:.*has no tokenizer:UserWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)
def test_the_scores_are_those_of_transformers(tmp_path, ids_BT):
    from transformers import LlamaConfig, LlamaForSequenceClassification

    config = LlamaConfig(
        vocab_size=31,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=3,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=32,
        num_labels=5,
        pad_token_id=30,
    )
    oracle = LlamaForSequenceClassification(config)
    shaken(oracle, size=0.2)
    body = dict(oracle.model.state_dict().items())
    causal = _causal(config, body)
    causal.save_pretrained(tmp_path)
    ours, _ = load_pretrained(tmp_path, device="cpu")
    model = Classifier(ours, 5).eval()
    model.trunk.final_norm = ours.final_norm
    model.head.weight.data.copy_(oracle.score.weight)
    padded_BT = ids_BT.clone()
    padded_BT[1, 4:] = 30
    mask_BT = padded_BT != 30
    with torch.no_grad():
        expected_BK = oracle(padded_BT, attention_mask=mask_BT.long()).logits
        assert_close(model(padded_BT, mask_BT), expected_BK, atol=1e-5, rtol=1e-5)
    assert expected_BK.std() > 0.1


def _causal(config, body):
    from transformers import LlamaForCausalLM

    model = LlamaForCausalLM(config)
    model.model.load_state_dict(body)
    return model


@pytest.mark.parametrize("n_layers", [1, 2])
def test_the_layers_used_are_the_first_ones(tiny, ids_BT, n_layers):
    x_BTC = tiny.embed(ids_BT)
    options = tiny.block_options(x_BTC)
    for block in tiny.blocks[:n_layers]:
        x_BTC = block(x_BTC, **options)
    model = classifier(tiny, n_layers=n_layers)
    assert_close(model.trunk_outputs(ids_BT), x_BTC)
    expected_BK = model.head(model.trunk.final_norm(x_BTC[:, -1]))
    assert_close(model(ids_BT), expected_BK)


@pytest.mark.parametrize("n_frozen", [0, 1, 2])
def test_kept_outputs_give_the_same_scores(tiny, ids_BT, n_frozen):
    model = classifier(tiny, n_frozen=n_frozen)
    mask_BT = torch.ones_like(ids_BT, dtype=torch.bool)
    mask_BT[0, 6:], mask_BT[1, :3] = False, False
    kept_BTC = model.trunk_outputs(ids_BT, mask_BT)
    assert_close(model(kept_BTC, mask_BT), model(ids_BT, mask_BT))


@pytest.mark.parametrize("config", GPTS.values(), ids=GPTS)
def test_what_learns_is_what_was_asked_for(config, ids_BT):
    everything = {name for name, _ in Classifier(GPT(config), 2).named_parameters()}
    new = {name for name in everything if name.startswith(("head", "trunk.final_norm"))}
    last = {name for name in everything if name.startswith("trunk.blocks.1.")}
    for n_frozen, expected in {2: new, 1: new | last, 0: everything}.items():
        model = Classifier(GPT(config), 2, n_frozen=n_frozen)
        assert learned(model) == expected
        model(ids_BT)[:, 0].sum().backward()
        with_gradient = {name for name, w in model.named_parameters() if w.grad is not None}
        assert with_gradient == expected


def test_what_learns_can_learn_even_if_the_model_was_frozen(tiny):
    assert not any(weight.requires_grad for weight in tiny.parameters())
    assert any(
        name.startswith("trunk.blocks.1.") for name in learned(Classifier(tiny, 2, n_frozen=1))
    )
    assert not any(weight.requires_grad for weight in tiny.parameters())


@pytest.mark.parametrize("n_frozen", [0, 1, 2])
def test_the_model_never_changes(ids_BT, n_frozen):
    model = shaken(GPT(LLAMA))
    before = copy.deepcopy(model.state_dict())
    made = Classifier(model, 2, n_frozen=n_frozen)
    optimizer = optimizer_for(made, kind="adamw", adam_lr=0.1)
    frozen = [weight.clone() for weight in made.trunk.blocks[:n_frozen].parameters()]
    made(ids_BT)[:, 0].sum().backward()
    optimizer.step()
    for name, weight in model.state_dict().items():
        assert torch.equal(weight, before[name])
    assert all(weight.requires_grad for weight in model.parameters())
    for weight, old in zip(made.trunk.blocks[:n_frozen].parameters(), frozen, strict=True):
        assert torch.equal(weight, old)
    moved = [
        weight for weight in made.parameters() if weight.grad is not None and weight.grad.any()
    ]
    assert moved


def test_what_is_frozen_takes_no_memory_of_its_own():
    model = GPT(GPT2)
    made = Classifier(model, 2, n_frozen=1)
    shared = {weight.data_ptr() for weight in model.parameters()}
    for weight in made.trunk.parameters():
        assert (weight.data_ptr() in shared) == (not weight.requires_grad)


def test_a_new_head_knows_nothing():
    torch.manual_seed(0)
    scores_BK = Classifier(shaken(GPT(LLAMA)), 4)(torch.tensor([[3, 5, 7]]))
    assert (scores_BK.softmax(dim=-1) - 0.25).abs().max() < 0.1


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"n_classes": 1}, "n_classes=1 must be a whole number of at least 2"),
        ({"n_classes": True}, "n_classes=True must be"),
        ({"n_layers": 3}, "n_layers=3 must be a whole number from 1 to 2"),
        ({"n_layers": 0}, "n_layers=0"),
        ({"n_layers": 1, "n_frozen": 2}, "n_frozen=2 must be a whole number from 0 to 1"),
        ({"n_frozen": -1}, "n_frozen=-1"),
        ({"n_frozen": 0.5}, "n_frozen=0.5"),
    ],
)
def test_sizes_that_do_not_fit(tiny, options, words):
    with pytest.raises(ValueError, match=words):
        Classifier(tiny, **{"n_classes": 2, **options})


def test_inputs_that_do_not_fit(tiny, ids_BT):
    model = Classifier(tiny, 2)
    mask_BT = torch.ones_like(ids_BT, dtype=torch.bool)
    mask_BT[1] = False
    with pytest.raises(ValueError, match="text 1 has no real token"):
        model(ids_BT, mask_BT)
    with pytest.raises(ValueError, match="the mask is"):
        model(ids_BT, mask_BT[:, :4])
    kept_BTC = model.trunk_outputs(ids_BT)
    with pytest.raises(ValueError, match="the mask is"):
        model(kept_BTC, mask_BT.long())
    with pytest.raises(ValueError, match=r"kept outputs have the shape \(3, 10, 15\)"):
        model(kept_BTC[..., 1:])
    with pytest.raises(ValueError, match="kept outputs have the shape"):
        model(kept_BTC[0])
    with pytest.raises(ValueError, match="outside the vocabulary"):
        model(ids_BT + 20)
