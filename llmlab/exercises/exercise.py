"""What an exercise is made of: everything about it in one place.

A module of exercises belongs to one notebook. Each exercise in it is an `Exercise` with its text,
followed by its functions: the reference, how to draw inputs, and what people get wrong.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Sequence
from dataclasses import KW_ONLY, dataclass, field
from types import CodeType, FunctionType
from typing import Any

import numpy as np

from llmlab.exercises.comparing import difference

Arguments = tuple[Any, ...]


@dataclass(eq=False)
class Exercise:
    """One function for the learner to write, and all that is needed to teach and to judge it.

    `id` is ``"module.name"``. `prompt` is markdown, `stub` the code that the notebook shows, with
    ``...`` where the learner's code goes, `hints` are given one at a time. `fixed` lists
    argument tuples, the smallest and most telling first. An answer is right when its result
    equals the reference's, or, if `judge` is given, when ``judge(given, *arguments)``
    returns no message. `seconds` is the time allowed for one check, `n_fresh` the number of
    random inputs in it.
    """

    id: str
    _: KW_ONLY
    prompt: str
    stub: str
    hints: Sequence[str]
    fixed: Sequence[Arguments] = ((),)
    judge: Callable[..., str | None] | None = None
    seconds: float = 5.0
    n_fresh: int = 40
    answer: Callable[..., Any] = field(init=False, repr=False)
    draw: Callable[[np.random.Generator, int], Arguments] | None = field(init=False, default=None)
    wrong_answers: list[tuple[Callable[..., Any], str]] = field(init=False, default_factory=list)
    laws: list[Callable[..., str | None]] = field(init=False, default_factory=list)

    def reference(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Decorate the model answer; its name is the name that the learner's function has."""
        self.answer = function
        return function

    def fresh(self, function: Callable[..., Arguments]) -> Callable[..., Arguments]:
        """Decorate ``(rng, size) -> arguments``, which draws a random input of size 1 to 8."""
        self.draw = function
        return function

    def wrong(self, hint: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
        """Decorate an answer that people really give, with what they should be told."""

        def remember(function: Callable[..., Any]) -> Callable[..., Any]:
            self.wrong_answers.append((function, hint))
            return function

        return remember

    def law(self, function: Callable[..., str | None]) -> Callable[..., str | None]:
        """Decorate ``(given, *arguments) -> message or None``: what any right result fulfils."""
        self.laws.append(function)
        return function

    @property
    def name(self) -> str:
        """What the learner's function is called."""
        return self.answer.__name__

    @property
    def cells(self) -> dict[str, str]:
        """Its two cells in the notebook, markdown and code, by their ids."""
        cell_id = "exercise-" + self.id.partition(".")[2].replace("_", "-")
        return {
            f"{cell_id}-prompt": self.prompt.strip(),
            cell_id: f"{self.stub.strip()}\n\n\n{self.call}",
        }

    @property
    def call(self) -> str:
        """The line that checks the learner's function."""
        return f'check("{self.id}", {self.name})'

    @property
    def solution(self) -> str:
        """The source of the reference, without its decorator."""
        source = textwrap.dedent(inspect.getsource(self.answer))
        first = ast.parse(source).body[0].lineno  # of the def: decorators stand above it
        return "\n".join(source.splitlines()[first - 1 :])

    @property
    def stub_parts(self) -> tuple[str, str]:
        """The stub up to the end of its docstring, and what comes after: the learner's part."""
        stub = self.stub.strip()
        docstring = ast.parse(stub).body[-1].body[0]
        lines = stub.splitlines()
        return "\n".join(lines[: docstring.end_lineno]), "\n".join(lines[docstring.end_lineno :])

    @property
    def solution_body(self) -> str:
        """What stands below the first line of the solution, indented as in a function."""
        return self.solution.partition("\n")[2]

    @property
    def solved(self) -> str:
        """The stub with the solution in the learner's part."""
        return f"{self.stub_parts[0]}\n{self.solution_body}"

    def inputs(self, rng: np.random.Generator) -> list[Arguments]:
        """Make the inputs of one check: the fixed ones, then random ones of growing size."""
        return [*self.fixed, *self.fresh_inputs(rng)]

    def fresh_inputs(self, rng: np.random.Generator) -> list[Arguments]:
        """Draw the random inputs of one check, of growing size; none if there are none to draw."""
        if self.draw is None:
            return []
        sizes = [1 + 8 * n // self.n_fresh for n in range(self.n_fresh)]
        return [self.draw(rng, size) for size in sizes]

    def verdict(self, expected: object, given: object, arguments: Arguments) -> str | None:
        """Say what is wrong with a result, or nothing."""
        if self.judge is None:
            return difference(expected, given)
        try:
            return self.judge(given, *arguments)
        except Exception as error:  # the learner's own types may do anything
            reason = f"{type(error).__name__}: {error}".split("\n")[0]
            return f"the result cannot be judged ({reason})"

    def is_blank(self, answer: object) -> bool:
        """Whether an answer is still the stub, apart from spaces and comments."""
        if answer is None or answer is ...:
            return True
        if type(answer) is not FunctionType:  # isinstance would ask the learner's object
            return False
        code = answer.__code__
        blank = _find(compile(self.stub, "stub", "exec"), code.co_name)
        return blank is not None and _same_code(blank, code)


def _find(code: CodeType, name: str) -> CodeType | None:
    found = (const for const in code.co_consts if isinstance(const, CodeType))
    return next((const for const in found if const.co_name == name), None)


def _same_code(one: CodeType, other: CodeType) -> bool:
    """Compare what two functions do; where they stand in a file does not matter."""
    if (one.co_code, one.co_names, one.co_varnames) != (
        other.co_code,
        other.co_names,
        other.co_varnames,
    ):
        return False
    ours, theirs = _constants(one), _constants(other)
    return len(ours) == len(theirs) and all(
        _same_code(a, b) if isinstance(a, CodeType) and isinstance(b, CodeType) else a == b
        for a, b in zip(ours, theirs, strict=True)
    )


def _constants(code: CodeType) -> tuple:
    """List what the code holds besides its docstring, whose place None takes if there is none."""
    constants = code.co_consts
    if constants and (constants[0] is None or isinstance(constants[0], str)):
        return constants[1:]
    return constants
