"""Answers to the exercises on translation that nobody foresaw, and the toy model they run on."""

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from llmlab.exercises import translation
from llmlab.exercises.checking import judge
from llmlab.exercises.shelf import find
from llmlab.exercises.translation import ToyModel
from llmlab.model import Translator, TranslatorConfig

END = ("<end>",)


def told(id, answer):
    """The text of the card, which must not be that of a known mistake."""
    exercise = find(f"translation.{id}")
    result = judge(exercise, answer, np.random.default_rng(0))
    assert result.status == "not yet"
    assert result.text not in [message for _, message in exercise.wrong_answers]
    return result.text


def passes(id, answer):
    return judge(find(f"translation.{id}"), answer, np.random.default_rng(0)).passed


def sliced(target, start_id, end_id):
    whole = torch.tensor([start_id, *target, end_id])
    return whole[:-1], whole[1:]


def best_by_topk(model, source, written, start_id):
    scores = model(torch.tensor([source]), torch.tensor([[start_id, *written]]))
    return scores[0, -1].topk(1).indices[0]


def best_by_probability(model, source, written, start_id):
    scores = model(torch.tensor(source)[None], torch.tensor([start_id, *written])[None])
    return scores[0].softmax(dim=-1)[len(written)].argmax()


def filled_place_by_place(sentences, pad_id, n_queries):
    longest = max(map(len, sentences))
    source = np.full((len(sentences), longest), pad_id)
    for row, ids in zip(source, sentences, strict=True):
        row[: len(ids)] = ids
    return source, np.repeat((source != pad_id)[:, None], n_queries, axis=1)


def repeated(sentences, pad_id, n_queries):
    source, visible = translation.my_padding_mask(sentences, pad_id, n_queries)
    return source, visible[:, :1].repeat(1, n_queries, 1).tolist()


def candidates(lattice, beam):
    for words, p in beam:
        following = {} if words[-1:] == END else lattice[words]
        yield from [((*words, word), p * q) for word, q in following.items()]
        if not following:
            yield words, p


def until_the_best_is_finished(lattice, n):
    beam = [((), 1.0)]
    while beam[0][0][-1:] != END:
        beam = sorted(candidates(lattice, beam), key=lambda pair: -pair[1])[:n]
    return beam[0]


def the_finished_leave(lattice, n):
    """Whoever is finished makes room for others: what those find is never better."""
    beam, finished = [((), 1.0)], []
    while beam:
        found = sorted(candidates(lattice, beam), key=lambda pair: -pair[1])[:n]
        finished += [pair for pair in found if pair[0][-1:] == END]
        beam = [pair for pair in found if pair[0][-1:] != END]
    return max(finished, key=lambda pair: pair[1])


def in_logarithms(lattice, n):
    beam = [([], 0.0)]
    while any(words[-1:] != ["<end>"] for words, _ in beam):
        found = []
        for words, log_p in beam:
            if words[-1:] == ["<end>"]:
                found.append((words, log_p))
                continue
            for word, q in lattice[tuple(words)].items():
                found.append(([*words, word], log_p + np.log(q)))
        beam = sorted(found, key=lambda pair: pair[1])[-n:]
    words, log_p = beam[-1]
    return words, np.exp(log_p)


def by_cross_entropy(p, right, epsilon):
    return cross_entropy(p.log(), torch.tensor(right), label_smoothing=epsilon)


def by_the_shares(p, right, epsilon):
    shares = torch.full_like(p, epsilon / len(p))
    shares[right] += 1 - epsilon
    return -(shares * p.log()).sum()


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("shift", sliced),
        ("shift", lambda t, start, end: ((start, *t), (*t, end))),
        ("padding_mask", filled_place_by_place),
        ("padding_mask", repeated),
        ("greedy_step", best_by_topk),
        ("greedy_step", best_by_probability),
        ("beam", until_the_best_is_finished),
        ("beam", the_finished_leave),
        ("beam", in_logarithms),
        ("smoothing", by_the_shares),
        ("smoothing", by_cross_entropy),
        ("smoothing", lambda p, right, e: float(by_the_shares(p, right, e))),
    ],
)
def test_right_answers_of_other_kinds_pass(id, answer):
    assert passes(id, answer)


right_source_and_mask = translation.my_padding_mask


def upside_down(sentences, pad_id, n_queries):
    source, visible = right_source_and_mask(sentences, pad_id, n_queries)
    return source.flip(0), visible


def all_hidden(sentences, pad_id, n_queries):
    source, visible = right_source_and_mask(sentences, pad_id, n_queries)
    return source, torch.zeros_like(visible)


def source_alone(sentences, pad_id, n_queries):
    return right_source_and_mask(sentences, pad_id, n_queries)[:1] * 2


def moved(sentences, pad_id, n_queries):
    source, visible = translation.my_padding_mask(sentences, pad_id, n_queries)
    visible = visible.clone()
    visible[-1, -1, -1] = ~visible[-1, -1, -1]
    return source, visible


@pytest.mark.parametrize(
    ("id", "answer", "words"),
    [
        ("shift", lambda t, start, end: [start, *t, end], "Return two lists of ids"),
        ("shift", lambda t, start, end: (start, end), "Return two lists of ids"),
        (
            "shift",
            lambda t, start, end: ([start, *t], [*t, end, end]),
            "has the length 1, that of the answers 2.",
        ),
        ("shift", lambda t, start, end: ((9, *t), (*t, end)), "has to be the start id, here 1."),
        ("shift", lambda t, start, end: ((start, *t), (*t, 9)), "has to be the end id, here 2."),
        ("padding_mask", lambda s, pad, n: torch.zeros(len(s), n, 2) == 0, "Return two things"),
        ("padding_mask", lambda s, pad, n: (torch.ones(len(s), 9), s), "shape (B, S) = (2, 2)."),
        ("padding_mask", source_alone, "(B, T, S) = (2, 1, 2)."),
        ("padding_mask", upside_down, "At place 0 of text 0, source has 7 in place of 5."),
        ("padding_mask", moved, "In text 1, query 0 looks at key 1, padding."),
        ("padding_mask", all_hidden, "In text 0, query 0 may not look at key 0, a real token."),
        ("greedy_step", lambda m, s, w, b: [], "Return one id"),
        ("greedy_step", lambda m, s, w, b: m.n_tokens, "a whole number from 0 to 5."),
        ("greedy_step", lambda m, s, w, b: 0.5, "Return one id"),
        ("greedy_step", lambda m, s, w, b: 0, "gives token 0 the score"),
        ("beam", lambda lattice, n: in_logarithms(lattice, n)[1], "Return two things"),
        ("beam", lambda lattice, n: ((), 1.0), "The sentence is empty"),
        ("beam", lambda lattice, n: (("day", "<end>"), 1.0), "'day' never follows ()."),
        ("beam", lambda lattice, n: (("good",), 0.6), "something follows."),
        ("beam", lambda lattice, n: (in_logarithms(lattice, n)[0], 1), "0.3, and you say 1."),
        ("smoothing", lambda p, right, e: p.log(), "yours has the shape (3,)."),
        ("smoothing", lambda p, right, e: -3, "No surprise is below 0"),
        ("smoothing", lambda p, right, e: 5.0, "Your loss has to lie between the two"),
    ],
)
def test_what_the_laws_say(id, answer, words):
    assert words in told(id, answer)


def test_the_greedy_step_serves_a_real_model():
    torch.manual_seed(0)
    config = TranslatorConfig(
        vocab_size=9, context=8, width=8, n_heads=2, n_encoder_layers=1, n_decoder_layers=1,
        pad_id=0, start_id=1, end_id=2,
    )  # fmt: skip
    model = Translator(config).eval()
    torch.nn.init.normal_(model.token_embedding.weight)
    for written in ([], [3], [4, 8, 8]):
        scores = model(torch.tensor([[5, 6]]), torch.tensor([[1, *written]]))[0, -1].tolist()
        assert scores.index(max(scores)) == translation.my_greedy_step(model, [5, 6], written, 1)


SOURCE, TARGET = torch.tensor([[3, 4]]), torch.tensor([[1, 5, 2]])


def test_the_toy_model_knows_the_source_and_the_target_so_far():
    model = ToyModel(6, 0)
    scores = model(SOURCE, TARGET)
    assert scores.shape == (1, 3, 6)
    assert torch.equal(scores, ToyModel(6, 0)(SOURCE, TARGET))
    assert torch.equal(scores[:, :2], model(SOURCE, TARGET[:, :2]))
    for other in (ToyModel(6, 1)(SOURCE, TARGET), model(SOURCE.flip(1), TARGET)):
        assert not (scores == other).all(dim=-1).any()
    later = model(SOURCE, torch.tensor([[1, 4, 2]]))
    assert (scores == later).all(dim=-1).tolist() == [[True, False, False]]


def test_a_batch_of_the_toy_model_is_its_texts_one_by_one():
    model = ToyModel(6, 0)
    both = model(torch.cat([SOURCE, SOURCE.flip(1)]), torch.cat([TARGET, TARGET.flip(1)]))
    assert torch.equal(both[:1], model(SOURCE, TARGET))
    assert torch.equal(both[1:], model(SOURCE.flip(1), TARGET.flip(1)))


def test_no_two_scores_of_a_row_are_equal():
    for model, source, written, start_id in translation.greedy_step.inputs(np.random.default_rng()):
        scores = model(torch.tensor([source]), torch.tensor([[start_id, *written]]))
        assert all(len(set(row)) == model.n_tokens for row in scores[0].tolist())


@pytest.mark.parametrize(
    ("source", "target", "error", "words"),
    [
        ([[3]], TARGET, TypeError, "source is a list, and the model reads tensors"),
        (SOURCE, TARGET[0], ValueError, "target has the shape (3,)"),
        (SOURCE, torch.tensor([[]]), ValueError, "target is empty"),
        (SOURCE, torch.tensor([[1, 6]]), ValueError, "target holds [[1, 6]], and ids are whole"),
        (SOURCE.float(), TARGET, ValueError, "source holds [[3.0, 4.0]], and ids are whole"),
        (SOURCE, -TARGET, ValueError, "ids are whole numbers from 0 to 5"),
        (SOURCE, TARGET.repeat(2, 1), ValueError, "source has 1 rows and target 2"),
    ],
)
def test_the_toy_model_says_what_it_cannot_read(source, target, error, words):
    with pytest.raises(error) as raised:
        ToyModel(6, 0)(source, target)
    assert words in str(raised.value)


def test_the_card_names_the_toy_model():
    result = judge(find("translation.greedy_step"), lambda *given: 99, np.random.default_rng(0))
    assert "model = a toy model with 6 tokens" in repr(result)
