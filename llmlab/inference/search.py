"""Beam search: look for the most probable text by following several beginnings at once.

N running hypothesis, T position, V vocabulary, K how many continuations of each are looked at
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from llmlab.text.inputs import whole_number

LENGTH_PENALTY = 0.6  # of "Attention Is All You Need" (Vaswani et al. 2017, section 6.1)


class ScoreNext(Protocol):
    """What `beam_search` asks for the scores of the next tokens: a model, or a table."""

    def __call__(self, ids_NT: Tensor, parents_N: Tensor) -> Tensor | np.ndarray:
        """Return the log-probability of every token after each hypothesis, (N, V).

        `ids_NT` has what each hypothesis says so far, the start token first. `parents_N` is for
        a model with a cache: the row of the call before that each row continues; in the first
        call, the number of its text. What only depends on the ids need not look at it.
        """
        ...


class Hypothesis(NamedTuple):
    """A text that a search has found.

    `ids` follow the start token and end with the end token if the text is `finished`.
    `log_probability` is in nats. By `score` hypotheses are ranked: the log-probability divided by
    `length_divisor`; -inf for a text that was cut off, which ranks behind all that are finished.
    """

    ids: tuple[int, ...]
    log_probability: float
    score: float
    finished: bool


class _Row(NamedTuple):
    """A running hypothesis: the row it continues, with which token, and how probable it is now.

    The greedy one goes on beside the beam, and takes no place in it, once it has dropped out.
    """

    text: int
    log_probability: float
    parent: int
    token: int
    greedy: bool
    beside: bool


@torch.inference_mode()
def beam_search(
    score_next: ScoreNext,
    *,
    start_id: int,
    end_id: int,
    max_new_tokens: int | Iterable[int],
    n_beams: int = 4,
    length_penalty: float = LENGTH_PENALTY,
    n_texts: int = 1,
    n_best: int | None = None,
) -> list[list[Hypothesis]]:
    """Find texts that are as probable as possible; one list for each text, the best first.

    Step by step the `n_beams` most probable continuations of each text are kept; those that end
    leave. Beside them runs the greedy search, which takes the most probable token each time and
    is what ``n_beams=1`` does, so that no best score is ever below its. A search ends when nothing
    that is running could still come among the `n_best` (`n_beams` of them if None), or after
    `max_new_tokens`, one number or one for each text; what is not finished then is cut off.

    `length_penalty` is the exponent in `length_divisor`: 0 ranks by probability alone, which
    favours short texts, larger numbers favour longer ones; 0.6 is that of "Attention Is All You
    Need" (Vaswani et al. 2017, section 6.1). Of equals, lower ids go first. With as many beams
    as there are beginnings, the result is the best of all texts.

    Raises ``ValueError`` for settings that make no sense and for scores that are no
    log-probabilities, such as NaN.

    >>> after = torch.tensor([          # after each token (a row): the probability of the next
    ...     [0.0, 0.6, 0.4, 0.0],       # 0, the start: 1 is the more probable
    ...     [0.0, 0.3, 0.3, 0.4],       # 1 is followed by the end, 3, with 0.4 ...
    ...     [0.0, 0.1, 0.0, 0.9],       # ... and 2 with 0.9
    ...     [0.0, 0.0, 0.0, 1.0],
    ... ])
    >>> def score_next(ids_NT, parents_N):
    ...     return after[ids_NT[:, -1]].log()
    >>> for n_beams in (1, 2):
    ...     [found] = beam_search(
    ...         score_next, start_id=0, end_id=3, max_new_tokens=5, n_beams=n_beams,
    ...         length_penalty=0,
    ...     )
    ...     print(found[0].ids, round(math.exp(found[0].log_probability), 2))
    (1, 3) 0.24
    (2, 3) 0.36
    """
    n_beams, length_penalty = checked_settings(n_beams, length_penalty)
    n_texts = whole_number(n_texts, "n_texts", least=0)
    n_best = n_beams if n_best is None else whole_number(n_best, "n_best", least=1)
    limits = _limits(max_new_tokens, n_texts)

    done: list[list[Hypothesis]] = [[] for _ in range(n_texts)]
    rows = [_Row(text, 0.0, text, start_id, greedy=True, beside=False) for text in range(n_texts)]
    ids_NT = torch.empty(n_texts, 0, dtype=torch.long)
    for length in range(1, max(limits, default=0) + 1):
        parents_N = torch.tensor([row.parent for row in rows])
        tokens_N1 = torch.tensor([[row.token] for row in rows])
        ids_NT = torch.cat((ids_NT[parents_N], tokens_N1), dim=1)
        log_probs_NV = _checked(score_next(ids_NT, parents_N), len(rows), end_id)
        beams = _continuations(rows, *best_tokens(log_probs_NV, n_beams))
        rows = []
        for text, beam in beams.items():
            running = []
            for row in _kept(beam, n_beams):
                if row.token == end_id or length == limits[text]:
                    ids = (*ids_NT[row.parent, 1:].tolist(), row.token)
                    done[text].append(_hypothesis(ids, row, end_id, length_penalty))
                else:
                    running.append(row)
            done[text] = sorted(done[text], key=_rank)[:n_best]
            # Each further token makes a hypothesis less probable, so none can get a better score
            # than it would have if it stayed as probable as it is up to the greatest length.
            to_beat = done[text][-1].score if len(done[text]) == n_best else -math.inf
            most = length_divisor(limits[text], length_penalty)
            if any(row.log_probability / most >= to_beat for row in running):
                rows += running
        if not rows:
            break
    return done


def length_divisor(length: int, penalty: float) -> float:
    """Say by what the log-probability of a text of `length` tokens is divided, its end included.

    Source: Wu et al. 2016, "Google's Neural Machine Translation System", equation 14. Unlike the
    plain ``length ** penalty``, it does not treat one and two tokens as worlds apart.

    >>> length_divisor(1, 0.6), length_divisor(7, 1.0), length_divisor(99, 0)
    (1.0, 2.0, 1.0)
    """
    return ((5 + length) / 6) ** penalty


def best_tokens(log_probs_NV: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Give the log-probabilities and the ids of the `k` best tokens of each row, (N, K) each.

    The best come first, of equals those with lower ids, as `torch.topk` does not promise it.

    >>> best_tokens(torch.tensor([[0.1, 0.4, 0.1, 0.4]]), 3)[1]
    tensor([[1, 3, 0]])
    """
    k = min(k, log_probs_NV.shape[1])
    left_NV = log_probs_NV if k == 1 else log_probs_NV.clone()
    values, ids = [], []
    for _ in range(k):
        best_N1 = left_NV.argmax(dim=-1, keepdim=True)  # the first of equals
        values.append(left_NV.gather(1, best_N1))
        ids.append(best_N1)
        if len(ids) < k:
            left_NV.scatter_(1, best_N1, -torch.inf)
    return torch.cat(values, dim=1), torch.cat(ids, dim=1)


def _continuations(rows: list[_Row], values_NK: Tensor, ids_NK: Tensor) -> dict[int, list[_Row]]:
    """List for each text what its hypotheses may become, those of the first row first."""
    beams: dict[int, list[_Row]] = {}
    best = zip(rows, values_NK.tolist(), ids_NK.tolist(), strict=True)
    for number, (row, values, ids) in enumerate(best):
        beam = beams.setdefault(row.text, [])
        for place, (value, token) in enumerate(zip(values, ids, strict=True)):
            if value > -math.inf:
                greedy = row.greedy and place == 0
                log_probability = row.log_probability + value
                beam.append(_Row(row.text, log_probability, number, token, greedy, row.beside))
    return beams


def _kept(beam: list[_Row], n_beams: int) -> list[_Row]:
    """Keep the best continuations, and beside them the greedy one if it is not among them."""
    ranked = sorted((row for row in beam if not row.beside), key=lambda row: -row.log_probability)
    best = ranked[:n_beams]
    return best + [row._replace(beside=True) for row in beam if row.greedy and row not in best]


def _hypothesis(ids: tuple[int, ...], row: _Row, end_id: int, penalty: float) -> Hypothesis:
    finished = ids[-1] == end_id
    score = row.log_probability / length_divisor(len(ids), penalty) if finished else -math.inf
    return Hypothesis(ids, row.log_probability, score, finished)


def _rank(hypothesis: Hypothesis) -> tuple:
    return -hypothesis.score, -hypothesis.log_probability, hypothesis.ids


def _limits(max_new_tokens: int | Iterable[int], n_texts: int) -> list[int]:
    given = max_new_tokens
    each = list(given) if isinstance(given, Iterable) else [given] * n_texts
    if len(each) != n_texts:
        raise ValueError(
            f"max_new_tokens has {len(each)} numbers for n_texts={n_texts}; give one for each "
            "text, or one number for all"
        )
    return [whole_number(limit, "max_new_tokens", least=1) for limit in each]


def checked_settings(n_beams: int, length_penalty: float) -> tuple[int, float]:
    """Give the settings of a search back; raises ``ValueError`` where they make no sense."""
    if not isinstance(length_penalty, Real) or not 0 <= length_penalty < math.inf:
        raise ValueError(
            f"length_penalty={length_penalty!r} must be a number of at least 0; 0 ranks by "
            "probability alone, 0.6 lets longer texts win more often"
        )
    return whole_number(n_beams, "n_beams", least=1), float(length_penalty)


def _checked(log_probs_NV: Tensor | np.ndarray, n_rows: int, end_id: int) -> Tensor:
    """Refuse what are no log-probabilities: the search would end too soon, or never choose."""
    log_probs_NV = torch.as_tensor(log_probs_NV)
    if log_probs_NV.dim() != 2 or len(log_probs_NV) != n_rows:
        raise ValueError(
            f"score_next returned the shape {tuple(log_probs_NV.shape)} for {n_rows} hypotheses; "
            f"return ({n_rows}, vocabulary), a row for each row of ids"
        )
    if not 0 <= end_id < log_probs_NV.shape[1]:
        raise ValueError(
            f"end_id={end_id} is not among the {log_probs_NV.shape[1]} tokens that score_next "
            "scores, so no text could end; give the id of the token that ends a text"
        )
    best = log_probs_NV.amax(dim=1)
    if not torch.isfinite(best).all():
        raise ValueError(
            f"the best log-probability of a next token is {float(best[~best.isfinite()][0])}, not "
            "a number to choose by; the model's weights are broken or training went wrong, or a "
            "row of the table has no probability at all"
        )
    if (best > 1e-4).any():  # more than rounding
        raise ValueError(
            f"{float(best.max()):.4g} is no log-probability, which is at most 0; return "
            "logits.log_softmax(dim=-1), or the logarithm of probabilities"
        )
    return log_probs_NV
