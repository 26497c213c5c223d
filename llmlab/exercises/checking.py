"""check, hint, solution and progress: what a learner calls in a notebook. grade: a teacher's.

None of the learner's raises: whatever goes wrong becomes a card.
"""

from __future__ import annotations

import contextlib
import copy
import difflib
import inspect
import io
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from typing import Any

import numpy as np

from llmlab.exercises.cards import Card, Listing
from llmlab.exercises.comparing import difference, write
from llmlab.exercises.exercise import Arguments, Exercise
from llmlab.exercises.running import Outcome, Run, is_changed, is_inside, run, within
from llmlab.exercises.shelf import exercise_ids, find

_MOST_LINES = 8  # of what an answer printed
_TO_LOOK = 15.0  # seconds to compare and write results, which takes milliseconds

_attempts: dict[str, int] = {}  # by id, in this session
_passed_at: dict[str, int] = {}  # the number of the attempt that passed first
_hints_given: dict[str, int] = {}


@dataclass(frozen=True, repr=False)
class Result(Card):
    """What `check` answers: a card; true in an ``if`` when the exercise is passed."""

    _: KW_ONLY
    id: str = ""

    @property
    def passed(self) -> bool:
        """Whether the answer is right."""
        return self.status == "passed"

    def __bool__(self) -> bool:
        return self.passed


def check(id: str, answer: Any) -> Result:
    """Try a function on fixed and on random inputs, and say what is wrong with it, if anything.

    `id` names the exercise, `answer` is the function itself, as in
    ``check("tokens.most_frequent_pair", my_most_frequent_pair)``. A function that does not end
    is stopped. The result shows as a card, and is true when the answer is right.
    """
    if is_inside():
        return Result("check cannot be called by the function that it checks", id=str(id))
    exercise = find(id)
    if exercise is None:
        return Result(**_unknown(id))
    try:
        result = judge(exercise, answer, np.random.default_rng())
    except KeyboardInterrupt:
        result = _interrupted(exercise)
    except Exception as error:  # the learner may have changed a library that the check needs
        text = f"The check itself failed with {type(error).__name__}: restart the kernel and retry."
        result = _result(exercise, "", text)
    if result.status in ("passed", "not yet"):
        _attempts[id] = _attempts.get(id, 0) + 1
        if result.passed:
            _passed_at.setdefault(id, _attempts[id])
    return result


def hint(id: str) -> Card:
    """Show the next hint to an exercise: a little more at each call."""
    exercise = find(id)
    if exercise is None:
        return Card(**_unknown(id))
    number = min(_hints_given.get(id, 0) + 1, len(exercise.hints))
    _hints_given[id] = number
    title = f"{id}: hint {number} of {len(exercise.hints)}"
    text = exercise.hints[number - 1]
    if number == len(exercise.hints):
        text += f'\nThat was the last hint; solution("{id}") shows one way to do it.'
    return Card(title, text=text)


def solution(id: str) -> Card:
    """Show the reference answer to an exercise."""
    exercise = find(id)
    if exercise is None:
        return Card(**_unknown(id))
    return Listing(f"{id}: one solution", code=exercise.solution)


def grade(id: str, answer: Any, *, seed: int | None = None) -> Result:
    """Judge an answer for a mark: on the fixed inputs, or on random ones that `seed` draws.

    The same answer gets the same result every time. It is not recorded, says nothing on stderr,
    and is true when the answer is right; ``assert mark, mark`` says what is wrong with another.
    Raises `ValueError` for an id that no exercise has, and for a seed where nothing can be drawn.
    """
    exercise = find(id)
    if exercise is None:
        raise ValueError(f"{id!r} is no exercise; there are {', '.join(exercise_ids())}")
    if seed is not None and exercise.draw is None:
        raise ValueError(f"{id} has no random inputs; grade it without a seed")
    with _silence():
        if seed is None:
            return _judge(exercise, answer, list(exercise.fixed))
        return _judge(exercise, answer, exercise.fresh_inputs(np.random.default_rng(seed)))


@contextlib.contextmanager
def _silence() -> Iterator[None]:
    """Keep words off stderr, those of `logging` too: nbgrader takes them for an error."""
    before = logging.root.manager.disable
    logging.disable()
    try:
        with contextlib.redirect_stderr(io.StringIO()):
            yield
    finally:
        logging.disable(before)


def judge(exercise: Exercise, answer: Any, rng: np.random.Generator) -> Result:
    """Check an answer without recording it; `rng` draws the random inputs."""
    return _judge(exercise, answer, exercise.inputs(rng))


def _judge(exercise: Exercise, answer: Any, inputs: Sequence[Arguments]) -> Result:
    if exercise.is_blank(answer):
        return _result(
            exercise,
            "not attempted",
            f"Write your code in place of the ... and run the cell again; "
            f'hint("{exercise.id}") helps.',
        )
    # Whatever belongs to the learner is touched in limited time only: a result may be endless to
    # look at, and a value's own __str__ may raise anything.
    looked = within(_TO_LOOK, lambda given_up: _not_callable(exercise, answer))
    if looked.value:
        return _result(exercise, "not yet", looked.value)
    trial = run(answer, inputs, seconds=exercise.seconds, names=_names(exercise))
    if trial.interrupted:
        return _interrupted(exercise)
    judged = within(exercise.seconds + _TO_LOOK, lambda given_up: _verdict(exercise, inputs, trial))
    if judged.interrupted:
        return _interrupted(exercise)
    if not judged.in_time:
        text = "Your result is so large, or so odd, that it cannot be looked at in time."
        return _result(exercise, "not yet", text)
    if judged.error is not None:
        text = f"Your result cannot be looked at: that raised {type(judged.error).__name__}."
        return _result(exercise, "not yet", text)
    return judged.value


def _interrupted(exercise: Exercise) -> Result:
    return _result(exercise, "", "You stopped the check; run the cell to try again.")


def _verdict(exercise: Exercise, inputs: Sequence[Arguments], trial: Run) -> Result:
    """Compare the outcomes with the reference's, and find words for what is wrong."""
    inputs = inputs[: len(trial.outcomes)]
    expected = [exercise.answer(*copy.deepcopy(arguments)) for arguments in inputs]
    faults = [
        _fault(exercise, value, outcome, arguments)
        for value, outcome, arguments in zip(expected, trial.outcomes, inputs, strict=True)
    ]
    wrong = [place for place, fault in enumerate(faults) if fault]
    if not wrong:
        return _result(exercise, "passed")
    # The fixed inputs are small and the same every time, and so is the card.
    fixed = [place for place in wrong if place < len(exercise.fixed)]
    shown = min(fixed or wrong, key=lambda place: len(_call(exercise, inputs[place])))
    message = _known_mistake(exercise, inputs, trial.outcomes)
    if message is None:
        law, shown = _broken_law(exercise, inputs, trial.outcomes, [shown, *wrong])
        message = f"{law}{faults[shown]}"
    if trial.abandoned:
        message += (
            "\nIt could not even be stopped and is still running: restart the kernel "
            "(menu Kernel, Restart Kernel)."
        )
    details = _details(exercise, inputs[shown], expected[shown], trial.outcomes[shown])
    return _result(exercise, "not yet", message, details)


def _result(
    exercise: Exercise, status: str, text: str = "", details: Sequence[tuple[str, str]] = ()
) -> Result:
    words = {"not attempted": "not attempted yet", "": "stopped"}
    title = f"{exercise.id}: {words.get(status, status)}"
    return Result(title, text=text, details=details, status=status, id=exercise.id)


def _not_callable(exercise: Exercise, answer: Any) -> str:
    if not callable(answer):
        return (
            f"check needs your function itself, and got {write(answer)}; write "
            f'check("{exercise.id}", {exercise.name}), without brackets after {exercise.name}.'
        )
    try:
        signature = inspect.signature(answer)
    except Exception:  # some built-in functions do not tell
        return ""
    try:
        signature.bind(*exercise.fixed[0])
    except TypeError:
        wanted = ", ".join(_names(exercise))
        return f"Your function has to take ({wanted}), and takes {signature}."
    return ""


def _names(exercise: Exercise) -> list[str]:
    return list(inspect.signature(exercise.answer).parameters)


def _fault(exercise: Exercise, expected: Any, outcome: Outcome, arguments: Arguments) -> str | None:
    """What is wrong with one outcome, in general words, or nothing."""
    if outcome.stopped:
        return (
            f"Your function was still running after {exercise.seconds:g} seconds and was stopped: "
            "does a loop never end?"
        )
    if outcome.error is not None:
        where = f"\nIt happened in this line of yours: {outcome.line}" if outcome.line else ""
        kind = type(outcome.error).__name__
        return f"Your function raised {kind}: {_short(outcome.error)}{where}"
    if _unfinished(outcome.value):
        return "There is still a ... in your answer."
    if outcome.value is None and expected is not None:
        return _sentence(difference(expected, None) or "")
    if found := exercise.verdict(expected, outcome.value, copy.deepcopy(arguments)):
        return _sentence(found)
    if outcome.changed:
        return (
            f"The result is right, but your function changes {outcome.changed}, which belongs to "
            "its caller: make a new one instead."
        )
    return None


def _unfinished(value: Any) -> bool:
    parts = value if isinstance(value, list | tuple) else [value]
    return any(part is ... for part in parts)


def _short(error: BaseException) -> str:
    try:
        text = str(error)
    except Exception:  # a learner's own exception
        text = ""
    return text if len(text) <= 300 else f"{text[:300]}…"


def _sentence(text: str) -> str:
    text = text[:1].upper() + text[1:]
    return text if text.endswith((".", "?", "!")) else f"{text}."


def _known_mistake(
    exercise: Exercise, inputs: Sequence[Arguments], outcomes: Sequence[Outcome]
) -> str | None:
    """Find the known wrong answer that explains all outcomes, and say its hint."""
    if outcomes[-1].stopped:
        return None
    for function, message in exercise.wrong_answers:
        if _behaves_like(function, exercise, inputs, outcomes):
            return message
    return None


def _broken_law(
    exercise: Exercise,
    inputs: Sequence[Arguments],
    outcomes: Sequence[Outcome],
    places: Sequence[int],
) -> tuple[str, int]:
    """Find a result that breaks a law; return the law's message and the place of the result."""
    for place in places:
        outcome = outcomes[place]
        if outcome.stopped or outcome.error or outcome.value is None or outcome.value is ...:
            continue
        for law in exercise.laws:
            try:
                message = law(outcome.value, *copy.deepcopy(inputs[place]))
            except Exception:  # a law may expect a shape that this result has not
                continue
            if message:
                return f"{message}\n", place
    return "", places[0]


def _behaves_like(
    function: Callable[..., Any],
    exercise: Exercise,
    inputs: Sequence[Arguments],
    outcomes: Sequence[Outcome],
) -> bool:
    """Whether a known wrong answer gives, or raises, the same on every input."""
    for arguments, outcome in zip(inputs, outcomes, strict=True):
        own = copy.deepcopy(arguments)
        try:
            value = function(*own)
        except Exception as error:
            if type(error) is not type(outcome.error):
                return False
            continue
        if outcome.error is not None or (value is None) != (outcome.value is None):
            return False
        if value is not None and difference(value, outcome.value):
            return False
        changed = any(map(is_changed, arguments, own))
        if bool(outcome.changed) != changed:
            return False
    return True


def _call(exercise: Exercise, arguments: Arguments) -> str:
    return "\n".join(f"{n} = {write(v)}" for n, v in zip(_names(exercise), arguments, strict=True))


def _details(
    exercise: Exercise, arguments: Arguments, expected: Any, outcome: Outcome
) -> list[tuple[str, str]]:
    details = [("with", _call(exercise, arguments))] if arguments else []
    if exercise.judge is None:
        details.append(("expected", write(expected)))
    if outcome.error is None and not outcome.stopped:
        details.append(("given", write(outcome.value)))
    if outcome.printed:
        lines = outcome.printed.rstrip("\n").split("\n")
        cut = ["…"] if len(lines) > _MOST_LINES else []
        details.append(("printed", "\n".join(lines[:_MOST_LINES] + cut)))
    return details


def _unknown(id: str) -> dict[str, str]:
    """Make the card for an id that no exercise has."""
    ids = exercise_ids()
    near = difflib.get_close_matches(str(id), ids, n=1, cutoff=0.5)
    text = f'Did you mean "{near[0]}"?' if near else f"There are: {', '.join(ids)}."
    return {"title": f"There is no exercise {write(id)}", "text": text}


class Progress:
    """Which exercises are passed in this session, as a table."""

    def __init__(self):
        self._rows = [(id, _passed_at.get(id), _attempts.get(id, 0)) for id in exercise_ids()]

    def _card(self) -> Card:
        details = []
        for id, passed_at, attempts in self._rows:
            tries = "try" if attempts == 1 else "tries"
            if passed_at:
                state = f"✓ passed at try {passed_at}"
            elif attempts:
                state = f"✗ not yet, {attempts} {tries}"
            else:
                state = "○ not attempted yet"
            details.append((id, state))
        passed = sum(bool(passed_at) for _, passed_at, _ in self._rows)
        title = f"Passed in this session: {passed} of {len(self._rows)} exercises"
        return Card(title, details=details)

    def __repr__(self) -> str:
        return repr(self._card())

    def _repr_html_(self) -> str:
        return self._card()._repr_html_()


def progress() -> Progress:
    """Show which exercises of the series have been passed since the kernel was started."""
    return Progress()
