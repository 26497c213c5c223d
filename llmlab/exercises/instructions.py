"""The exercises of notebook 9: fine-tuning to follow instructions."""

from __future__ import annotations

import numpy as np
import torch

from llmlab.exercises.exercise import Exercise

# --- the template -------------------------------------------------------------------------------

template = Exercise(
    "instructions.template",
    prompt="""
**1. The template.** `turns` is a conversation so far: a list of pairs `(role, text)`, the last of
which is a question that waits for its answer. Return it as one text in SmolLM2's form:

- a turn is the mark `<|im_start|>`, its role, a new line, its text, the mark `<|im_end|>`, and a
  new line;
- the turns follow each other in their order, with nothing between them;
- at the end stands the beginning of one more turn: the mark `<|im_start|>`, the role `assistant`
  and a new line. There the model goes on.

The texts stay exactly as they are. From `[("user", "Say hi.")]` comes
`"<|im_start|>user\\nSay hi.<|im_end|>\\n<|im_start|>assistant\\n"`.
""",
    stub='''
def my_template(turns):
    """Return the text that the model continues with its answer."""
    return ...
''',
    hints=(
        "A loop over the turns, for role, text in turns:, that appends one piece for each.",
        'In Python, "\\n" is the sign for a new line. Each turn has two of them: one after the '
        "role, one after the end mark.",
        'f"<|im_start|>{role}\\n{text}<|im_end|>\\n" is a turn. What is appended after the loop?',
    ),
    fixed=(
        ([("user", "Say hi.")],),
        ([("system", "Be kind."), ("user", "Who?")],),
        ([("user", "Say hi."), ("assistant", "Hi!"), ("user", "Again ")],),
        ([("user", " two\nlines\n")],),
        ([("system", ""), ("user", "a"), ("assistant", "b"), ("user", "c")],),
    ),
)


def _turn(role, text):
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


_OPENING = "<|im_start|>assistant\n"


@template.reference
def my_template(turns):
    text = ""
    for role, said in turns:
        text += f"<|im_start|>{role}\n{said}<|im_end|>\n"
    return text + "<|im_start|>assistant\n"


@template.fresh
def a_conversation(rng, size):
    words = ["What is", "the plural", "of", "goose?", "Say it", "again.", " ", "\n", "2 + 2"]

    def said():
        return " ".join(words[place] for place in rng.integers(0, len(words), rng.integers(1, 6)))

    turns = [("system", said())] if rng.random() < 0.5 else []
    for _ in range(int(rng.integers(0, (size + 1) // 2 + 1))):
        turns += [("user", said()), ("assistant", said())]
    return ([*turns, ("user", said())],)


@template.wrong(
    "Your text ends behind the question. The model would have to guess that an answer comes next, "
    "and might as well write another question. Open the assistant's turn, up to its new line."
)
def no_opening(turns):
    return "".join(_turn(*turn) for turn in turns)


@template.wrong(
    "The opening at the end has no new line behind assistant. The model would begin with that new "
    "line, where it has learned to begin with the answer."
)
def no_line_after_the_opening(turns):
    return "".join(_turn(*turn) for turn in turns) + "<|im_start|>assistant"


@template.wrong(
    "At the end you open a turn and do not say whose it is. Without the word assistant the model "
    "may go on as the user."
)
def nobodys_turn(turns):
    return "".join(_turn(*turn) for turn in turns) + "<|im_start|>"


@template.wrong(
    "You close the assistant's turn at once: <|im_end|> behind it says that the answer is over "
    "before it has begun. Leave it open."
)
def closed_at_once(turns):
    return "".join(_turn(*turn) for turn in turns) + _turn("assistant", "")


@template.wrong(
    "The new line behind <|im_end|> is missing. Each turn has two new lines, and the model has "
    "never seen one turn glued to the next."
)
def no_line_between_turns(turns):
    return "".join(_turn(*turn)[:-1] for turn in turns) + _OPENING


@template.wrong(
    "Behind the role stands a space or a colon, or nothing; it is a new line. What people can read "
    "is not enough: the model knows one form, token by token."
)
def role_and_text_on_one_line(turns):
    return "".join(f"<|im_start|>{role} {text}<|im_end|>\n" for role, text in turns) + _OPENING


@template.wrong(
    "Behind the role stands a colon; the role is followed by a new line and nothing else. What "
    "people can read is not enough: the model knows one form, token by token."
)
def role_and_colon(turns):
    return "".join(f"<|im_start|>{role}:\n{text}<|im_end|>\n" for role, text in turns) + _OPENING


@template.wrong(
    "The end marks are missing: nothing says where a turn is over. Each turn ends with <|im_end|> "
    "and a new line."
)
def no_end_marks(turns):
    return "".join(f"<|im_start|>{role}\n{text}\n" for role, text in turns) + _OPENING


@template.wrong(
    "Only the last question is there. The model remembers nothing between two calls, so the whole "
    "conversation has to be in the text every time."
)
def only_the_last_turn(turns):
    return _turn(*turns[-1]) + _OPENING


@template.wrong(
    "Every turn is the user's. The role stands in each pair, beside its text: what the model said "
    "before has to come back as the assistant's."
)
def everything_is_the_users(turns):
    return "".join(_turn("user", text) for _, text in turns) + _OPENING


@template.wrong(
    "You open the assistant's turn behind every turn. It stands once, at the end, where the answer "
    "is missing."
)
def opened_again_and_again(turns):
    return "".join(_turn(*turn) + _OPENING for turn in turns)


@template.wrong(
    "You take spaces or new lines off the texts. What people said stays as it is: a program that "
    "changes it answers another question."
)
def stripped(turns):
    return "".join(_turn(role, text.strip()) for role, text in turns) + _OPENING


@template.law
def one_text(given, turns):
    if not isinstance(given, str):
        return "Return one text, not a list of pieces."
    if given.count("<|im_start|>") != len(turns) + 1:
        return f"There are {len(turns) + 1} turns with the one that is opened, each with its mark."
    return None


# --- the mask -----------------------------------------------------------------------------------

mask = Exercise(
    "instructions.mask",
    prompt="""
**2. The mask.** Make one example to learn from. `prompt` and `answer` are lists of ids. The row is
the prompt, then the answer, then `end_id`. Return two lists that are equally long:

- `reads`: the row without its last token;
- `targets`: at each place, the token that comes *next* in the row, if it belongs to the answer or
  is the end mark. If it belongs to the prompt, the target is `-100`: PyTorch's `cross_entropy`
  leaves such places out, so nothing is learned from them.

So the first token of the answer is learned at the place where the last token of the prompt is
read, and the end mark where the last token of the answer is read.

With the prompt `[5, 6, 7]`, the answer `[8, 9]` and the end id 0, `reads` is `[5, 6, 7, 8, 9]` and
`targets` is `[-100, -100, 8, 9, 0]`.
""",
    stub='''
def my_mask(prompt, answer, end_id):
    """Return what is read and what is to be learned, -100 where nothing is."""
    reads = ...
    targets = ...
    return reads, targets
''',
    hints=(
        "First the row: prompt + answer + [end_id]. What is read is row[:-1].",
        "All that follows in the row is row[1:]. How many of these belong to the prompt?",
        "The prompt's first token is never a target, so len(prompt) - 1 places are -100, and the "
        "others are answer + [end_id].",
    ),
    fixed=(
        ([5, 6, 7], [8, 9], 0),
        ([5], [8], 0),
        ([4, 5, 6, 7], [3], 2),
        ([5, 6], [7, 8, 9, 7], 1),
        ([3, 3, 3], [3, 3], 0),
    ),
)


@mask.reference
def my_mask(prompt, answer, end_id):
    row = prompt + answer + [end_id]
    reads = row[:-1]
    targets = [-100] * (len(prompt) - 1) + answer + [end_id]
    return reads, targets


@mask.fresh
def a_prompt_and_an_answer(rng, size):
    prompt = [int(id) for id in rng.integers(1, 50, rng.integers(1, 2 * size + 1))]
    answer = [int(id) for id in rng.integers(1, 50, rng.integers(1, size + 2))]
    return prompt, answer, 0


def _row(prompt, answer, end_id):
    return [*prompt, *answer, end_id]


@mask.wrong(
    "The prompt is learned as well: no target is -100. The model would learn to ask, which costs "
    "it as much effort as to answer. Put -100 where the next token still belongs to the prompt."
)
def everything_is_learned(prompt, answer, end_id):
    row = _row(prompt, answer, end_id)
    return row[:-1], row[1:]


@mask.wrong(
    "Nothing is shifted: at each place you ask for the token that is read there. The model would "
    "learn to copy. The target is the *next* token of the row."
)
def not_shifted(prompt, answer, end_id):
    return (
        _row(prompt, answer, end_id)[:-1],
        [-100] * len(prompt) + list(answer),
    )


@mask.wrong(
    "One -100 too many: the first token of the answer is never learned, and that is the one that "
    "decides how an answer begins. It is the target at the place of the prompt's last token."
)
def first_token_missing(prompt, answer, end_id):
    row = _row(prompt, answer, end_id)
    return row[:-1], [-100] * len(prompt) + row[len(prompt) + 1 :]


@mask.wrong(
    "One -100 too few: the last token of the prompt is learned, too. Its place in the targets is "
    "one before its place in the row."
)
def last_of_the_prompt_too(prompt, answer, end_id):
    row = _row(prompt, answer, end_id)
    n = max(len(prompt) - 2, 0)
    if len(prompt) == 1:  # nothing of the prompt is a target there
        return row[:-1], row[1:]
    return row[:-1], [-100] * n + row[n + 1 :]


@mask.wrong(
    "The end mark is not learned. A model that has never been asked for it does not stop: it goes "
    "on until somebody cuts it off. The row ends with end_id, and that is the last target."
)
def end_not_learned(prompt, answer, end_id):
    row = _row(prompt, answer, end_id)
    return row[:-1], [*[-100] * (len(prompt) - 1), *answer, -100]


@mask.wrong(
    "The end mark is missing in the row, so the model never learns to stop. The row is prompt + "
    "answer + [end_id]."
)
def end_forgotten(prompt, answer, end_id):
    row = [*prompt, *answer]
    return row[:-1], [*[-100] * (len(prompt) - 1), *answer]


@mask.wrong(
    "The mask is the wrong way round: the prompt is learned and the answer is left out. -100 "
    "stands where nothing is learned."
)
def the_wrong_way_round(prompt, answer, end_id):
    row = _row(prompt, answer, end_id)
    return row[:-1], [*prompt[1:], *[-100] * (len(answer) + 1)]


@mask.wrong(
    "Where nothing is to be learned you put 0. But 0 is a token like any other, and the model "
    "would learn to write it. cross_entropy leaves out -100 and no other number."
)
def zeros(prompt, answer, end_id):
    row = _row(prompt, answer, end_id)
    return row[:-1], [*[0] * (len(prompt) - 1), *answer, end_id]


@mask.wrong(
    "The whole row is read, with -100 at its end. Nothing follows the end mark, so it need not be "
    "read: reads is row[:-1], and both lists are one shorter."
)
def end_is_read(prompt, answer, end_id):
    row = _row(prompt, answer, end_id)
    return row, [*[-100] * (len(prompt) - 1), *answer, end_id, -100]


@mask.wrong(
    "The prompt is not even read: the model sees an answer to nothing. It reads everything, and "
    "learns only a part."
)
def without_the_prompt(prompt, answer, end_id):
    return list(answer), [*answer[1:], end_id]


@mask.wrong(
    "The result is right, but you append to a list that belongs to whoever called you. "
    "prompt + answer makes a new one."
)
def into_the_prompt(prompt, answer, end_id):
    n = len(prompt)
    prompt.extend([*answer, end_id])
    return prompt[:-1], [*[-100] * (n - 1), *answer, end_id]


@mask.law
def nothing_of_the_prompt_and_the_end(given, prompt, answer, end_id):
    if not isinstance(given, list | tuple) or len(given) != 2:
        return "Return two lists: return reads, targets."
    reads, targets = (list(map(int, part)) for part in given)
    if len(reads) != len(targets):
        return f"Both lists are equally long; yours have {len(reads)} and {len(targets)} places."
    if targets[: len(prompt) - 1] != [-100] * (len(prompt) - 1):
        return "A token of the prompt is a target, so something of the prompt would be learned."
    if not targets or targets[-1] != end_id:
        return "The last target is not the end mark, so the model would not learn to stop."
    return None


# --- LoRA ---------------------------------------------------------------------------------------

lora = Exercise(
    "instructions.lora",
    prompt="""
**3. LoRA's forward.** A layer multiplies `x`, of shape (texts, tokens, I), by its matrix `weight`,
of shape (O, I): the result is `x @ weight.T`, of shape (texts, tokens, O). LoRA leaves `weight`
alone and adds a detour through few numbers:

- `A`, of shape (R, I), brings each vector from I numbers to R, the **rank**;
- `B`, of shape (O, R), brings those R numbers to O;
- what comes out is multiplied by `alpha / R` and added to the layer's own result.

Return the sum, of shape (texts, tokens, O).

With `x = [[[1, 2]]]`, `weight = [[3, 0]]`, `A = [[1, 1]]`, `B = [[10]]` and `alpha = 2`, the
layer gives 3, the detour 2 · (10 · (1 + 2)) = 60, together 63.
""",
    stub='''
def my_lora(x, weight, A, B, alpha):
    """Return the layer's result with the detour, (texts, tokens, O)."""
    return ...
''',
    hints=(
        "Two parts: what the layer gives, and what the detour gives. Write down the last number of "
        "the shape at each step: I, then R, then O.",
        "x @ A.T has R numbers for each token. The same once more with B.",
        "The rank is how many rows A has: A.shape[0], or len(A).",
    ),
    fixed=(
        (
            torch.tensor([[[1.0, 2.0]]]),
            torch.tensor([[3.0, 0.0]]),
            torch.tensor([[1.0, 1.0]]),
            torch.tensor([[10.0]]),
            2.0,
        ),
        (
            torch.tensor([[[1.0, 0.0, 2.0], [0.0, 1.0, 1.0]]]),
            torch.tensor([[1.0, 0.0, 1.0], [2.0, 1.0, 0.0]]),
            torch.tensor([[1.0, 0.0, 0.0], [0.0, 2.0, 1.0]]),
            torch.tensor([[1.0, 3.0], [0.0, 2.0]]),
            8.0,
        ),
        (
            torch.tensor([[[1.0, -1.0]], [[0.5, 2.0]]]),
            torch.tensor([[1.0, 2.0], [0.0, 1.0], [3.0, 0.0]]),
            torch.tensor([[1.0, 2.0], [2.0, 1.0], [0.0, 1.0], [1.0, 0.0]]),
            torch.tensor([[1.0, 0, 0, 2.0], [0, 1.0, 0, 0], [1.0, 1.0, 1.0, 0]]),
            1.0,
        ),
        (
            torch.tensor([[[1.0, 2.0]]]),
            torch.tensor([[0.0, 1.0], [1.0, 0.0]]),
            torch.tensor([[1.0, 2.0], [3.0, 4.0]]),
            torch.zeros(2, 2),
            16.0,
        ),
    ),
)


@lora.reference
def my_lora(x, weight, A, B, alpha):
    rank = A.shape[0]
    detour = x @ A.T @ B.T
    return x @ weight.T + alpha / rank * detour


@lora.fresh
def a_layer_and_a_detour(rng, size):
    def normal(*shape):
        return torch.from_numpy(rng.normal(size=shape)).float()

    n_in, n_out, rank = (int(n) for n in rng.integers(2, 3 + size, 3))
    x = normal(int(rng.integers(1, 4)), int(rng.integers(1, 4)), n_in)
    alpha = float(rng.integers(1, 17))
    return x, normal(n_out, n_in), normal(rank, n_in), normal(n_out, rank), alpha


def _base(x, weight):
    return x @ weight.T


def _detour(x, A, B):
    return x @ A.T @ B.T


@lora.wrong(
    "The detour is not scaled. Multiply it by alpha / R: then its size does not depend on the rank "
    "that you choose."
)
def no_scale(x, weight, A, B, alpha):
    return _base(x, weight) + _detour(x, A, B)


@lora.wrong("You multiply the detour by alpha alone; it is alpha divided by the rank.")
def alpha_alone(x, weight, A, B, alpha):
    return _base(x, weight) + alpha * _detour(x, A, B)


@lora.wrong("The fraction stands on its head: it is alpha / R, not R / alpha.")
def upside_down(x, weight, A, B, alpha):
    return _base(x, weight) + len(A) / alpha * _detour(x, A, B)


@lora.wrong(
    "You divide by the width of the input, not by the rank. A has the shape (R, I): the rank is "
    "A.shape[0], the number of its rows."
)
def by_the_width(x, weight, A, B, alpha):
    return _base(x, weight) + alpha / A.shape[1] * _detour(x, A, B)


@lora.wrong(
    "You return the detour alone. It is *added* to what the layer gives: at the start, when B is "
    "all zeros, the model has to be what it was."
)
def only_the_detour(x, weight, A, B, alpha):
    return alpha / len(A) * _detour(x, A, B)


@lora.wrong("The detour is missing: this is the layer as it was before. Add x @ A.T @ B.T, scaled.")
def only_the_layer(x, weight, A, B, alpha):
    return _base(x, weight)


@lora.wrong(
    "The scale multiplies both parts. The layer's own result stays as it is; only the detour is "
    "multiplied by alpha / R."
)
def everything_is_scaled(x, weight, A, B, alpha):
    return alpha / len(A) * (_base(x, weight) + _detour(x, A, B))


@lora.wrong(
    "The two parts are subtracted. The detour is added; which sign it needs, it learns by itself."
)
def subtracted(x, weight, A, B, alpha):
    return _base(x, weight) - alpha / len(A) * _detour(x, A, B)


@lora.wrong(
    "PyTorch says that the shapes do not fit: a matrix has to be transposed before a row of "
    "vectors is multiplied by it. weight has the shape (O, I), so it is x @ weight.T, and A and "
    "B in the same way."
)
def not_transposed(x, weight, A, B, alpha):
    return x @ weight + alpha / len(A) * (x @ A @ B)


@lora.law
def the_shape_of_the_layers_result(given, x, weight, A, B, alpha):
    wanted = (*x.shape[:2], weight.shape[0])
    if np.shape(given) != wanted:
        return f"The result has the shape (texts, tokens, O), here {wanted}."
    return None


# --- exact match --------------------------------------------------------------------------------

exact_match = Exercise(
    "instructions.exact_match",
    prompt="""
**4. Exact match.** Which share of the answers is right? `given` and `expected` are two lists of
texts, equally long. An answer counts if it is *the same* as what is expected, after both have
been normalised:

1. at its two ends, white space, full stops and double quotes go, as many of them as there are, in
   whatever order they stand;
2. inside, several white spaces in a row become one space.

Everything else counts, capitals above all: *madrid* is not *MADRID*, if capitals were asked for.
Return a number from 0 to 1.

With `given = [' "Madrid". ', "The capital is Paris.", "ROME"]` and `expected = ["Madrid", "Paris",
"Rome"]` the result is 1/3.
""",
    stub='''
def my_exact_match(given, expected):
    """Return the share of answers that are right, from 0 to 1."""
    return ...
''',
    hints=(
        "Write a function inside yours that normalises one text, and use it on both lists.",
        'strip can be told what to take off: text.strip(" .") takes off spaces and full stops at '
        "both ends, in any order.",
        '" ".join(text.split()) makes one space of every run of white space.',
    ),
    fixed=(
        ([' "Madrid". '], ["Madrid"]),
        (["ROME"], ["Rome"]),
        (["The capital is Paris."], ["Paris"]),
        (["3.5"], ["35"]),
        (["two  words"], ["two words"]),
        (["cats"], ["cats."]),
        (["No, not so"], ["No not so"]),
        (["ice cream"], ["icecream"]),
        (["geese", "mice", "ox"], ["geese", "mice", "oxen"]),
        (["b a", "a b", "a b", "x", "y"], ["a b", "a b", "b a", "x", "x"]),
    ),
)


def _bare(text):
    return " ".join(text.strip(' \t\n."').split())


@exact_match.reference
def my_exact_match(given, expected):
    def bare(text):
        return " ".join(text.strip(' \n\t."').split())

    right = [bare(one) == bare(other) for one, other in zip(given, expected)]
    return sum(right) / len(right)


@exact_match.fresh
def some_answers(rng, size):
    words = ["Madrid", "madrid", "geese", "two words", "3.5", "No, thanks", "cat"]
    forms = ["{}", " {}", "{}.", '"{}"', '"{}".', '"{}."', "{}\n", "It is {}.", "{}s"]
    expected = [words[place] for place in rng.integers(0, len(words), size)]
    given = []
    for word in expected:
        other = words[rng.integers(0, len(words))]
        said = word if rng.random() < 0.7 else other
        said = forms[rng.integers(0, len(forms))].format(said)
        given.append(said.replace(" ", "  ") if rng.random() < 0.2 else said)
    return given, expected


def _share(right):
    right = list(right)
    return sum(right) / len(right)


@exact_match.wrong(
    "Nothing is normalised, so an answer with a full stop behind it counts as wrong. Take spaces, "
    "full stops and quotes off both ends first."
)
def nothing_is_normalised(given, expected):
    return _share(one == other for one, other in zip(given, expected))


@exact_match.wrong(
    "Only spaces are taken off: a full stop or quotes still make a right answer wrong. strip can "
    'be told what to take off: strip(" .").'
)
def only_spaces(given, expected):
    return _share(
        " ".join(one.split()) == " ".join(other.split()) for one, other in zip(given, expected)
    )


@exact_match.wrong(
    "You make everything lower case, so ROME counts as Rome. But capitals may be what was asked "
    "for: how else could one tell whether 'write it in capitals' was followed?"
)
def lower_case(given, expected):
    return _share(_bare(one).lower() == _bare(other).lower() for one, other in zip(given, expected))


@exact_match.wrong(
    "You count an answer as right that *contains* what is expected. 'The capital is Paris.' is "
    "true, but a program that waits for 'Paris' cannot use it; and who names every city in the "
    "world would always be right."
)
def contains(given, expected):
    return _share(_bare(other) in _bare(one) for one, other in zip(given, expected))


@exact_match.wrong(
    "You take out signs *inside* the text as well, so 3.5 and 35 become the same. Only what "
    "stands at the two ends goes."
)
def signs_everywhere(given, expected):
    def bare(text):
        return " ".join(text.replace(".", "").replace('"', "").split())

    return _share(bare(one) == bare(other) for one, other in zip(given, expected))


@exact_match.wrong(
    "Several spaces inside a text still count. Make one of them: ' '.join(text.split())."
)
def spaces_inside_count(given, expected):
    def bare(text):
        return text.strip(' \t\n."')

    return _share(bare(one) == bare(other) for one, other in zip(given, expected))


@exact_match.wrong(
    "Only the given answers are normalised. What is expected may end in a full stop as well: do "
    "the same to both."
)
def only_one_side(given, expected):
    return _share(_bare(one) == other for one, other in zip(given, expected))


@exact_match.wrong(
    "All white space is gone, so 'two words' has become one. Inside, a run of white space becomes "
    "*one* space."
)
def no_spaces_at_all(given, expected):
    return _share(
        "".join(_bare(one).split()) == "".join(_bare(other).split())
        for one, other in zip(given, expected)
    )


@exact_match.wrong(
    "The order of the words does not count in yours: 'a b' and 'b a' are the same. Compare the "
    "texts, not the sets of their words."
)
def words_in_any_order(given, expected):
    return _share(
        sorted(_bare(one).split()) == sorted(_bare(other).split())
        for one, other in zip(given, expected)
    )


@exact_match.wrong(
    "You return how many are right. The share is that number divided by how many there are."
)
def how_many(given, expected):
    return sum(_bare(one) == _bare(other) for one, other in zip(given, expected))


@exact_match.wrong("Your share is in per cent; return a number from 0 to 1.")
def per_cent(given, expected):
    return 100 * _share(_bare(one) == _bare(other) for one, other in zip(given, expected))


@exact_match.law
def a_share(given_, given, expected):
    if not 0 <= float(given_) <= 1:
        return "A share lies between 0 and 1."
    return None
