"""How a Translator is made: its sizes, first numbers, formats and refusals."""

import copy
import dataclasses
import json
import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch.testing import assert_close

from llmlab.model import Translator, TranslatorConfig, count_parameters

from .conftest import random_translator
from .translators import CLASSIC, FAMILIES, OURS, PAD, SIZES, SOURCE, TARGET, words


@given(
    config=st.builds(
        lambda n_heads, **rest: dataclasses.replace(OURS, n_heads=n_heads, **rest),
        n_heads=st.sampled_from([1, 2, 4, 8]),
        vocab_size=st.integers(3, 40),
        context=st.integers(2, 20),
        width=st.sampled_from([16, 32]),
        hidden=st.none() | st.integers(1, 50),
        n_encoder_layers=st.integers(1, 3),
        n_decoder_layers=st.integers(1, 3),
        norm=st.sampled_from(["layer", "rms"]),
        positions=st.sampled_from(["learned", "rotary", "none"]),
        activation=st.sampled_from(["gelu", "swiglu", "relu2"]),
        attention_bias=st.booleans(),
        feed_forward_bias=st.booleans(),
        tied=st.booleans(),
        qk_norm=st.booleans(),
        pad_id=st.none() | st.just(0),
    )
)
def test_the_formula_counts_what_the_model_has_and_the_model_runs(config):
    model = Translator(config)
    assert count_parameters(config) == count_parameters(model)
    ids_BT = torch.ones(2, config.context, dtype=torch.int32)
    scores_BTV = model(ids_BT, ids_BT)
    assert scores_BTV.shape == (2, config.context, config.vocab_size)
    assert scores_BTV.isfinite().all()


@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
def test_the_big_model_of_the_paper_has_the_parameters_of_pytorchs():
    sizes = {"width": 1024, "n_heads": 16, "n_encoder_layers": 6, "n_decoder_layers": 6}
    config = dataclasses.replace(CLASSIC, **sizes, hidden=4096, vocab_size=37_000, tied=True)
    with torch.device("meta"):
        theirs = torch.nn.Transformer(1024, 16, 6, 6, 4096)
        assert count_parameters(Translator(config)) == count_parameters(config)
    outside = 37_000 * 1024 + 2 * 12 * 1024
    assert count_parameters(config) == count_parameters(theirs) + outside
    # 213 million, as table 3 of the paper has it
    assert count_parameters(config) == pytest.approx(213e6, rel=0.02)


def test_every_parameter_learns():
    for config in (OURS, CLASSIC, dataclasses.replace(OURS, activation="swiglu", tied=False)):
        model = random_translator(config)
        labels = torch.where(TARGET == PAD, -100, TARGET.roll(-1, dims=1))
        F.cross_entropy(model(SOURCE, TARGET).flatten(0, 1), labels.flatten()).backward()
        idle = [
            name
            for name, parameter in model.named_parameters()
            # a bias of the keys adds the same to all scores of a query, which softmax ignores
            if parameter.grad is None
            or (parameter.grad.abs().max() < 1e-7 and not name.endswith("key.bias"))
        ]
        assert idle == []
        seen = torch.cat((SOURCE[SOURCE != PAD], TARGET.flatten())).unique()
        assert (model.token_embedding.weight.grad[seen].abs().amax(dim=1) > 0).all()


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
@pytest.mark.parametrize("width", [16, 128])
def test_the_first_loss_is_that_of_a_guess(config, width):
    torch.manual_seed(0)
    config = dataclasses.replace(config, vocab_size=1000, width=width, context=33)
    source_BS, target_BT = torch.randint(3, 1000, (2, 16, 33))
    scores_BTV = Translator(config)(source_BS, target_BT[:, :-1])
    loss = F.cross_entropy(scores_BTV.flatten(0, 1), target_BT[:, 1:].flatten())
    assert abs(loss.item() - math.log(1000)) < 0.1


def test_a_new_model_s_layers_add_nothing_yet_and_all_learn_from_the_third_step_on():
    """First the outputs of the decoder's layers learn, then what they ask the encoder for."""
    torch.manual_seed(0)
    model = Translator(OURS)
    x_BTC = torch.randn(2, 5, 16)
    assert torch.equal(model.encoder[0](x_BTC), x_BTC)
    assert torch.equal(model.decoder[0](x_BTC, memory_BSC=x_BTC), x_BTC)
    for _ in range(3):
        model.zero_grad()
        F.cross_entropy(model(SOURCE, TARGET).flatten(0, 1), TARGET.flatten()).backward()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter -= parameter.grad
    assert all((parameter.grad != 0).any() for parameter in model.parameters())


def test_the_same_seed_makes_the_same_model():
    def made(seed):
        torch.manual_seed(seed)
        return Translator(OURS)(SOURCE, TARGET)

    assert torch.equal(made(3), made(3))
    assert not torch.allclose(made(3), made(4))


def test_dropout_is_there_in_training_only_and_keeps_the_mean():
    dropping = random_translator(dataclasses.replace(OURS, dropout=0.25))
    whole = Translator(OURS)
    whole.load_state_dict(dropping.state_dict())
    expected = whole(SOURCE, TARGET)
    assert torch.equal(dropping(SOURCE, TARGET), expected)
    assert torch.equal(whole.train()(SOURCE, TARGET), expected)
    dropping.train()
    assert not torch.allclose(dropping(SOURCE, TARGET), dropping(SOURCE, TARGET))
    shares = []
    for module in dropping.modules():
        if isinstance(module, torch.nn.Dropout):
            module.register_forward_hook(
                lambda _, given, left: shares.append((left / given[0]).flatten())
            )
    dropping(words(64, 12), words(64, 12, seed=2))
    # the embeddings of both texts, and what each of the 2 * 2 + 3 * 3 layers adds
    assert len(shares) == 2 + 4 + 9
    for share in shares:
        dropped = share == 0
        assert dropped.float().mean().item() == pytest.approx(0.25, abs=0.03)
        assert_close(share[~dropped], torch.full_like(share[~dropped], 4 / 3))


def similarity(one, other):
    """Compare directions: 1.0 where all scores are the same but for their size."""
    return F.cosine_similarity(one.float().flatten(), other.float().flatten(), dim=0).item()


def bit_by_bit(model):
    memory, cache = model.encode(SOURCE), model.new_cache()
    return torch.cat([model.decode(x, memory, cache=cache) for x in TARGET.split(2, 1)], dim=1)


def test_other_number_formats(translator):
    expected = translator(SOURCE, TARGET)
    double = copy.deepcopy(translator).double()
    assert_close(double(SOURCE, TARGET), expected.double(), atol=1e-4, rtol=1e-4)
    half = copy.deepcopy(translator).bfloat16()
    found = [half(SOURCE, TARGET), bit_by_bit(half)]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found += [translator(SOURCE, TARGET), bit_by_bit(translator)]
    for scores in found:
        assert scores.dtype == torch.bfloat16
        assert similarity(scores, expected) > 0.99


@pytest.mark.parametrize("config", FAMILIES.values(), ids=FAMILIES)
def test_a_model_without_numbers_has_shapes(config):
    with torch.device("meta"):
        model = Translator(config)
        assert model.device.type == "meta"
        assert model(SOURCE.to("meta"), TARGET.to("meta")).shape == (3, 7, 23)
    full = random_translator(config).requires_grad_(False)
    model.load_state_dict(full.state_dict(), assign=True)
    assert torch.equal(model.eval()(SOURCE, TARGET), full(SOURCE, TARGET))


def test_the_parts_are_the_whole(translator):
    expected = translator(SOURCE, TARGET)
    memory = translator.encode(SOURCE)
    assert torch.equal(translator.decode(TARGET, memory), expected)
    assert torch.equal(translator.head(translator.decoder_states(TARGET, memory)), expected)
    assert translator.hidden_states(SOURCE, TARGET).shape == (3, 7, 16)
    assert torch.equal(translator.head(translator.hidden_states(SOURCE, TARGET)), expected)


WRONG_IDS = {
    "too long": (torch.full((3, 13), 5), "13 tokens of the {} .* context of 12; shorten the {}"),
    "no batch": (
        torch.full((3,), 5),
        r"ids of the {} of shape \(3,\) .*torch.tensor\(\[ids\]\)",
    ),
    "fractions": (torch.zeros(3, 4), "ids of the {} of .*float32 are not a batch of token ids"),
    "a list": ([[1, 2], [3, 4]], "list is no batch of token ids of the {}; give integers"),
    "nothing": (torch.zeros(3, 0, dtype=torch.long), "the {} has no tokens; give at least one"),
    "too large": (torch.tensor([[3, 23]] * 3), "id 23 of the {} is outside the vocabulary of 23"),
    "negative": (torch.tensor([[-1, 3]] * 3), "id -1 of the {} is outside .* 0 to 22"),
}


@pytest.mark.parametrize(("ids", "message"), WRONG_IDS.values(), ids=WRONG_IDS)
def test_wrong_ids_are_refused_and_named(translator, ids, message):
    with pytest.raises(ValueError, match=message.format("source", "source")):
        translator(ids, TARGET)
    with pytest.raises(ValueError, match=message.format("target", "target")):
        translator(SOURCE, ids)
    with pytest.raises(ValueError, match=message.format("target", "target")):
        translator.hidden_states(SOURCE, ids)


def test_what_does_not_belong_together_is_refused(translator):
    with pytest.raises(ValueError, match="3 sources and 2 targets; give one row of each"):
        translator(SOURCE, TARGET[:2])
    with pytest.raises(TypeError, match=r"Tensor is no memory; give what model.encode\(source\)"):
        translator.decode(TARGET, translator.encode(SOURCE).vectors_BSC)
    with pytest.raises(ValueError, match="no row 3; rows go from 0 to 2"):
        translator.encode(SOURCE).select(torch.tensor([3]))
    with pytest.raises(TypeError, match="begin it with def my_attend"):
        Translator(OURS, attend=lambda q, k, v: v)


WRONG_SIZES = {
    "no encoder": ({"n_encoder_layers": 0}, "n_encoder_layers=0 is not a whole number of at least"),
    "no decoder": ({"n_decoder_layers": 1.5}, "n_decoder_layers=1.5 is not a whole number"),
    "no room": ({"context": 1}, "context=1 leaves no room .* after the start; use at least 2"),
    "narrow": ({"width": 18}, "width=18 does not split into n_heads=4 equal parts; use 16 or 20"),
    "odd pairs": ({"width": 12}, "a head of 3 is odd; use an even head width"),
    "all dropped": ({"dropout": 1.0}, r"dropout=1.0 is no share .*; use 0.0 or 0.1"),
    "negative share": ({"dropout": -0.1}, "dropout=-0.1 is no share"),
    "no share": ({"dropout": math.nan}, "dropout=nan is no share"),
    "a word": ({"dropout": "0.1"}, "dropout='0.1' is no share"),
    "a yes": ({"dropout": True}, "dropout=True is no share"),
    "outside": ({"end_id": 23}, "end_id=23 is outside the vocabulary of 23; take it from the tok"),
    "negative id": ({"pad_id": -1}, "pad_id=-1 is not a whole number of at least 0"),
    "no start": ({"start_id": None}, "start_id=None is not a whole number"),
    "same": ({"pad_id": 2}, "pad_id and end_id are both 2; give each its own token"),
    "same too": ({"start_id": 2, "pad_id": None}, "start_id and end_id are both 2"),
    "norm": ({"norm": "batch"}, "norm='batch' is unknown; use 'layer' or 'rms'"),
    "activation": ({"activation": "relu"}, "use 'gelu', 'swiglu' or 'relu2'"),
}  # fmt: skip


@pytest.mark.parametrize(("change", "message"), WRONG_SIZES.values(), ids=WRONG_SIZES)
def test_sizes_that_do_not_fit_together_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        TranslatorConfig(**SIZES | change)


def test_a_config_holds_plain_numbers_and_does_not_change():
    given = {name: np.int64(size) for name, size in SIZES.items()}
    config = TranslatorConfig(**given, dropout=np.float32(0.5))
    assert config == TranslatorConfig(**SIZES, dropout=0.5)
    assert TranslatorConfig(**json.loads(json.dumps(dataclasses.asdict(config)))) == config
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.width = 3
    assert OURS.hidden_width == 4 * OURS.width
