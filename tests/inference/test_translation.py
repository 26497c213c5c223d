"""translate: against a plain loop over the whole model; batches, odd texts, what is refused."""

import re

import pytest
import torch

from llmlab.inference import beam_search, translate, translation
from llmlab.inference.translation import search_targets
from llmlab.text import BPETokenizer

from .conftest import make_tiny
from .translators import SPECIAL, TEXTS, liking, make_tokenizer, make_translator, modes, never


@pytest.fixture(scope="module")
def tokenizer():
    return make_tokenizer()


@pytest.fixture(scope="module")
def model(tokenizer):
    return make_translator(tokenizer).requires_grad_(False)


@torch.no_grad()
def plain_translation(model, tokenizer, text, limit=None):
    """The whole model run again for each token, on one text without a cache."""
    source_1S = torch.tensor([tokenizer.encode(text)])
    limit = limit or min(2 * source_1S.shape[1] + 10, model.config.context - 1)
    written = []
    while len(written) < limit:
        target_1T = torch.tensor([[model.config.start_id, *written]])
        scores_V = model(source_1S, target_1T)[0, -1]
        scores_V[never(model, tokenizer)] = -torch.inf
        token_id = int(scores_V.argmax())
        if token_id == model.config.end_id:
            break
        written.append(token_id)
    return tokenizer.decode(written)


@pytest.mark.parametrize(
    "options", [{}, {"positions": "learned", "norm": "layer"}, {"pad_id": None}], ids=str
)
@pytest.mark.parametrize("batch_size", [1, 4, 64])
def test_greedy_is_what_a_plain_loop_over_the_model_finds(tokenizer, options, batch_size):
    model = make_translator(tokenizer, **options)
    expected = [plain_translation(model, tokenizer, text) for text in TEXTS]
    assert len({len(tokenizer.encode(text)) for text in expected}) > 3
    assert translate(model, tokenizer, TEXTS, batch_size=batch_size) == expected


@pytest.mark.parametrize("n_beams", [2, 5])
def test_beams_are_those_of_a_plain_search_over_the_model(model, tokenizer, n_beams):
    sources = [tokenizer.encode(text) for text in TEXTS]
    settings = {"n_beams": n_beams, "length_penalty": 0.6}
    together = search_targets(model, tokenizer, sources, 9, **settings)
    for ids, found in zip(sources, together, strict=True):

        def score_next(ids_NT, parents_N, ids=ids):
            scores_NV = model(torch.tensor([ids] * len(ids_NT)), ids_NT)[:, -1]
            scores_NV[:, never(model, tokenizer)] = -torch.inf
            return scores_NV.log_softmax(dim=-1)

        special = {"start_id": model.config.start_id, "end_id": model.config.end_id}
        [[best, *_]] = beam_search(score_next, max_new_tokens=9, **special, **settings)
        assert found.ids == best.ids
        assert found.log_probability == pytest.approx(best.log_probability, abs=1e-9)


@pytest.mark.parametrize("n_beams", [1, 3])
def test_a_batch_and_one_by_one_agree(model, tokenizer, n_beams):
    alone = [translate(model, tokenizer, text, n_beams=n_beams) for text in TEXTS]
    assert len(set(alone)) > 5
    for batch_size in (1, 2, 3, 64):
        found = translate(model, tokenizer, TEXTS, n_beams=n_beams, batch_size=batch_size)
        assert found == alone
    backwards = translate(model, tokenizer, TEXTS[::-1], n_beams=n_beams)
    assert backwards == alone[::-1]


def test_beams_find_more_probable_translations(model, tokenizer):
    sources = [tokenizer.encode(text) for text in TEXTS]
    settings = {"n_beams": 1, "length_penalty": 0.6}
    greedy = search_targets(model, tokenizer, sources, None, **settings)
    for n_beams in (2, 4):
        found = search_targets(model, tokenizer, sources, None, **settings | {"n_beams": n_beams})
        assert all(b.score >= g.score - 1e-9 for b, g in zip(found, greedy, strict=True))
        assert sum(b.score > g.score for b, g in zip(found, greedy, strict=True)) > 1


def test_the_penalty_is_handed_on(model, tokenizer):
    short = translate(model, tokenizer, TEXTS, n_beams=4, length_penalty=0)
    long = translate(model, tokenizer, TEXTS, n_beams=4, length_penalty=4)
    assert sum(map(len, long)) > sum(map(len, short))


def test_texts_are_one_or_a_list_or_a_generator(model, tokenizer):
    found = translate(model, tokenizer, TEXTS)
    assert isinstance(found, list)
    assert isinstance(translate(model, tokenizer, "abc"), str)
    assert translate(model, tokenizer, (text for text in TEXTS)) == found
    assert translate(model, tokenizer, ["abc"]) == [translate(model, tokenizer, "abc")]
    assert translate(model, tokenizer, []) == []


@pytest.mark.parametrize("n_beams", [1, 3])
def test_marks_are_never_written(tokenizer, n_beams):
    model = liking(tokenizer, "<pad>", "<start>", "<note>", b"y", b"z")
    with torch.no_grad():
        model.output.weight[tokenizer.vocab_size :] = 2.0  # ids that stand for nothing
    assert translate(model, tokenizer, "abc", n_beams=n_beams, max_new_tokens=3) == "yyy"


def test_what_does_not_end_is_cut_off(model, tokenizer):
    endless = liking(tokenizer, b"y")
    assert translate(endless, tokenizer, "abc") == 12 * "y"  # one token, abc: 2 * 1 + 10
    assert translate(endless, tokenizer, ["abc", "xx", "x" * 40]) == [12 * "y", 14 * "y", 39 * "y"]
    assert translate(endless, tokenizer, ["x" * 7, "x"], max_new_tokens=5) == 2 * [5 * "y"]
    assert translate(endless, tokenizer, "x", max_new_tokens=39) == 39 * "y"
    at_once = liking(tokenizer, "<end>")
    assert translate(at_once, tokenizer, ["abc", "x"], n_beams=2) == ["", ""]


@pytest.mark.parametrize("n_beams", [1, 2])
def test_half_a_character_shows_as_one_that_is_unknown(tokenizer, n_beams):
    found = translate(liking(tokenizer, b"\xf0"), tokenizer, "x", max_new_tokens=2, n_beams=n_beams)
    assert found == "��"


@pytest.mark.parametrize(
    ("texts", "error", "told"),
    [
        ("", ValueError, "^the text is empty; give something to translate$"),
        (" \n", ValueError, "^the text is only white space; give something to translate$"),
        (["a", "", "b"], ValueError, r"^texts\[1\], '': the text is empty; give something"),
        (["\t"], ValueError, r"^texts\[0\], '\\t': the text is only white space"),
        ("x" * 41, ValueError, "^the text has 41 tokens and the model reads at most 40; shorten"),
        (["a", "x" * 99], ValueError, r"^texts\[1\], 'x{40}…': the text has 99 tokens and the"),
        ("a\ud83d", ValueError, "character 1 of the text is .* a lone surrogate: half of a"),
        (["a", "b\udc00"], ValueError, r"^texts\[1\], 'b\\udc00': character 1 of the text is"),
        (None, TypeError, "NoneType is not text; give a str or a list of them"),
        (["a", 3], TypeError, "int is not text; give a str"),
        (b"abc", TypeError, "int is not text"),
        ({"a": "b"}, TypeError, "a dict is no list of texts; give its .values()"),
    ],
)
def test_what_cannot_be_translated_is_told(model, tokenizer, texts, error, told):
    with pytest.raises(error, match=told):
        translate(model, tokenizer, texts)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"n_beams": 0}, "n_beams=0 must be a whole number of at least 1"),
        ({"batch_size": 0}, "batch_size=0 must be a whole number of at least 1"),
        ({"max_new_tokens": 0}, "max_new_tokens=0 must be a whole number from 1 to 39"),
        ({"max_new_tokens": 40}, "max_new_tokens=40 must be a whole number from 1 to 39"),
        ({"length_penalty": -1}, "length_penalty=-1 must be a number of at least 0"),
    ],
)
@pytest.mark.parametrize("texts", ["abc", []])
def test_settings_that_make_no_sense_are_told_even_without_texts(
    model, tokenizer, settings, told, texts
):
    with pytest.raises(ValueError, match=re.escape(told)):
        translate(model, tokenizer, texts, **settings)


def test_a_character_the_model_has_no_token_for_is_told(tokenizer):
    small = BPETokenizer(["a", "b", *SPECIAL], pattern=".", special=SPECIAL)
    model = make_translator(small, spare=0)
    assert set(translate(model, small, "ab")) <= {"a", "b"}
    with pytest.raises(ValueError, match=r"no token for the byte 0x78 \(token 2 of the text\)"):
        translate(model, small, "ax")


def test_what_is_no_translator_is_refused(model, tokenizer, translator):
    for wrong, name in ((make_tiny(vocab_size=5), "GPT"), (translator, "TinyTranslator")):
        with pytest.raises(TypeError, match=f"^model={name} is no Translator; give one and the"):
            translate(wrong, tokenizer, "abc")
    with pytest.raises(TypeError, match=r"^model=NoneType is no Translator"):
        translate(None, tokenizer, "abc")


def test_a_broken_model_is_told(tokenizer):
    model = make_translator(tokenizer)
    with torch.no_grad():
        model.decoder_norm.weight[0] = torch.nan
    for n_beams in (1, 2):
        with pytest.raises(ValueError, match="is nan, not a number to choose by; the model's wei"):
            translate(model, tokenizer, "abc", n_beams=n_beams)


def test_a_model_in_training_is_used_without_dropout_and_goes_on_training(tokenizer):
    model = make_translator(tokenizer, dropout=0.5)
    expected = translate(model, tokenizer, TEXTS)
    model.train()
    model.encoder.eval()  # a part that somebody keeps as it is
    before = modes(model)
    assert len(set(before)) == 2
    assert translate(model, tokenizer, TEXTS) == expected
    assert modes(model) == before
    with torch.no_grad():
        model.decoder_norm.weight[0] = torch.nan
    with pytest.raises(ValueError, match="nan"):
        translate(model, tokenizer, TEXTS)
    assert modes(model) == before


def test_translating_between_two_steps_changes_nothing_in_training(tokenizer):
    def gradients(pause):
        model = make_translator(tokenizer)
        pause(model)
        source_1S = torch.tensor([tokenizer.encode("abc ab")])
        model(source_1S, source_1S).logsumexp(dim=-1).sum().backward()
        return [parameter.grad for parameter in model.parameters() if parameter.grad is not None]

    expected = gradients(lambda model: None)
    found = gradients(lambda model: translate(model, tokenizer, TEXTS, n_beams=2))
    assert len(expected) > 20
    assert expected[0].abs().max() > 0
    assert all(torch.equal(one, other) for one, other in zip(expected, found, strict=True))


def test_finished_texts_leave_and_no_source_is_read_twice(model, tokenizer, monkeypatch):
    sizes, encoded, decode, encode = [], [], model.decode, model.encode

    def counted_decode(target_BT, memory, *, cache):
        assert target_BT.shape[1] == 1  # the cache has the rest
        sizes.append(len(target_BT))
        return decode(target_BT, memory, cache=cache)

    monkeypatch.setattr(model, "decode", counted_decode)
    monkeypatch.setattr(
        model, "encode", lambda source_BS: (encoded.append(len(source_BS)), encode(source_BS))[1]
    )
    found = translate(model, tokenizer, TEXTS)
    assert encoded == [len(TEXTS)]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == len(TEXTS) > sizes[-1] > 0
    monkeypatch.undo()
    assert found == translate(model, tokenizer, TEXTS)


@pytest.mark.parametrize("progress", [None, True, False])
def test_a_bar_shows_on_demand_or_after_a_while(model, tokenizer, progress, capsys, monkeypatch):
    translate(model, tokenizer, TEXTS, progress=progress)
    shown = capsys.readouterr()
    assert shown.out == ""
    assert ("translating: 100%" in shown.err) is (progress is True)
    monkeypatch.setattr(translation, "_PATIENCE", 1e-9)
    translate(model, tokenizer, TEXTS, progress=progress, batch_size=2)
    assert ("translating: 100%" in capsys.readouterr().err) is (progress is not False)


def test_half_precision_scores_are_compared_in_full(tokenizer):
    model = make_translator(tokenizer).bfloat16()
    assert len(translate(model, tokenizer, TEXTS, n_beams=2)) == len(TEXTS)
