"""check, hint, solution and progress on a toy: what they say, and that nothing stops them."""

import io
import logging
import sys
import threading
import time
import warnings

import numpy as np
import pytest
import torch

from llmlab.exercises import check, checking, grade, hint, progress, shelf, solution
from llmlab.exercises.checking import judge
from llmlab.exercises.exercise import Exercise

HOSTILE = "</script><img src=x onerror=alert(1)>"


@pytest.fixture
def double():
    """Double every number of a list."""
    exercise = Exercise(
        "toys.double",
        prompt="**1. Double.**",
        stub='def my_double(numbers):\n    """Double them."""\n    return ...\n',
        hints=("Think.", "Multiply by two."),
        fixed=(([],), ([1],), ([2, 3],)),
        seconds=60,
    )

    @exercise.reference
    def my_double(numbers):
        return [2 * number for number in numbers]

    @exercise.fresh
    def numbers(rng, size):
        return ([int(n) for n in rng.integers(0, 100, size)],)

    @exercise.wrong("You square them.")
    def squares(numbers):
        return [number**2 for number in numbers]

    @exercise.wrong("You take the first only.")
    def first(numbers):
        return [2 * numbers[0]]

    @exercise.wrong("You change the list.")
    def in_place(numbers):
        for place, number in enumerate(numbers):
            numbers[place] = 2 * number
        return numbers

    @exercise.law
    def all_even(given, numbers):
        return "Doubles are even." if any(n % 2 for n in given) else None

    return exercise


@pytest.fixture
def shelf_with(monkeypatch, double):
    """`check` finds the toy, and the session begins anew."""
    monkeypatch.setattr(shelf, "NOTEBOOKS", {"toys": "00_toys"})
    monkeypatch.setattr(shelf, "exercises", lambda module: (double,))
    for memory in ("_attempts", "_passed_at", "_hints_given"):
        monkeypatch.setattr(checking, memory, {})
    return double


def judged(exercise, answer):
    return judge(exercise, answer, np.random.default_rng(0))


def test_a_right_answer_passes_in_any_form(double):
    assert judged(double, lambda numbers: [n + n for n in numbers]).passed
    assert judged(double, lambda numbers: tuple(n + n for n in numbers)).passed
    assert judged(double, lambda numbers: np.array(numbers) * 2).passed
    assert judged(double, lambda numbers: [n * 2.0000001 for n in numbers]).passed


def test_a_known_mistake_gets_its_hint_with_the_smallest_input(double):
    result = judged(double, lambda numbers: [n * n for n in numbers])
    assert result.text == "You square them."
    assert result.details == [("with", "numbers = [1]"), ("expected", "[2]"), ("given", "[1]")]


def test_raising_where_the_known_mistake_raises_is_the_same_mistake(double):
    def answer(numbers):
        return [numbers[0] + numbers[0]]

    assert judged(double, answer).text == "You take the first only."


def test_raising_something_else_is_another_mistake(double):
    def answer(numbers):
        if not numbers:
            raise KeyError(numbers)
        return [2 * numbers[0]]

    assert "KeyError" in judged(double, answer).text


def test_an_endless_loop_is_no_known_mistake(double):
    @double.wrong("You return nothing.")
    def nothing(numbers):
        return None

    double.seconds = 0.3
    assert "still running" in judged(double, endless).text
    assert judged(double, lambda numbers: None).text == "You return nothing."


def test_a_warning_stops_nothing(double):
    def answer(numbers):
        warnings.warn("beware", stacklevel=1)
        return [2 * number for number in numbers]

    assert judged(double, answer).passed


def test_a_mistake_is_only_known_when_it_explains_everything(double):
    def answer(numbers):
        return [n**2 if n < 50 else 0 for n in numbers]

    result = judged(double, answer)
    assert result.status == "not yet"
    assert result.text.startswith("Doubles are even.\n")


def test_without_any_diagnosis_the_difference_is_told(double):
    result = judged(double, lambda numbers: [2 * n + 2 * (n > 90) for n in numbers])
    assert "is given and" in result.text
    assert len(result.details[0][1]) < 40


def test_changing_the_argument_is_told(double):
    def answer(numbers):
        doubled = [2 * n for n in numbers]
        numbers.append(1)
        return doubled

    assert "changes numbers" in judged(double, answer).text
    assert judged(double, double.wrong_answers[2][0]).text == "You change the list."


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda numbers: None, "is a return missing?"),
        (lambda numbers: ..., "still a ..."),
        (lambda numbers: "text", "A list is expected, and a text is given"),
        (lambda numbers: 7, "A list is expected, and a whole number is given"),
        (lambda numbers: (n for n in numbers), "a generator is given"),
        (lambda numbers: [*numbers, 1], "item is given"),
        (lambda numbers: 1 / 0, "ZeroDivisionError"),
        (lambda: 1, "has to take (numbers), and takes ()"),
        (lambda numbers, more: 1, "has to take (numbers), and takes (numbers, more)"),
        ([2], "got [2]"),
        (7, "without brackets after my_double"),
    ],
)
def test_other_mistakes_are_told_in_words(double, answer, words):
    result = judged(double, answer)
    assert result.status == "not yet"
    assert words in repr(result)


def test_the_line_that_raised_is_shown(double):
    def answer(numbers):
        total = 0
        return total / total

    assert "return total / total" in judged(double, answer).text


@pytest.mark.parametrize("answer", [None, ...])
def test_nothing_is_not_attempted(double, answer):
    assert judged(double, answer).status == "not attempted"


@pytest.mark.parametrize(
    ("old", "new", "blank"),
    [
        ("...", "...  # here", True),
        ("def", "# mine\n\n\ndef", True),
        ("Double them.", "Double every number.", True),
        ('    """Double them."""\n', "", True),
        ("return ...", "return (...)", True),
        ("...", "0", False),
        ("...", "None", False),
        ("return ...", "pass", False),
        ("return ...", "return numbers", False),
    ],
)
def test_blank_is_what_the_stub_does(double, old, new, blank):
    names = {}
    exec(double.stub.replace(old, new), names)
    status = judged(double, names["my_double"]).status
    assert status == ("not attempted" if blank else "not yet")


def test_an_attempt_that_returns_nothing_is_an_attempt(double):
    names = {}
    exec(double.stub.replace("return ...", "numbers = [2 * n for n in numbers]"), names)
    assert judged(double, names["my_double"]).status == "not yet"


def endless(numbers):
    while True:
        pass


def stubborn(numbers):
    while True:
        try:  # noqa: SIM105 - learners write that
            len(numbers)
        except:  # noqa: E722
            pass


def printing(numbers):
    while True:
        print("again")


def growing(numbers):
    grown = []
    while True:
        grown.append(numbers)  # to free this list takes long


@pytest.mark.parametrize("answer", [endless, stubborn, printing, growing])
def test_an_endless_loop_is_stopped(double, answer, capfd):
    double.seconds = 2 if answer is growing else 0.3
    before = sys.stdout
    result = judged(double, answer)
    assert result.status == "not yet"
    assert "still running" in result.text
    assert "restart" not in result.text
    assert len(repr(result)) < 1000
    assert sys.stdout is before
    assert capfd.readouterr() == ("", "")  # no traceback of the thread


def test_what_cannot_be_stopped_is_left_behind(double, monkeypatch):
    from llmlab.exercises import running

    monkeypatch.setattr(running, "_GRACE", 0.2)
    double.seconds = 0.2
    before = sys.stdout
    woken = threading.Event()
    door = threading.Lock()
    door.acquire()

    def answer(numbers):
        try:
            door.acquire()
        except BaseException:
            woken.set()
        return numbers

    result = judged(double, answer)
    assert "restart the kernel" in result.text
    assert sys.stdout is before
    door.release()
    assert woken.wait(60)
    time.sleep(0.2)  # it has come back, and must not go on with the next input
    assert sys.stdout is before


def test_check_inside_the_function_that_it_checks(shelf_with):
    inner = []

    def answer(numbers):
        inner.append(check("toys.double", answer))
        return [2 * number for number in numbers]

    assert check("toys.double", answer).passed
    assert "cannot be called by the function" in repr(inner[0])
    assert not inner[0]


def test_an_answer_may_return_the_same_object_every_time(double):
    buffer = []

    def answer(numbers):
        buffer[:] = [2 * number for number in numbers]
        return buffer

    assert judged(double, answer).passed

    def accumulating(numbers, doubled=[]):  # noqa: B006 - a classic
        doubled += [2 * number for number in numbers]
        return doubled

    assert judged(double, accumulating).details[0] == ("with", "numbers = [2, 3]")


@pytest.mark.filterwarnings("error")
def test_a_forgotten_await(double):
    async def answer(numbers):
        return [2 * number for number in numbers]

    assert "a coroutine is given" in judged(double, answer).text


def test_the_card_is_the_same_every_time(double):
    for function, _ in double.wrong_answers:
        cards = {repr(judge(double, function, np.random.default_rng(seed))) for seed in range(5)}
        assert len(cards) == 1


def test_each_check_draws_new_inputs(shelf_with):
    seen = []

    def answer(numbers):
        seen.append(list(numbers))
        return [2 * number for number in numbers]

    assert check("toys.double", answer)
    first, seen[:] = list(seen), []
    assert check("toys.double", answer)
    assert first[:3] == seen[:3]
    assert first != seen


@pytest.mark.parametrize(
    "error", [SystemExit(3), KeyboardInterrupt(), GeneratorExit(), RecursionError("deep")]
)
def test_whatever_it_raises_becomes_a_card(double, error):
    def answer(numbers):
        raise error

    assert type(error).__name__ in judged(double, answer).text


def odd(**methods):
    """An object whose special methods misbehave."""
    return type("Odd", (), methods)()


def leave(*_):
    raise SystemExit


def endless_loop(*_):
    while True:
        pass


@pytest.mark.parametrize("method", ["__repr__", "__len__", "detach", "__eq__", "__class__"])
@pytest.mark.parametrize("inside", [False, True])
def test_a_result_that_ends_the_program_when_it_is_looked_at(double, method, inside):
    methods = {method: property(leave) if method == "__class__" else leave}

    def answer(numbers):
        return [odd(**methods)] if inside else odd(**methods)

    assert judged(double, answer).status == "not yet"


@pytest.mark.parametrize("method", ["__repr__", "detach"])
def test_a_result_that_is_endless_to_look_at(double, method, monkeypatch):
    monkeypatch.setattr(checking, "_TO_LOOK", 0.3)
    double.seconds = 0.3
    result = judged(double, lambda numbers: [odd(**{method: endless_loop})] * 3)
    assert "cannot be looked at" in result.text


def test_an_answer_that_cannot_be_looked_at(double):
    class Rude:
        def __getattribute__(self, name):
            raise SystemExit

        def __call__(self, numbers):
            return []

    assert judged(double, Rude()).status == "not yet"


def test_an_answer_that_breaks_what_the_check_needs(double):
    def broken(numbers):
        raise TypeError("numpy is not what it was")

    def answer(numbers):
        double.answer = broken
        return list(numbers)

    assert "that raised TypeError" in judged(double, answer).text


@pytest.mark.parametrize(
    ("error", "words"), [(KeyboardInterrupt, "You stopped the check"), (TypeError, "TypeError")]
)
def test_check_itself_never_raises(shelf_with, error, words):
    @shelf_with.fresh
    def raising(rng, size):
        raise error

    result = check("toys.double", shelf_with.answer)
    assert words in result.text
    assert not result
    assert "not attempted" in repr(progress())


def test_an_exception_that_cannot_be_shown(double):
    class RudeError(Exception):
        def __str__(self):
            raise ValueError("no")

    def answer(numbers):
        raise RudeError

    assert "RudeError" in judged(double, answer).text


def test_a_result_that_cannot_be_compared_or_shown(double):
    class Rude:
        def __eq__(self, other):
            raise ValueError("no")

        __hash__ = None

        def __repr__(self):
            raise ValueError("no")

    assert judged(double, lambda numbers: [Rude() for _ in numbers]).status == "not yet"
    assert judged(double, lambda numbers: Rude()).status == "not yet"
    assert judged(double, Rude()).status == "not yet"
    double.judge = lambda given, numbers: "no" if given == 3 else None
    assert "cannot be judged" in judged(double, lambda numbers: Rude()).text


def test_what_it_prints_is_shown_with_the_case_and_nowhere_else(double, capsys):
    def answer(numbers):
        print("numbers are", numbers)
        return []

    result = judged(double, answer)
    assert ("printed", "numbers are [1]") in result.details
    flood = judged(double, lambda numbers: print("x" * 10**6))
    assert len(repr(flood)) < 2000
    assert capsys.readouterr().out == ""


def test_the_card_is_stable_text_and_escaped_html(double):
    result = judged(double, lambda numbers: [HOSTILE])
    assert HOSTILE in repr(result)
    html = result._repr_html_()
    assert "<img" not in html
    assert "&lt;img" in html
    assert '<span aria-hidden="true">✗ </span>' in html

    def raising(numbers):
        raise ValueError(HOSTILE)

    assert "<img" not in judged(double, raising)._repr_html_()
    assert 'role="status"' in html
    assert html.count("<div") == html.count("</div>")
    assert repr(judged(double, lambda numbers: [HOSTILE])) == repr(result)


def test_states_differ_by_a_word_and_a_sign(double):
    cards = [judged(double, answer) for answer in (double.answer, None, lambda numbers: 0)]
    assert [repr(card).splitlines()[0] for card in cards] == [
        "✓ toys.double: passed",
        "○ toys.double: not attempted yet",
        "✗ toys.double: not yet",
    ]
    assert [bool(card) for card in cards] == [True, False, False]


def test_ctrl_c_stops_the_check(double, monkeypatch):
    from llmlab.exercises import running

    def interrupt(thread, seconds):
        raise KeyboardInterrupt

    monkeypatch.setattr(running, "_wait", interrupt)
    result = judged(double, endless)
    assert "You stopped the check" in result.text
    assert result.status == ""


def test_hints_come_one_at_a_time(shelf_with):
    assert [hint("toys.double").text.splitlines()[0] for _ in range(3)] == [
        "Think.",
        "Multiply by two.",
        "Multiply by two.",
    ]
    assert "1 of 2" not in repr(hint("toys.double"))
    assert 'solution("toys.double")' in repr(hint("toys.double"))


def test_the_solution_is_code_that_runs(shelf_with):
    names = {}
    exec(repr(solution("toys.double")), names)
    assert names["my_double"]([3]) == [6]
    assert "@" not in repr(solution("toys.double"))


def test_progress_remembers_attempts_and_passes(shelf_with):
    assert "not attempted" in repr(progress())
    check("toys.double", None)
    assert "not attempted" in repr(progress())
    check("toys.double", lambda numbers: 0)
    assert "not yet, 1 try" in repr(progress())
    check("toys.double", shelf_with.answer)
    check("toys.double", lambda numbers: 0)
    check("toys.double", shelf_with.answer)
    assert "passed at try 2" in repr(progress())
    assert "1 of 1" in progress()._repr_html_()


@pytest.mark.parametrize("id", ["toys.doubel", "nothing.like.it", "", None, 7, "toys"])
@pytest.mark.parametrize("ask", [lambda id: check(id, None), hint, solution])
def test_an_unknown_id_gets_a_card(shelf_with, id, ask):
    text = repr(ask(id))
    assert "no exercise" in text
    assert "toys.double" in text


def test_a_hostile_id_stays_text(shelf_with):
    assert "<img" not in check(HOSTILE, None)._repr_html_()


def test_random_inputs_differ_from_check_to_check(double):
    drawn = [double.inputs(np.random.default_rng())[3:] for _ in range(2)]
    assert drawn[0] != drawn[1]
    assert {len(arguments[0]) for arguments in drawn[0]} == set(range(1, 9))


def test_a_mistake_that_only_random_inputs_show_is_found(double):
    result = judged(double, lambda numbers: [2 * n for n in numbers] if len(numbers) < 7 else [])
    assert result.status == "not yet"
    assert len(result.details[0][1]) < 50


def test_a_grade_looks_at_fixed_inputs_or_at_those_of_its_seed(shelf_with):
    by_heart = {"[]": [], "[1]": [2], "[2, 3]": [4, 6]}
    asked = []

    def my_double(numbers):
        asked.append(numbers)
        return by_heart.get(str(numbers), [])

    mark = grade("toys.double", my_double)
    assert mark.passed
    assert asked == [[], [1], [2, 3]]
    asked.clear()
    assert not grade("toys.double", my_double, seed=5)
    first = list(asked)
    assert len(first) == shelf_with.n_fresh
    asked.clear()
    assert not grade("toys.double", my_double, seed=5)
    assert asked == first
    asked.clear()
    assert not grade("toys.double", my_double, seed=6)
    assert asked != first
    assert grade("toys.double", shelf_with.answer, seed=6)
    assert "0 of 1" in repr(progress())  # a mark is no attempt


def test_a_grade_prints_nothing(shelf_with, capsys, monkeypatch):
    """A word on stderr is an error for nbgrader, and a progress bar writes there."""

    def draw(rng, size):
        print("unpacking", file=sys.stderr)
        return ([size],)

    monkeypatch.setattr(shelf_with, "draw", draw)
    assert grade("toys.double", lambda numbers: [2 * n for n in numbers], seed=1)
    assert capsys.readouterr().err == ""


def test_a_grade_is_quiet_if_the_answer_logs(shelf_with):
    """A handler keeps the stream that it was made with, whatever stderr is by now."""
    page = io.StringIO()
    handler = logging.StreamHandler(page)
    logging.getLogger("learner").addHandler(handler)

    def my_double(numbers):
        logging.getLogger("learner").error("doubling")
        return [2 * n for n in numbers]

    try:
        assert grade("toys.double", my_double, seed=1)
        assert page.getvalue() == ""
        my_double([])
        assert page.getvalue() == "doubling\n", "logging is as it was"
    finally:
        logging.getLogger("learner").removeHandler(handler)


def test_a_grade_that_makes_no_sense_is_refused(shelf_with):
    with pytest.raises(ValueError, match=r"'toys\.triple' is no exercise; there are toys\.double"):
        grade("toys.triple", len)
    shelf_with.draw = None
    with pytest.raises(ValueError, match="has no random inputs; grade it without a seed"):
        grade("toys.double", len, seed=1)


def test_tensors_and_gradients_work_in_an_answer():
    exercise = Exercise(
        "toys.slope",
        prompt="**1.**",
        stub="def my_slope(x):\n    return ...",
        hints=("a", "b"),
        fixed=((torch.tensor([1.0, 2.0]),),),
        seconds=60,
    )

    @exercise.reference
    def my_slope(x):
        return 2 * x

    def answer(x):
        x.requires_grad_()
        (x**2).sum().backward()
        return x.grad

    assert judged(exercise, answer).passed
    assert "shape" in judged(exercise, lambda x: x.sum()[None]).text
