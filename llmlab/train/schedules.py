"""Schedules: by how much the learning rate is scaled at each step.

A schedule is a pure function of the step: it keeps no state, so a run that goes on from the
middle needs to know nothing but where it is.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from llmlab.text.inputs import whole_number

_KINDS = ("cosine", "linear", "constant")


@dataclass(frozen=True)
class Schedule:
    """A warm-up from near 0 to 1 and then a way down, as factors of the learning rate.

    Over the first `warmup` steps the factor rises in a straight line from 1 / (warmup + 1) to 1
    (Goyal et al. 2017, section 2.2). From there it falls to `final` at `steps`, along half a
    cosine (Loshchilov and Hutter 2017, equation 5) or a straight line, and stays there;
    "constant" stays at 1, and needs no `steps`. Raises ``ValueError`` for what fits no schedule.

    >>> schedule = Schedule("linear", steps=6, warmup=2)
    >>> [round(schedule(step), 2) for step in range(8)]
    [0.33, 0.67, 1.0, 0.75, 0.5, 0.25, 0.0, 0.0]
    """

    kind: str
    steps: int | None = None
    warmup: int = 0
    final: float = 0.0

    def __post_init__(self):
        if self.kind not in _KINDS:
            choices = ", ".join(repr(kind) for kind in _KINDS)
            raise ValueError(f"kind={self.kind!r} is no schedule; use one of {choices}")
        if self.steps is not None or self.kind != "constant":
            self._store("steps", whole_number(self.steps, "steps", least=1))
        self._store("warmup", whole_number(self.warmup, "warmup", least=0))
        if self.steps is not None and self.warmup >= self.steps:
            raise ValueError(
                f"warmup={self.warmup} takes all of steps={self.steps}; "
                f"use at most {self.steps - 1}, as a rule a tenth of the steps"
            )
        if isinstance(self.final, bool) or not 0 <= self.final <= 1:
            raise ValueError(
                f"final={self.final!r} is not a share of the full learning rate; "
                "use a number from 0 to 1"
            )
        if self.kind == "constant" and self.final:
            raise ValueError(
                f"a constant schedule stays at 1 and never comes to final={self.final}; "
                "leave final out, or use kind='linear'"
            )
        self._store("final", float(self.final))

    def _store(self, name: str, value: float) -> None:
        object.__setattr__(self, name, value)  # this class is frozen

    def __call__(self, step: float) -> float:
        """Give the factor for the step with this number; the first step has the number 0.

        Fractions are allowed: a run that is measured in minutes has no whole number to give.
        """
        if not 0 <= step < math.inf:
            raise ValueError(f"step={step!r} is no step's number; steps are counted from 0")
        if step < self.warmup:
            return (step + 1) / (self.warmup + 1)
        if self.kind == "constant":
            return 1.0
        progress = min((step - self.warmup) / (self.steps - self.warmup), 1.0)
        left = 1 - progress if self.kind == "linear" else (1 + math.cos(math.pi * progress)) / 2
        return self.final + (1 - self.final) * left


def cosine(steps: int, *, warmup: int = 0, final: float = 0.0) -> Schedule:
    """Fall along half a cosine: slowly at first, fast in the middle, slowly at the end."""
    return Schedule("cosine", steps, warmup, final)


def linear(steps: int, *, warmup: int = 0, final: float = 0.0) -> Schedule:
    """Fall in a straight line."""
    return Schedule("linear", steps, warmup, final)


def constant(*, warmup: int = 0) -> Schedule:
    """Stay at the full learning rate once it is reached."""
    return Schedule("constant", None, warmup)
