"""TrainingBoard: the curves of a training run while it runs, its progress and the time left.

Steps are thinned as they come (training_curve), and the whole thinned state goes to the browser in
one update, so that a page opened or reloaded later has all of it: five times a second at first, in
a long run every 200th part of its time, so that messages do not pile up where nobody reads them:

    run {texts, progress, scale}, curves (bytes), samples (bytes)   ->   drawn in the browser

A training board listens only: nothing comes back from the browser.
"""

import io
import json
import math
import operator
import shutil
import sys
import time
import warnings
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anywidget
import traitlets

from llmlab.viz.next_token import readable
from llmlab.viz.texts import well_formed
from llmlab.viz.training_curve import Thinned, TimeLeft

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_PERIOD_S, _LONGEST_PERIOD_S, _PERIOD_SHARE = 0.2, 5.0, 1 / 200
_LINE_PERIOD_S = 30.0
_MOST_BASELINES = _MOST_SCORES = 4
_MOST_SENTENCES, _MOST_MOMENTS, _LONGEST_TEXT = 20, 12, 300
# From this ratio on, a falling loss shows more on an axis of powers of ten.
_LOG_RATIO = 30


class TrainingBoard(anywidget.AnyWidget):
    """Live curves of a training run, as a widget in a notebook and as a line in a terminal.

    ``for step in board.watch(train(…)):`` shows it and adds every step. By hand: `show`, `add`
    and `finish`. A step has a ``number`` (1 is the first) and a ``loss``; its ``learning_rate``,
    ``gradient_norm``, ``tokens_per_second``, ``elapsed`` (seconds), ``steps`` (how many there
    will be) and ``progress`` (0 to 1) are shown where it has them. A step whose number is not new
    takes the board back to it: the run was started again from there.

    ``steps`` is how many are planned; ``baselines`` are up to four losses to compare with, by
    name; ``label`` names the loss and its unit; the smooth curve is the mean of the last
    ``smooth`` steps (a fiftieth of all of them, 5 to 100, if left out).
    """

    _esm = Path(__file__).with_name("training_board.js")

    run = traitlets.Dict().tag(sync=True)
    curves = traitlets.Bytes().tag(sync=True)
    samples = traitlets.Bytes().tag(sync=True)

    def __init__(
        self,
        title: str = "Training",
        *,
        steps: int | None = None,
        baselines: Mapping[str, float] | None = None,
        label: str = "loss (nats a token)",
        smooth: int | None = None,
    ):
        self.title = _checked_text(title, "title")
        self.label = _checked_text(label, "label")
        self.steps = None if steps is None else _checked_count(steps, "steps")
        self.baselines = _checked_baselines(baselines or {})
        if smooth is None:
            smooth = 50 if self.steps is None else min(100, max(5, self.steps // 50))
        self.smooth = _checked_count(smooth, "smooth")
        self.state, self.reason = "waiting", ""
        self._start, self._number, self._step = None, None, None
        self._progress: float | None = None
        self._gaps, self._last_gap = 0, 0
        self._losses, self._means = Thinned(), Thinned()
        self._recent: deque[float] = deque(maxlen=self.smooth)
        self._left = TimeLeft()
        self._scores: dict[str, Thinned] = {}
        self._samples: dict[int, dict[str, str]] = {}
        self._clock = time.monotonic
        self._begun_at, self._sent_at = math.inf, -math.inf
        self._handle: Any = None
        self._lines: _Lines | None = None
        super().__init__(**self._state())

    # --- what goes in ----------------------------------------------------------------------------

    def watch(self, steps: Iterable) -> Iterator:
        """Show the board, pass on every step after adding it, and close the board at the end.

        However the loop ends (the last step, ``break``, an exception, Ctrl-C), the stored output
        then holds the final picture, and ``steps`` is closed.
        """
        try:
            iterator = iter(steps)
        except TypeError:
            raise TypeError(
                f"watch({steps!r}) cannot be looped over; pass the steps, as in "
                "board.watch(train(model, batches, steps=1000))"
            ) from None
        return self._watched(iterator)

    def _watched(self, iterator: Iterator) -> Iterator:
        self.show()
        try:
            for step in iterator:
                self.add(step)
                yield step
        except (GeneratorExit, KeyboardInterrupt):
            self._end("stopped")
            raise
        except BaseException as error:
            self._end("stopped", f"{type(error).__name__}: {error}")
            raise
        else:
            self.finish()
        finally:
            # A loop that was left early ends what is behind it, which restores signal handlers.
            getattr(iterator, "close", lambda: None)()

    def show(self) -> None:
        """Show the board under the running cell; in a terminal, write lines to stderr from now on.

        `finish` puts the final picture into the output of this cell.
        """
        self.state, self.reason = "training", ""
        self._publish()
        # The first step follows at once.
        self._begun_at, self._sent_at = self._clock(), -math.inf
        if _in_notebook():
            from IPython.display import display

            self._handle = display(self, display_id=True)
        elif sys.stderr is not None:
            self._lines = _Lines(sys.stderr)

    def add(self, step) -> None:
        """Add a step that was made; it is drawn now or soon: five times a second, later less often.

        Raises ``TypeError`` when it has no ``number`` or no ``loss``.
        """
        number, loss = _checked_step(step)
        if self._number is not None and number <= self._number:
            self._rewind(number)
        if self._start is None:
            self._start = number - 1
        self._number, self._step = number, step
        self.state, self.reason = "training", ""
        if getattr(step, "steps", None):
            self.steps = int(step.steps)
        self._losses.add(number, loss)
        if loss - loss == 0:
            self._recent.append(loss)
            # Added up anew: a running sum would never forget one huge loss's rounding.
            self._means.add(number, sum(self._recent) / len(self._recent))
        else:
            self._gaps, self._last_gap = self._gaps + 1, number
            self._means.add(number, math.nan)
        self._progress = self._progress_after(step)
        elapsed = getattr(step, "elapsed", None)
        if elapsed is not None and self._progress is not None:
            self._left.add(elapsed, self._progress)
        self._changed()

    def score(self, name: str, value: float, *, step: int | None = None) -> None:
        """Put a point at the latest step into the panel of that name; there may be four panels.

        Raises ``ValueError`` for a fifth name, and for a step that lies before the last point.
        """
        name, step = _checked_text(name, "name"), self._moment(step)
        try:
            value = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"{name}={value!r} is not a number; give one, such as 23.1") from None
        if name not in self._scores and len(self._scores) == _MOST_SCORES:
            raise ValueError(
                f"{name!r} would be score number {_MOST_SCORES + 1}; a board has room for "
                f"{_MOST_SCORES}: {', '.join(map(repr, self._scores))}"
            )
        points = self._scores.setdefault(name, Thinned())
        if points and step < points.last[0]:
            raise ValueError(
                f"{name!r} has a point at step {points.last[0]:,}, so none can follow at step "
                f"{step:,}; give scores in the order of their steps"
            )
        points.rewind(step)  # a second point at the same step replaces the first
        points.add(step, value)
        self._changed()

    def sample(self, step: int | None, texts: Mapping[str, str]) -> None:
        """Show what the model makes of each sentence at this step (None: at the latest one).

        Of more than 12 moments the first and the newest stay. Raises ``ValueError`` for more than
        20 sentences.
        """
        if not isinstance(texts, Mapping) or not texts:
            raise TypeError(
                f"texts={texts!r} is no dict of texts; give sentences and what became of them, "
                'such as {"Good day.": "Buenos días."}'
            )
        shown = {
            _shortened(_checked_text(sentence, "sentence")): _shortened(_checked_text(text, "text"))
            for sentence, text in texts.items()
        }
        moments = {**self._samples, self._moment(step): shown}
        sentences = dict.fromkeys(sentence for moment in moments.values() for sentence in moment)
        if len(sentences) > _MOST_SENTENCES:
            raise ValueError(
                f"{len(sentences)} sentences are more than the {_MOST_SENTENCES} a board has room "
                "for; watch the same few at every moment"
            )
        ordered = sorted(moments)
        kept = ordered[:1] + ordered[1:][1 - _MOST_MOMENTS :]
        self._samples = {moment: moments[moment] for moment in kept}
        self._changed()
        if self._lines:
            self._lines.write_below(_sample_lines(self._moment(step), shown))

    def finish(self) -> None:
        """Say that the run is over; the output that `show` made holds the final picture then."""
        whole = self._progress is None or self._progress >= 0.999
        self._end("finished" if whole and self._number is not None else "stopped")

    # --- what comes out --------------------------------------------------------------------------

    def status(self) -> str:
        """Where the run is, how long it took, and how long it will take, in words."""
        if self._number is None:
            return {
                "waiting": "waiting for the first step",
                "training": "waiting for the first step",
            }.get(self.state, "no step was made") + (f": {self.reason}" if self.reason else "")
        elapsed = getattr(self._step, "elapsed", None)
        of = f" of {self.steps:,}" if self.steps and self._number < self.steps else ""
        words = f"step {self._number:,}{of}"
        if self.state == "training":
            left = self._left.seconds()
            parts = [
                words,
                f"{_duration(elapsed)} gone" if elapsed is not None else "",
                f"about {_duration(left, rough=True)} left" if left is not None else "",
            ]
        else:
            taken = f" after {_duration(elapsed)}" if elapsed is not None else ""
            parts = [
                f"{self.state} at {words}{taken}" + (f": {self.reason}" if self.reason else "")
            ]
        return " · ".join(filter(None, parts))

    def note(self) -> str:
        """What is wrong with the run, in words; empty if nothing is."""
        if not self._gaps:
            return ""
        if self._gaps == 1:
            return f"the loss was no number at step {self._last_gap:,}"
        return f"the loss was no number at {self._gaps:,} steps, the last one {self._last_gap:,}"

    def numbers(self) -> str:
        """The latest loss, its mean, the learning rate and so on, in words."""
        return " · ".join(f"{name} {value}" for name, value in self._numbers())

    def _numbers(self) -> list[tuple[str, str]]:
        if self._number is None:
            return []
        parts = [("loss", _short(self._losses.last[1]))]
        if self._recent:
            mean = sum(self._recent) / len(self._recent)
            parts.append((self._mean_name(), _short(mean)))
        for name, attribute in (
            ("learning rate", "learning_rate"),
            ("tokens a second", "tokens_per_second"),
            ("gradient norm", "gradient_norm"),
        ):
            value = getattr(self._step, attribute, None)
            if value is not None:
                parts.append((name, _short(value)))
        return parts

    def figure(self) -> "Figure":
        """The curves, scores and samples up to now as a matplotlib figure."""
        from llmlab.viz.training_picture import draw

        return draw(
            title=self.title,
            label=self.label,
            losses=self._losses.points(),
            means=self._means.points(),
            mean_name=self._mean_name(),
            baselines=self.baselines,
            scores={name: points.points() for name, points in self._scores.items()},
            samples=self._samples,
            log=self._log(),
            steps=(self._first_step(), self.steps),
        )

    def __repr__(self) -> str:
        """The same before and after the run, and on every machine."""
        return f"TrainingBoard({self.title!r})"

    def __str__(self) -> str:
        lines = [_printable(self.title), _printable(self.status()), self.numbers(), self.note()]
        for name, points in self._scores.items():
            number, value = points.last
            lines.append(f"{_printable(name)} {_short(value)} at step {number:,}")
        for moment, texts in self._samples.items():
            lines += _sample_lines(moment, texts)
        return "\n".join(filter(None, lines))

    def _repr_mimebundle_(self, **kwargs):
        """The live view, and a picture for places without a kernel, once a step was made."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        data["text/plain"] = repr(self)
        if self._number is not None:
            buffer = io.BytesIO()
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # glyphs that the font lacks are drawn as boxes
                self.figure().savefig(buffer, format="png")
            data["image/png"] = buffer.getvalue()
            metadata = {
                **metadata,
                "image/png": {"alt": f"Curve of the {self.label}: {self.title}"},
            }
        return data, metadata

    # --- inside ----------------------------------------------------------------------------------

    def _rewind(self, number: int) -> None:
        """The run goes on from before this step: what was on the board from there on is gone."""
        for points in (self._losses, self._means, *self._scores.values()):
            points.rewind(number)
        self._scores = {name: points for name, points in self._scores.items() if points}
        self._samples = {at: texts for at, texts in self._samples.items() if at < number}
        self._recent.clear()
        self._left = TimeLeft()
        if not self._losses:
            self._start = None
        if self._last_gap >= number:
            gaps = [step for step, value in self._losses.points() if math.isnan(value)]
            self._gaps, self._last_gap = len(gaps), max(gaps, default=0)

    def _progress_after(self, step) -> float | None:
        progress = getattr(step, "progress", None)
        if progress is None and self.steps:
            progress = self._number / self.steps
        return None if progress is None else min(1.0, max(0.0, float(progress)))

    def _moment(self, step: int | None) -> int:
        if step is None:
            return self._number or 0
        try:
            step = operator.index(step)
        except TypeError:
            raise TypeError(f"step={step!r} is not a whole number; give one, or None") from None
        if not 0 <= step < 2**32:
            raise ValueError(f"step={step} is no step of a run; give 0 or more")
        return step

    def _mean_name(self) -> str:
        count = max(1, len(self._recent))
        return f"mean of the last {count} steps" if count > 1 else "mean of the last step"

    def _first_step(self) -> int:
        begins = [points.first[0] for points in self._scores.values()]
        return min([self._start or 0, *begins])

    def _log(self) -> bool:
        values = [value for _, value in self._losses.points() if value - value == 0]
        means = [value for _, value in self._means.points() if value - value == 0]
        if not means or min(values) <= 0 or min(self.baselines.values(), default=1) <= 0:
            return False
        return max(*values, *self.baselines.values(), min(means)) / min(means) >= _LOG_RATIO

    def _state(self) -> dict[str, Any]:
        """All that the browser draws, bounded in size however long the run."""
        return {
            "run": {
                "title": self.title,
                "label": self.label,
                "baselines": [[name, value] for name, value in self.baselines.items()],
                "scores": list(self._scores),
                "state": self.state,
                "status": _shortened(self.status()),
                "numbers": [list(pair) for pair in self._numbers()],
                "note": self.note(),
                "mean": self._mean_name(),
                "first": self._first_step(),
                "steps": self.steps,
                "progress": self._progress,
                "log": self._log(),
            },
            "curves": b"".join(
                points.packed() for points in (self._losses, self._means, *self._scores.values())
            ),
            # ASCII escapes, so that nothing in a text can hurt on the way.
            "samples": json.dumps([[at, texts] for at, texts in self._samples.items()]).encode(),
        }

    def _changed(self) -> None:
        now = self._clock()
        self._begun_at = min(now, self._begun_at)
        period = _PERIOD_SHARE * (now - self._begun_at)
        if now - self._sent_at >= min(max(period, _PERIOD_S), _LONGEST_PERIOD_S):
            self._publish()

    def _publish(self) -> None:
        """One message with everything, then the line in a terminal."""
        with self.hold_sync():
            for name, value in self._state().items():
                setattr(self, name, value)
        self._sent_at = self._clock()
        if self._lines:
            self._lines.update(self)

    def _end(self, state: str, reason: str = "") -> None:
        self.state, self.reason = state, _shortened(well_formed(reason))
        self._publish()
        if self._lines:
            self._lines.end(self)
            self._lines = None
        if self._handle is not None:
            self._handle.update(self)
            self._handle = None


class _Lines:
    """A board in a terminal: one line rewritten in place; elsewhere a line now and then."""

    def __init__(self, stream):
        self._stream = stream
        self._in_place = stream.isatty()
        self._tenth, self._written_at = -1, -math.inf

    def update(self, board: TrainingBoard) -> None:
        if board._number is None or board.state != "training":
            return
        if self._in_place:
            width = max(20, shutil.get_terminal_size().columns - 1)
            self._write("\r" + self._line(board)[:width].ljust(width))
            return
        tenth = None if board._progress is None else min(9, int(10 * board._progress))
        now = board._clock()
        if tenth != self._tenth if tenth is not None else now - self._written_at >= _LINE_PERIOD_S:
            self._tenth, self._written_at = tenth, now
            self._write(self._line(board) + "\n")

    def write_below(self, lines: list[str]) -> None:
        self._write(("\n" if self._in_place else "") + "\n".join(lines) + "\n")

    def end(self, board: TrainingBoard) -> None:
        self._write(("\n" if self._in_place else "") + self._line(board) + "\n")

    @staticmethod
    def _line(board: TrainingBoard) -> str:
        words = board.title, board.status(), board.numbers(), board.note()
        return " · ".join(_printable(part) for part in words if part)

    def _write(self, text: str) -> None:
        self._stream.write(text)
        self._stream.flush()


def _in_notebook() -> bool:
    """Whether there is a kernel to show things; plain Python and IPython's terminal have none."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return getattr(shell, "kernel", None) is not None


def _checked_step(step) -> tuple[int, float]:
    for name in ("number", "loss"):
        if not hasattr(step, name):
            raise TypeError(
                f"{step!r} has no {name!r}; a step needs a number (1 is the first) and a loss, "
                "like those that llmlab.train.train gives"
            )
    try:
        number, loss = operator.index(step.number), float(step.loss)
    except (TypeError, ValueError):
        raise TypeError(
            f"step {step.number!r} with loss {step.loss!r}: the number must be a whole number and "
            "the loss a number"
        ) from None
    if not 1 <= number < 2**32:
        raise ValueError(f"step number {number} is not 1 or more; the first step made is number 1")
    return number, loss


def _checked_count(value, name: str) -> int:
    try:
        count = operator.index(value)
    except TypeError:
        raise TypeError(f"{name}={value!r} is not a whole number; give one, such as 100") from None
    if not 1 <= count < 2**32:
        raise ValueError(f"{name}={count} is not 1 or more; give a number such as 100")
    return count


def _checked_text(text, name: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"{name}={text!r} is not a string; give a short text")
    return well_formed(text)


def _checked_baselines(baselines: Mapping[str, float]) -> dict[str, float]:
    checked = {_checked_text(name, "baseline"): float(loss) for name, loss in baselines.items()}
    for name, loss in checked.items():
        if not math.isfinite(loss):
            raise ValueError(f"baseline {name!r}={loss} has no place on an axis; leave it out")
    if len(checked) > _MOST_BASELINES:
        raise ValueError(
            f"{len(checked)} baselines would hide the curve; give {_MOST_BASELINES} at most"
        )
    return checked


def _duration(seconds: float, *, rough: bool = False) -> str:
    """Seconds as people say them; roughly, they do not change at every look.

    >>> _duration(7.4), _duration(125), _duration(3700), _duration(127, rough=True)
    ('7 s', '2 min 5 s', '1 h 1 min', '2 min 10 s')
    """
    if not math.isfinite(seconds):
        return "?"
    grain = 1
    if rough and seconds >= 20:
        grain = 5 if seconds < 90 else 10
    whole = grain * round(seconds / grain)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600:,} h {whole % 3600 // 60} min"


def _short(number: float) -> str:
    """Three digits, also where they are zero, and no power of ten where it can be helped.

    >>> _short(2.9), _short(12345.6), _short(0.0001234), _short(0), _short(float("nan"))
    ('2.90', '12,300', '0.000123', '0', 'nan')
    """
    number = float(number)
    if number == 0 or not math.isfinite(number):
        return f"{number:.0f}"
    rounded = float(f"{number:.3g}")
    if not 1e-4 <= abs(rounded) < 1e9:
        return f"{number:.3g}"
    digits = max(0, 2 - math.floor(math.log10(abs(rounded))))
    return f"{rounded:,.{digits}f}"


def _sample_lines(moment: int, texts: Mapping[str, str]) -> list[str]:
    return [
        f"step {moment:,}: {_printable(sentence)} → {_printable(text)}"
        for sentence, text in texts.items()
    ]


def _printable(text: str) -> str:
    """The text without anything that a terminal would obey."""
    return "".join(c if c.isprintable() else readable(c) for c in text)


def _shortened(text: str) -> str:
    return text if len(text) <= _LONGEST_TEXT else f"{text[: _LONGEST_TEXT - 1]}…"
