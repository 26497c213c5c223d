"""The exercises of notebook 7: pretraining."""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn.functional import cross_entropy

from llmlab.exercises.exercise import Exercise

# --- packing ------------------------------------------------------------------------------------

pack = Exercise(
    "pretraining.pack",
    prompt="""
**1. Pack without a leak.** `documents` is a list of pairs `(ids, is_held_out)`: the ids of a
document, and `True` if it belongs to the test. Return two lists of pieces, those to train on and
those to test on. Each side by itself:

1. Join its documents into one long row, in their order, with `end_id` after each of them.
2. Cut the row into pieces. A piece is a pair of lists `(reads, answers)`, both `context` long.
   The first piece reads from place 0 on, the next from place `context` on, and so forth; the
   answers are the row from one place later on.
3. What is left at the end of the row and does not make a whole piece, reads and answers, is
   dropped.

So every token but the first of its row is an answer once (but for those that are dropped), and
no piece holds tokens of both sides. Leave `documents` as it is.

With the documents `[([5, 6, 7], False), ([8, 9], True), ([4], False)]`, the end id 0 and the
context 2, the row to train on is 5 6 7 0 4 0. Its pieces are `([5, 6], [6, 7])` and
`([7, 0], [0, 4])`; the next would read 4 0, and no answer follows that 0. The row to test on is
8 9 0, which makes `([8, 9], [9, 0])`.
""",
    stub='''
def my_pack(documents, end_id, context):
    """Return the pieces to train on and to test on, lists of (reads, answers)."""
    training = ...
    testing = ...
    return training, testing
''',
    hints=(
        "Make two rows first, and only then think about cutting: what is never joined cannot end "
        "up in one piece.",
        "A row of n tokens has n - 1 answers, so it makes (n - 1) // context whole pieces.",
        "A function inside yours that cuts one row saves writing everything twice: "
        "row[at : at + context] are the reads of the piece that begins at place at.",
    ),
    fixed=(
        ([([5, 6, 7], False), ([8, 9], True), ([4], False)], 0, 2),
        ([([5, 6, 7, 8], True), ([3, 4, 5, 6, 7], False)], 0, 2),
        ([([5, 6], False), ([7, 8], True), ([3, 4], False), ([5, 3], True)], 9, 3),
        ([([3], False), ([4], True)], 0, 1),
        ([([3, 4, 5], False), ([6, 7, 8], False), ([9], True)], 1, 3),
        ([([2, 4], True), ([2, 4, 6, 8, 2, 4, 6], False)], 0, 4),
    ),
)


def _row(documents, end_id, held_out):
    return [id for ids, out in documents if out == held_out for id in [*ids, end_id]]


def _cut(row, context):
    starts = range(0, (len(row) - 1) // context * context, context)
    return [(row[at : at + context], row[at + 1 : at + 1 + context]) for at in starts]


@pack.reference
def my_pack(documents, end_id, context):
    sides = []
    for side in [False, True]:
        row = []
        for ids, is_held_out in documents:
            if is_held_out == side:
                row += ids + [end_id]
        pieces = []
        for n in range((len(row) - 1) // context):
            at = n * context
            pieces.append((row[at : at + context], row[at + 1 : at + context + 1]))
        sides.append(pieces)
    training, testing = sides
    return training, testing


@pack.fresh
def some_documents(rng, size):
    sides = [False, True, *(bool(out) for out in rng.integers(0, 2, size))]
    documents = [
        ([int(id) for id in rng.integers(1, 20, rng.integers(1, 3 + size))], out)
        for out in (sides[place] for place in rng.permutation(len(sides)))
    ]
    return documents, 0, int(rng.integers(1, 5))


@pack.wrong(
    "Everything is joined into one row and cut, and only then you ask to which side a piece "
    "belongs. A piece that begins in one document and ends in the next then holds tokens of both "
    "sides: the test leaks into the training. Make a row for each side first."
)
def cut_before_the_split(documents, end_id, context):
    row = [(id, out) for ids, out in documents for id in [*ids, end_id]]
    sides = ([], [])
    for at in range(0, (len(row) - 1) // context * context, context):
        ids = [id for id, _ in row[at : at + context + 1]]
        sides[row[at][1]].append((ids[:-1], ids[1:]))
    return sides


@pack.wrong(
    "The two sides have changed places: a document whose mark is True is held out, for the test."
)
def sides_swapped(documents, end_id, context):
    return tuple(_cut(_row(documents, end_id, side), context) for side in (True, False))


@pack.wrong(
    "The end marks are missing. Without them one document runs into the next, and the model "
    "learns that the end of a play is followed by the beginning of another as if it were one text."
)
def without_end_marks(documents, end_id, context):
    return tuple(
        _cut([id for ids, out in documents if out == side for id in ids], context)
        for side in (False, True)
    )


@pack.wrong(
    "The last token of a row is never an answer. Does every document get its end mark, the last "
    "one of a side too? And may your last piece end where the row ends? A row of n tokens has n - "
    "1 answers."
)
def one_answer_too_few(documents, end_id, context):
    return tuple(_cut(_row(documents, end_id, side)[:-1], context) for side in (False, True))


@pack.wrong(
    "The answers are what is read: nothing is shifted, so the model would learn to copy. The "
    "answers begin one place later in the row."
)
def not_shifted(documents, end_id, context):
    sides = [_cut(_row(documents, end_id, side), context) for side in (False, True)]
    return tuple([(reads, reads) for reads, _ in pieces] for pieces in sides)


@pack.wrong(
    "You cut the row into pieces of context tokens and shift inside each of them, so reads and "
    "answers are one too short, and the first token of each piece is never an answer. Take the "
    "answers from the row, one place later."
)
def shifted_inside(documents, end_id, context):
    sides = []
    for side in (False, True):
        row = _row(documents, end_id, side)
        blocks = [row[at : at + context] for at in range(0, len(row) - context + 1, context)]
        sides.append([(block[:-1], block[1:]) for block in blocks])
    return tuple(sides)


@pack.wrong(
    "Each piece begins context + 1 places after the one before, so one token between two pieces "
    "is an answer and is never read. The last answer of a piece is the first that the next one "
    "reads: pieces begin context places apart."
)
def one_token_skipped(documents, end_id, context):
    sides = []
    for side in (False, True):
        row = _row(documents, end_id, side)
        blocks = [row[at : at + context + 1] for at in range(0, len(row) - context, context + 1)]
        sides.append([(block[:-1], block[1:]) for block in blocks])
    return tuple(sides)


@pack.wrong(
    "Your pieces overlap: each begins one place after the one before, so a token is an answer "
    "many times in one pass over the data. They begin context places apart."
)
def at_every_place(documents, end_id, context):
    sides = []
    for side in (False, True):
        row = _row(documents, end_id, side)
        sides.append(
            [
                (row[at : at + context], row[at + 1 : at + context + 1])
                for at in range(len(row) - context)
            ]
        )
    return tuple(sides)


@pack.wrong(
    "You cut each document by itself, so the rest of every document is lost, and short ones are "
    "lost entirely. Join the documents of a side first; that is what packing means."
)
def each_by_itself(documents, end_id, context):
    sides = ([], [])
    for ids, out in documents:
        sides[out].extend(_cut([*ids, end_id], context))
    return sides


@pack.wrong(
    "The rest at the end of a row is still there, as a shorter piece. All pieces have to be "
    "context long, reads and answers; drop what does not make a whole one."
)
def the_rest_is_kept(documents, end_id, context):
    sides = []
    for side in (False, True):
        row = _row(documents, end_id, side)
        sides.append(
            [
                (row[at : at + context], row[at + 1 : at + context + 1])
                for at in range(0, len(row), context)
            ]
        )
    return tuple(sides)


@pack.wrong(
    "The pieces are right, but you put the end marks into the documents themselves, which belong "
    "to whoever called you. ids + [end_id] makes a new list."
)
def into_the_documents(documents, end_id, context):
    for ids, _ in documents:
        ids.append(end_id)
    return tuple(
        _cut([id for ids, out in documents if out == side for id in ids], context)
        for side in (False, True)
    )


@pack.law
def two_lists_of_pieces(given, documents, end_id, context):
    if not isinstance(given, list | tuple) or len(given) != 2:
        return "Return two lists of pieces: return training, testing."
    for piece in [*given[0], *given[1]]:
        if not isinstance(piece, list | tuple) or len(piece) != 2:
            return "A piece is a pair of two lists, what is read and what is answered."
        if not len(piece[0]) == len(piece[1]) == context:
            return f"Both lists of a piece have the length of the context, here {context}."
    return None


# --- the first loss -----------------------------------------------------------------------------

first_loss = Exercise(
    "pretraining.first_loss",
    prompt="""
**2. The first loss.** A model that knows nothing gives each token of its vocabulary the same
probability. Return its loss in two units, as two numbers:

- in **nats a token**: the surprise −ln p;
- in **bits a byte**: the surprise −log₂ p of a whole text, which has `n_tokens` tokens, divided by
  the text's `n_bytes` bytes.

One number in nats is the same number divided by ln 2 in bits: 0.693 nats are 1 bit.

With a vocabulary of 1,024 tokens the loss is ln 1024 = 6.93 nats a token, which is log₂ 1024 = 10
bits a token. A text of 1,000 bytes that takes 300 tokens then costs 10 · 300 / 1000 = 3 bits a
byte: return `(6.93, 3.0)`, only more exactly.
""",
    stub='''
def my_first_loss(vocab_size, n_tokens, n_bytes):
    """Return the loss of a model that knows nothing: nats a token, bits a byte."""
    nats = ...
    bits = ...
    return nats, bits
''',
    hints=(
        "Each of the vocab_size tokens gets 1 / vocab_size. What is the logarithm of that?",
        "math.log is ln, math.log2 is log₂. The text costs n_tokens times what one token costs.",
        "Fewer tokens for the same bytes: fewer bits a byte. So n_tokens stands above the line of "
        "the fraction and n_bytes below it.",
    ),
    fixed=(
        (1024, 300, 1000),
        (256, 500, 500),
        (2048, 200_000, 550_000),
        (50_257, 10, 45),
        (2, 8, 1),
    ),
)


@first_loss.reference
def my_first_loss(vocab_size, n_tokens, n_bytes):
    nats = math.log(vocab_size)
    bits = math.log2(vocab_size) * n_tokens / n_bytes
    return nats, bits


@first_loss.fresh
def a_vocabulary_and_a_text(rng, size):
    n_tokens = int(rng.integers(1, 10**size))
    return int(rng.integers(2, 60_000)), n_tokens, int(rng.integers(n_tokens, 5 * n_tokens + 2))


@first_loss.wrong(
    "Your second number is in nats a byte: there is a ln where bits ask for log₂. Divide by ln 2, "
    "or use math.log2."
)
def nats_a_byte(vocab_size, n_tokens, n_bytes):
    return math.log(vocab_size), math.log(vocab_size) * n_tokens / n_bytes


@first_loss.wrong(
    "Your second number is multiplied by ln 2 instead of divided: a bit is less than a nat, so the "
    "same surprise is a larger number of bits."
)
def times_ln_2(vocab_size, n_tokens, n_bytes):
    return math.log(vocab_size), math.log(vocab_size) * math.log(2) * n_tokens / n_bytes


@first_loss.wrong(
    "Your second number is in bits a token. A token is several bytes long, as a rule: the whole "
    "text costs n_tokens times as much, and that is shared among n_bytes."
)
def bits_a_token(vocab_size, n_tokens, n_bytes):
    return math.log(vocab_size), math.log2(vocab_size)


@first_loss.wrong(
    "The fraction stands on its head: you multiply by the bytes and divide by the tokens. The "
    "fewer tokens a text takes, the fewer bits it costs."
)
def upside_down(vocab_size, n_tokens, n_bytes):
    return math.log(vocab_size), math.log2(vocab_size) * n_bytes / n_tokens


@first_loss.wrong(
    "Your second number forgets to divide by the bytes: it is what the whole text costs."
)
def the_whole_text(vocab_size, n_tokens, n_bytes):
    return math.log(vocab_size), math.log2(vocab_size) * n_tokens


@first_loss.wrong(
    "Your first number is in bits a token: math.log2 gives bits, and nats ask for math.log, the "
    "natural logarithm."
)
def bits_first(vocab_size, n_tokens, n_bytes):
    return math.log2(vocab_size), math.log2(vocab_size) * n_tokens / n_bytes


@first_loss.wrong(
    "Both logarithms are to the base 10. math.log10 counts digits; nats ask for math.log, bits for "
    "math.log2."
)
def base_ten(vocab_size, n_tokens, n_bytes):
    return math.log10(vocab_size), math.log10(vocab_size) * n_tokens / n_bytes


@first_loss.wrong(
    "The minus is missing: the logarithm of a probability is below 0, a surprise above it."
)
def below_zero(vocab_size, n_tokens, n_bytes):
    return math.log(1 / vocab_size), math.log2(1 / vocab_size) * n_tokens / n_bytes


@first_loss.wrong(
    "You return the probability 1 / vocab_size. The loss is its surprise, minus its logarithm."
)
def the_probability(vocab_size, n_tokens, n_bytes):
    return 1 / vocab_size, n_tokens / n_bytes / vocab_size


@first_loss.wrong("The two numbers have changed places: first nats a token, then bits a byte.")
def swapped(vocab_size, n_tokens, n_bytes):
    return math.log2(vocab_size) * n_tokens / n_bytes, math.log(vocab_size)


@first_loss.law
def two_surprises(given, vocab_size, n_tokens, n_bytes):
    if not isinstance(given, list | tuple) or len(given) != 2:
        return "Return two numbers: return nats, bits."
    if min(map(float, given)) < 0:
        return "No surprise is below 0."
    return None


# --- the schedule -------------------------------------------------------------------------------

schedule = Exercise(
    "pretraining.schedule",
    prompt="""
**3. A schedule.** Return by what the learning rate is multiplied at a step. Steps are counted from
0, and `steps` is how many there are in all.

- During the first `warmup` steps it rises in a straight line: at step 0 it is 1 / (warmup + 1), at
  step 1 it is 2 / (warmup + 1), and so on, so that step number `warmup` is the first with 1. It
  does not begin at 0: a step of length 0 learns nothing.
- From there it falls in a straight line to `final`, which it would reach at step number `steps`,
  the first that is not made any more.

`warmup` is a whole number from 0 up, below `steps`, and `final` a number from 0 to 1.

With 6 steps, a warm-up of 2 and final = 0, the six steps get 1/3, 2/3, 1, 0.75, 0.5 and 0.25. With
final = 0.2 the last three are 0.8, 0.6 and 0.4.
""",
    stub='''
def my_schedule(step, steps, warmup, final):
    """Return the factor of the learning rate at a step, counted from 0."""
    return ...
''',
    hints=(
        "There are two cases, so an if: step < warmup, and all others.",
        "After the warm-up, which share of the way down is done? It is 0 at step number warmup and "
        "1 at step number steps.",
        "With progress = (step - warmup) / (steps - warmup), the factor is a mixture: 1 - progress "
        "times 1, and progress times final.",
    ),
    fixed=(
        (3, 6, 2, 0.0),
        (0, 6, 2, 0.0),
        (1, 6, 2, 0.0),
        (2, 6, 2, 0.0),
        (5, 6, 2, 0.2),
        (5, 6, 2, 0.5),
        (0, 4, 0, 0.0),
        (2, 4, 0, 0.5),
        (9, 10, 9, 0.1),
        (60, 100, 20, 0.1),
    ),
)


@schedule.reference
def my_schedule(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / (steps - warmup)
    return (1 - progress) * 1 + progress * final


@schedule.fresh
def a_step(rng, size):
    steps = int(rng.integers(1, 4 * size + 2))
    warmup = int(rng.integers(0, steps))
    return int(rng.integers(0, steps)), steps, warmup, round(float(rng.random()), 2)


@schedule.wrong(
    "The warm-up begins at 0, so the first step learns nothing. At step 0 the factor is 1 / "
    "(warmup + 1)."
)
def begins_at_zero(step, steps, warmup, final):
    return step / warmup if step < warmup else my_schedule(step, steps, warmup, final)


@schedule.wrong(
    "Your warm-up is over one step too early: its last step has the full rate already. It is "
    "divided by warmup + 1, so that step number warmup is the first with 1."
)
def warm_too_early(step, steps, warmup, final):
    return (step + 1) / warmup if step < warmup else my_schedule(step, steps, warmup, final)


@schedule.wrong(
    "There is no warm-up: the line falls from the first step on. While step is below warmup, the "
    "factor rises."
)
def no_warmup(step, steps, warmup, final):
    return 1 + (final - 1) * step / steps


@schedule.wrong(
    "After the warm-up you divide step by steps, as if the way down had begun at step 0: the "
    "factor jumps down when the warm-up ends. Count from there: (step - warmup) / (steps - warmup)."
)
def falls_from_the_first_step(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 1 + (final - 1) * step / steps


@schedule.wrong(
    "The way down is as long as all steps together, so it is not over at the end: you take warmup "
    "off the step but not off steps."
)
def never_arrives(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 1 + (final - 1) * (step - warmup) / steps


@schedule.wrong("The line falls to 0 and not to final. At the end the factor would be final.")
def falls_to_zero(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 1 - (step - warmup) / (steps - warmup)


@schedule.wrong(
    "You add final to a line that falls from 1 to 0, so the rate is too high by final everywhere. "
    "The line falls from 1 to final: mix the two ends."
)
def final_on_top(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return 1 - (step - warmup) / (steps - warmup) + final


@schedule.wrong(
    "You cut the line off at final: it falls to 0 and stops when it meets final. It has to fall "
    "more slowly, so that it arrives at final exactly at the end."
)
def cut_off(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    return max(final, 1 - (step - warmup) / (steps - warmup))


@schedule.wrong(
    "After the warm-up the factor stays at 1. From there it has to fall to final, so that the "
    "steps become smaller and the model can settle."
)
def stays(step, steps, warmup, final):
    return (step + 1) / (warmup + 1) if step < warmup else 1.0


@schedule.wrong(
    "The way down goes the wrong way: it begins at final and rises to 1. Look at step number "
    "warmup: there progress is 0, and the factor has to be 1."
)
def rises(step, steps, warmup, final):
    if step < warmup:
        return (step + 1) / (warmup + 1)
    progress = (step - warmup) / (steps - warmup)
    return progress + (1 - progress) * final


@schedule.law
def a_factor(given, step, steps, warmup, final):
    if not 0 < float(given) <= 1:
        return "The factor is above 0 and at most 1 at every step that is made."
    return None


# --- overfit one batch --------------------------------------------------------------------------


class ToyTable(nn.Module):
    """The smallest language model: a table with a row of scores for each token.

    The scores of what may follow stand in the row of the last token, so ids (B, T) give (B, T, V).
    At first all scores are 0.
    """

    def __init__(self, n_tokens: int):
        super().__init__()
        self.table_VV = nn.Parameter(torch.zeros(n_tokens, n_tokens))

    def forward(self, ids_BT: torch.Tensor) -> torch.Tensor:
        """Score every token that could follow each position."""
        return self.table_VV[ids_BT]

    def __repr__(self) -> str:
        return f"a table of scores for {len(self.table_VV)} tokens"


overfit = Exercise(
    "pretraining.overfit",
    prompt="""
**4. Overfit one batch.** Before a long training comes a short test: can the model learn *one*
batch by heart? If not, something in the code is broken, and no amount of data will help.

Do `steps` steps of plain gradient descent, always on the same batch. At each step:

1. compute the **loss**: the mean surprise at the answers. `model(reads)` gives scores of shape
   (B, T, V), `answers` has the shape (B, T);
2. write the loss down, as a plain number;
3. let PyTorch compute the gradients, and move every parameter *against* its gradient, by `rate`
   times the gradient.

Return the list of the losses, `steps` numbers, each from *before* its step.

`torch.nn.functional.cross_entropy` wants the scores as (B · T, V) and the answers as (B · T,):
`scores.flatten(0, 1)` and `answers.flatten()`. You may use `torch.optim.SGD`, or move the
parameters yourself under `torch.no_grad()`.

The model in the check is a table of scores, at first all 0. With 4 tokens, the batch `reads =
[[0, 1]]`, `answers = [[1, 2]]`, 3 steps and the rate 2, the losses are 1.386 (which is ln 4), 0.744
and 0.437.
""",
    stub='''
def my_overfit(model, reads, answers, steps, rate):
    """Return the loss before each of the steps of gradient descent on one batch."""
    losses = []
    ...
    return losses
''',
    hints=(
        "A loop over range(steps); inside it everything that the three points say, the scores "
        "first: after a step, they are others.",
        "loss.backward() *adds* to the gradients that are there already. So each step begins with "
        "optimizer.zero_grad().",
        "Before the loop: optimizer = torch.optim.SGD(model.parameters(), lr=rate). In it, in this "
        "order: the loss, losses.append(loss.item()), zero_grad, backward and step.",
    ),
    fixed=(
        (ToyTable(4), torch.tensor([[0, 1]]), torch.tensor([[1, 2]]), 3, 2.0),
        (ToyTable(3), torch.tensor([[0, 1], [2, 2]]), torch.tensor([[1, 0], [2, 1]]), 4, 0.5),
        (ToyTable(5), torch.tensor([[3]]), torch.tensor([[4]]), 2, 1.0),
        (ToyTable(6), torch.tensor([[0, 1, 2, 3]]), torch.tensor([[1, 2, 3, 4]]), 8, 3.0),
    ),
    seconds=20.0,  # the first optimiser of a session makes PyTorch import half of itself
    n_fresh=16,
)


@overfit.reference
def my_overfit(model, reads, answers, steps, rate):
    optimizer = torch.optim.SGD(model.parameters(), lr=rate)
    losses = []
    for _ in range(steps):
        scores = model(reads).flatten(0, 1)
        loss = torch.nn.functional.cross_entropy(scores, answers.flatten())
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


@overfit.fresh
def a_batch(rng, size):
    n_tokens = int(rng.integers(3, 10))
    shape = int(rng.integers(1, 4)), int(rng.integers(2, 3 + size))
    reads, answers = (torch.from_numpy(rng.integers(0, n_tokens, shape)) for _ in range(2))
    steps, rate = int(rng.integers(2, 6)), round(float(rng.uniform(0.3, 3)), 1)
    return ToyTable(n_tokens), reads, answers, steps, rate


def _descended(
    model, reads, answers, steps, rate, *, forget=True, sign=-1, loss=cross_entropy, after=False
):
    losses = []
    parameters = list(model.parameters())
    for _ in range(steps):
        value = loss(model(reads).flatten(0, 1), answers.flatten())
        losses.append(value.item())
        if forget:
            model.zero_grad()
        value.backward()
        with torch.no_grad():
            for parameter in parameters:
                parameter += sign * rate * parameter.grad
            if after:
                losses[-1] = loss(model(reads).flatten(0, 1), answers.flatten()).item()
    return losses


@overfit.wrong(
    "The gradients of all steps add up: backward adds to what is there. Set them back at each "
    "step, with optimizer.zero_grad() before loss.backward()."
)
def gradients_add_up(model, reads, answers, steps, rate):
    return _descended(model, reads, answers, steps, rate, forget=False)


@overfit.wrong(
    "The loss stays the same: the gradients are computed, perhaps, but no parameter moves. "
    "optimizer.step() is missing."
)
def nothing_moves(model, reads, answers, steps, rate):
    return _descended(model, reads, answers, steps, 0.0)


@overfit.wrong(
    "The loss rises: you move the parameters along the gradient, which points uphill. Subtract it."
)
def uphill(model, reads, answers, steps, rate):
    return _descended(model, reads, answers, steps, rate, sign=1)


@overfit.wrong(
    "Your losses are those after each step: the first one, from before any training, is missing. "
    "Write the loss down before you move the parameters."
)
def after_the_step(model, reads, answers, steps, rate):
    return _descended(model, reads, answers, steps, rate, after=True)


def _total(scores, answers):
    return cross_entropy(scores, answers, reduction="sum")


@overfit.wrong(
    "You take the sum of the surprises; the loss is their mean. With a sum the steps grow with the "
    "size of the batch."
)
def the_sum(model, reads, answers, steps, rate):
    return _descended(model, reads, answers, steps, rate, loss=_total)


@overfit.wrong(
    "The model is asked for what it has just read: you compare the scores with reads in place of "
    "answers."
)
def asked_for_what_it_read(model, reads, answers, steps, rate):
    return _descended(model, reads, reads, steps, rate)


@overfit.wrong(
    "Only the last position of each text is in your loss. Every position has an answer, and all "
    "are learned at once."
)
def the_last_alone(model, reads, answers, steps, rate):
    return _descended(model, reads[:, -1:], answers[:, -1:], steps, rate)


@overfit.wrong(
    "You apply the softmax and then cross_entropy, which does it once more. It wants the scores "
    "as they are."
)
def softmax_twice(model, reads, answers, steps, rate):
    def twice(scores, wanted):
        return cross_entropy(scores.softmax(dim=-1), wanted)

    return _descended(model, reads, answers, steps, rate, loss=twice)


@overfit.wrong(
    "The scores are computed once, before the loop, and backward cannot go through the same "
    "calculation twice. After each step the scores are others: compute them inside the loop."
)
def scores_before_the_loop(model, reads, answers, steps, rate):
    scores, losses = model(reads), []
    for _ in range(steps):
        loss = cross_entropy(scores.flatten(0, 1), answers.flatten())
        losses.append(loss.item())
        loss.backward()
    return losses


@overfit.wrong("You return the last loss alone. Return all of them, a list of as many as steps.")
def the_last_loss(model, reads, answers, steps, rate):
    return _descended(model, reads, answers, steps, rate)[-1]


@overfit.law
def as_many_losses_as_steps(given, model, reads, answers, steps, rate):
    if not isinstance(given, list | tuple):
        return "Return a list of losses."
    if len(given) != steps:
        return f"Your list has the length {len(given)}; there are {steps} steps, each with a loss."
    first = math.log(len(model.table_VV))
    if not math.isclose(float(given[0]), first, abs_tol=1e-3):
        return (
            f"The first loss has to be that of a model which knows nothing: ln "
            f"{len(model.table_VV)} = {first:.3f}."
        )
    return None
