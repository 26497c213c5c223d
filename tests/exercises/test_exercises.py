"""Every exercise of the series: reference, stub and known wrong answers, as a learner has them."""

import ast
import copy
import pkgutil
from importlib import import_module
from itertools import combinations
from pathlib import Path

import nbformat
import numpy as np
import pytest

from llmlab import exercises as package
from llmlab.exercises.checking import judge
from llmlab.exercises.comparing import difference
from llmlab.exercises.exercise import Exercise
from llmlab.exercises.running import is_changed
from llmlab.exercises.shelf import NOTEBOOKS, exercise_ids, exercises, find

FOLDER = Path(__file__).parents[2] / "notebooks"
EVERY = [exercise for module in NOTEBOOKS for exercise in exercises(module)]
# One seed is enough where nothing is drawn.
SEEDED = [
    pytest.param(exercise, seed, id=f"{exercise.id}-{seed}")
    for exercise in EVERY
    for seed in range(5 if exercise.draw else 1)
]
WRONG = [
    pytest.param(exercise, function, message, seed, id=f"{exercise.id}-{function.__name__}-{seed}")
    for exercise in EVERY
    for function, message in exercise.wrong_answers
    for seed in range(5 if exercise.draw else 1)
]


@pytest.fixture(params=EVERY, ids=lambda exercise: exercise.id)
def exercise(request):
    return request.param


@pytest.fixture(scope="module")
def names_of():
    """What a notebook has imported, by module of exercises."""
    names = {}
    for module, stem in NOTEBOOKS.items():
        notebook = nbformat.read(FOLDER / f"{stem}.ipynb", as_version=4)
        names[module] = {}
        for cell in notebook.cells:
            if cell.cell_type == "code":
                for node in ast.parse(cell.source).body:
                    if isinstance(node, ast.Import | ast.ImportFrom):
                        exec(ast.unparse(node), names[module])
    return names


def written(source, name, names):
    """The function that a learner has who runs this source in the notebook."""
    namespace = dict(names)
    exec(source, namespace)
    return namespace[name]


@pytest.mark.parametrize(("exercise", "seed"), SEEDED)
def test_the_reference_passes(exercise, seed):
    result = judge(exercise, exercise.answer, np.random.default_rng(seed))
    assert result.passed, result


def test_the_solution_passes_in_the_notebook(exercise, names_of):
    names = names_of[exercise.id.partition(".")[0]]
    answer = written(exercise.solution, exercise.name, names)
    result = judge(exercise, answer, np.random.default_rng(0))
    assert result.passed, result


def test_the_blank_stub_is_not_attempted(exercise, names_of):
    names = names_of[exercise.id.partition(".")[0]]
    answer = written(exercise.stub, exercise.name, names)
    result = judge(exercise, answer, np.random.default_rng(0))
    assert result.status == "not attempted"
    assert not result


@pytest.mark.parametrize(("exercise", "function", "message", "seed"), WRONG)
def test_each_wrong_answer_gets_its_own_hint(exercise, function, message, seed):
    result = judge(exercise, function, np.random.default_rng(seed))
    assert result.status == "not yet"
    assert message in result.text
    others = [text for _, text in exercise.wrong_answers if text != message]
    assert not [text for text in others if text in result.text]


def test_it_has_at_least_three_wrong_answers_each_with_a_hint_of_its_own(exercise):
    messages = [message for _, message in exercise.wrong_answers]
    assert len(messages) >= 3
    assert len(set(messages)) == len(messages)


def test_it_has_all_its_parts(exercise):
    assert exercise.prompt.strip().startswith("**")
    assert len(exercise.hints) >= 2
    assert "..." in exercise.stub
    assert exercise.answer.__name__.startswith("my_")
    assert find(exercise.id) is exercise
    assert exercise.id.partition(".")[0] == exercise.answer.__module__.rpartition(".")[2]


def test_ids_are_unique():
    assert len(set(exercise_ids())) == len(EVERY)


def test_every_module_of_exercises_is_known():
    names = [module.name for module in pkgutil.iter_modules(package.__path__)]
    modules = {name: import_module(f"{package.__name__}.{name}") for name in names}
    found = {
        name
        for name, module in modules.items()
        if any(isinstance(value, Exercise) for value in vars(module).values())
    }
    assert found == set(NOTEBOOKS)


def outcome(function, arguments):
    """What a function gives, raises and changes."""
    own = copy.deepcopy(arguments)
    try:
        value = function(*own)
    except Exception as error:
        return type(error)
    return value, any(map(is_changed, arguments, own))


def alike(one, other):
    if isinstance(one, type) or isinstance(other, type):
        return one is other
    return one[1] == other[1] and difference(one[0], other[0]) is None


@pytest.mark.parametrize("exercise", [e for e in EVERY if e.judge is None], ids=lambda e: e.id)
def test_fixed_inputs_alone_tell_all_answers_apart(exercise):
    """So the card of a known mistake does not depend on what is drawn."""
    functions = [exercise.answer, *(function for function, _ in exercise.wrong_answers)]
    outcomes = [[outcome(f, arguments) for arguments in exercise.fixed] for f in functions]
    same = [
        (one.__name__, other.__name__)
        for (one, theirs), (other, ours) in combinations(zip(functions, outcomes, strict=True), 2)
        if all(map(alike, theirs, ours))
    ]
    assert same == []
