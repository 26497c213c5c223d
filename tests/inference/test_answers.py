"""Many answers at once are those of `generate`, one at a time."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from llmlab.inference import generate, greedy_answers
from llmlab.model import GPT, GPTConfig

from .conftest import make_tiny, shaken

V = 9
with torch.random.fork_rng():
    torch.manual_seed(0)
    LLAMA = make_tiny(vocab_size=V)
    GPT2 = shaken(GPT(GPTConfig(vocab_size=V, context=24, width=16, n_layers=2, n_heads=2)))
prompt_lists = st.lists(
    st.lists(st.integers(0, V - 1), min_size=1, max_size=12), min_size=1, max_size=7
)


def one_at_a_time(model, prompt, n, stop):
    ids = list(generate(model, prompt, max_new_tokens=n, temperature=0, stop=stop))
    return ids[:-1] if ids[-1] in stop else ids


@settings(max_examples=60, deadline=None)
@given(prompt_lists, st.integers(1, 8), st.sets(st.integers(0, V - 1), max_size=3),
       st.integers(1, 4), st.sampled_from([LLAMA, GPT2]))  # fmt: skip
def test_they_are_those_of_generate(prompts, n, stop, batch_size, model):
    found = list(greedy_answers(model, prompts, max_new_tokens=n, stop=stop, batch_size=batch_size))
    assert sorted(place for place, _ in found) == list(range(len(prompts)))
    for place, ids in found:
        assert ids == one_at_a_time(model, prompts[place], n, stop)


def test_some_stop_early_and_some_do_not():
    """Or the comparison above would say little."""
    prompts = [[n, n % 3, 5, *[n % 4] * (n % 5)] for n in range(V)]
    lengths = [len(ids) for _, ids in greedy_answers(LLAMA, prompts, max_new_tokens=8, stop=2)]
    assert min(lengths) < 3
    assert max(lengths) == 8
    assert len(set(lengths)) > 3


def test_no_text_is_read_twice_and_answers_that_are_done_leave(monkeypatch):
    model = make_tiny(vocab_size=V)
    shapes = []
    plain = GPT.hidden_states

    def counted(self, ids_BT, **options):
        shapes.append(tuple(ids_BT.shape))
        return plain(self, ids_BT, **options)

    monkeypatch.setattr(GPT, "hidden_states", counted)
    prompts = [[1, 2, 3, 4], [5, 6, 7, 8, 1, 2], [3] * 4]
    lengths = [len(ids) for _, ids in greedy_answers(model, prompts, max_new_tokens=3)]
    assert lengths == [3, 3, 3]
    # two read to their end and write at once, the third has two tokens more to read
    assert shapes == [(3, 4), (3, 1), (3, 1), (1, 1), (1, 1)]


def test_answers_come_as_they_are_done():
    answers = greedy_answers(LLAMA, [[1], [2], [3]], max_new_tokens=2, batch_size=1)
    assert next(answers)[0] == 0
    assert [place for place, _ in answers] == [1, 2]


def test_neither_the_model_nor_the_prompts_change():
    model = make_tiny(vocab_size=V).train()
    prompts = [[1, 2], torch.tensor([3, 4, 5])]
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    assert len(list(greedy_answers(model, prompts, max_new_tokens=2))) == 2
    assert prompts[0] == [1, 2]
    assert model.training
    assert all(weight.equal(before[name]) for name, weight in model.state_dict().items())
    assert all(weight.grad is None for weight in model.parameters())


@pytest.mark.parametrize(
    ("prompts", "options", "message"),
    [
        ([], {}, "there are no prompts; give at least one"),
        ([[1], []], {}, "prompt 1: there is no text to continue"),
        ([[1], [V]], {}, "prompt 1: token id 9 is outside the vocabulary of 9"),
        ([[1] * 20], {"max_new_tokens": 5}, "20 tokens and max_new_tokens=5 exceed the context"),
        ([[1]], {"max_new_tokens": 0}, "max_new_tokens=0 must be a whole number of at least 1"),
        ([[1]], {"batch_size": 0}, "batch_size=0 must be a whole number of at least 1"),
    ],
)
def test_what_is_refused_before_anything_runs(prompts, options, message):
    with pytest.raises(ValueError, match=message):
        greedy_answers(LLAMA, prompts, **{"max_new_tokens": 4} | options)
