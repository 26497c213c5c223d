"""Answers to the exercises on instructions that nobody foresaw, and oracles for the references."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, linear

from llmlab.exercises import instructions
from llmlab.exercises.checking import judge
from llmlab.exercises.shelf import find
from llmlab.inference import bare_answer, exact_match
from llmlab.text import chat_example, chat_prompt, train_bpe
from llmlab.train import IGNORE, masked_batches

BEGIN, END = "<|im_start|>", "<|im_end|>"


@pytest.fixture(params=[(seed, size) for seed in range(4) for size in range(1, 9)], ids=str)
def drawn(request):
    """Draw the random input of an exercise."""
    seed, size = request.param
    return lambda exercise: exercise.draw(np.random.default_rng(seed), size)


def told(id, answer):
    """The text of the card, which must not be that of a known mistake."""
    exercise = find(f"instructions.{id}")
    result = judge(exercise, answer, np.random.default_rng(0))
    assert result.status == "not yet"
    assert result.text not in [message for _, message in exercise.wrong_answers]
    return result.text


def passes(id, answer):
    return judge(find(f"instructions.{id}"), answer, np.random.default_rng(0)).passed


def by_joining(turns):
    open_turns = [f"{role}\n{text}" for role, text in [*turns, ("assistant", "")]]
    return BEGIN + f"{END}\n{BEGIN}".join(open_turns)


def masked_in_place(prompt, answer, end_id):
    row = [*prompt, *answer, end_id]
    targets = [-100] * len(row)
    for place in range(len(prompt), len(row)):
        targets[place - 1] = row[place]
    return row[:-1], targets[:-1]


def masked_tensors(prompt, answer, end_id):
    row = torch.tensor([*prompt, *answer, end_id])
    targets = row[1:].clone()
    targets[: len(prompt) - 1] = -100
    return row[:-1], targets


def merged(x, weight, A, B, alpha):
    return linear(x, weight + alpha / A.shape[0] * B @ A)


def by_einsum(x, weight, A, B, alpha):
    detour = torch.einsum("bti,ri,or->bto", x, A, B)
    return torch.einsum("bti,oi->bto", x, weight) + detour * (alpha / len(A))


def peeled(text):
    while text and text[0] in ' \t\n."':
        text = text[1:]
    while text and text[-1] in ' \t\n."':
        text = text[:-1]
    while "  " in (text := text.replace("\n", " ").replace("\t", " ")):
        text = text.replace("  ", " ")
    return text


@pytest.mark.parametrize(
    ("id", "answer"),
    [
        ("template", by_joining),
        ("mask", masked_in_place),
        ("mask", masked_tensors),
        ("lora", merged),
        ("lora", by_einsum),
        ("lora", lambda *given: by_einsum(*given).tolist()),
        ("exact_match", lambda g, e: np.mean([peeled(a) == peeled(b) for a, b in zip(g, e)])),  # noqa: B905
    ],
)
def test_right_answers_of_other_kinds_pass(id, answer):
    assert passes(id, answer)


@pytest.mark.parametrize(
    ("id", "answer", "words"),
    [
        ("template", lambda turns: [by_joining(turns)], "Return one text, not a list"),
        ("template", lambda turns: BEGIN + by_joining(turns), "each with its mark"),
        ("mask", lambda p, a, end: [*p, *a], "Return two lists: return reads, targets."),
        ("mask", lambda p, a, end: (p, [end]), "Both lists are equally long; yours have"),
        ("mask", lambda p, a, end: (p + a, [*p[1:], end, end, *a[:-1]]), "A token of the prompt"),
        ("mask", lambda p, a, end: (p + a, [-100] * len(p + a)), "is not the end mark"),
        ("lora", lambda x, w, A, B, alpha: x, "has the shape (texts, tokens, O), here (1, 1, 1)."),
        ("exact_match", lambda given, expected: -1, "A share lies between 0 and 1."),
    ],
)
def test_what_the_laws_say(id, answer, words):
    assert words in told(id, answer)


def test_the_template_is_the_package_s(drawn):
    (turns,) = drawn(instructions.template)
    tokenizer = train_bpe(["some text"], 262, special=[BEGIN, END], progress=False)
    ids = tokenizer.encode(instructions.my_template(turns), special=True)
    if len(turns) == 1:
        assert ids == chat_prompt(tokenizer, turns[0][1])
    if len(turns) == 2:
        assert ids == chat_prompt(tokenizer, turns[1][1], system=turns[0][1])


def test_the_mask_is_the_package_s(drawn):
    prompt, answer, end_id = drawn(instructions.mask)
    reads, targets = instructions.my_mask(prompt, answer, end_id)
    ids = [*prompt, *answer, end_id]
    marks = [False] * len(prompt) + [True] * (len(answer) + 1)
    batch = next(masked_batches([(ids, marks)], batch_size=1, pad_id=0))
    assert batch.inputs[0].tolist() == [reads]
    assert batch.targets_BT.tolist() == [targets]
    assert IGNORE == -100


def test_nothing_of_the_prompt_has_a_gradient_and_the_end_has_one(drawn):
    prompt, answer, end_id = drawn(instructions.mask)
    reads, targets = instructions.my_mask(prompt, answer, end_id)
    scores_TV = torch.zeros(len(reads), 60, requires_grad=True)
    cross_entropy(scores_TV, torch.tensor(targets)).backward()
    asked = scores_TV.grad.abs().sum(dim=1) > 0
    assert asked.tolist() == [place >= len(prompt) - 1 for place in range(len(reads))]
    # downhill, the end mark becomes likelier at the last place, and nowhere else
    rises = scores_TV.grad[:, end_id] < 0
    assert rises.tolist() == [place == len(reads) - 1 for place in range(len(reads))]


def test_the_mask_is_that_of_an_example_of_the_package():
    tokenizer = train_bpe(
        ["the plural of goose is geese"], 270, special=[BEGIN, END], progress=False
    )
    ids, learn = chat_example(tokenizer, "the plural of goose", "geese")
    prompt = chat_prompt(tokenizer, "the plural of goose")
    answer = tokenizer.encode("geese")
    reads, targets = instructions.my_mask(prompt, answer, tokenizer.special_tokens[END])
    assert reads == ids[:-1]
    wanted = [id if mark else -100 for id, mark in zip(ids, learn, strict=True)]
    assert targets == wanted[1:]


def test_lora_is_a_layer_whose_weights_have_moved(drawn):
    x, weight, A, B, alpha = drawn(instructions.lora)
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    with torch.no_grad():
        layer.weight.copy_(weight + alpha / len(A) * (B @ A))
    torch.testing.assert_close(
        instructions.my_lora(x, weight, A, B, alpha), layer(x), atol=1e-3, rtol=1e-4
    )
    nothing = instructions.my_lora(x, weight, A, torch.zeros_like(B), alpha)
    torch.testing.assert_close(nothing, x @ weight.T)


def test_exact_match_agrees_with_the_package_where_both_mean_the_same(drawn):
    """The package takes off one full stop and quotes in pairs: what the inputs here have."""
    given, expected = drawn(instructions.exact_match)
    ours = instructions.my_exact_match(given, expected)
    assert ours == pytest.approx(exact_match(given, expected, normalise=bare_answer))


def test_the_examples_in_the_prompts():
    asked = "<|im_start|>user\nSay hi.<|im_end|>\n<|im_start|>assistant\n"
    assert instructions.my_template([("user", "Say hi.")]) == asked
    assert asked.replace("\n", "\\n") in instructions.template.prompt.replace("\\\\n", "\\n")
    assert instructions.my_mask([5, 6, 7], [8, 9], 0) == ([5, 6, 7, 8, 9], [-100, -100, 8, 9, 0])
    assert "`[-100, -100, 8, 9, 0]`" in instructions.mask.prompt
    x, weight, A, B, alpha = instructions.lora.fixed[0]
    assert instructions.my_lora(x, weight, A, B, alpha).tolist() == [[[63.0]]]
    assert "together 63" in instructions.lora.prompt
    given = [' "Madrid". ', "The capital is Paris.", "ROME"]
    assert instructions.my_exact_match(given, ["Madrid", "Paris", "Rome"]) == pytest.approx(1 / 3)
