"""AttentionExplorer: every head of every layer on your own text, and what each one does for it.

The browser asks, one request at a time, and the kernel answers in one state update:

    request {n, kind: "read", side, text, off}  ->  a, a_bytes or b, b_bytes: a reading
    request {n, kind: "layer" | "row" | "html", …}  ->  answer, payload

Readings travel with one byte a weight and the largest weight of each row (attention_wire); rows
that are looked at closely travel as exact float32. Drawing, choosing and comparing happen in the
browser (attention_explorer.js).
"""

# L layers, H heads, T query position, S key position, V vocabulary

import itertools
import threading
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import anywidget
import numpy as np
import traitlets

from llmlab.viz.attention_page import page
from llmlab.viz.attention_picture import Shown, draw
from llmlab.viz.attention_reading import Part, check_index
from llmlab.viz.attention_sides import (
    RefusedError,
    Side,
    as_lists,
    described,
    message,
    read_side,
)
from llmlab.viz.attention_wire import EXACT_NUMBERS, packed, packed_layer
from llmlab.viz.texts import shortened, well_formed
from llmlab.viz.whole_file import write_whole

_LARGEST_PAGE = 100_000_000  # weights
_FORMATS = (".png", ".svg", ".html")
_SCALES, _MODES = ("fixed", "row"), ("a", "b", "difference")
_VIEW = {
    "part": 0, "layer": 0, "head": 0, "statistic": "entropy", "scale": "fixed", "query": None,
    "mode": "a",
}  # fmt: skip


class AttentionExplorer(anywidget.AnyWidget):
    """A text box, the attention of all heads on its text, and one head in detail.

    ``read(text, off=…)`` returns an `llmlab.inference.AttentionReading`, or anything of that
    shape: weights (L, H, T, S) between tokens, numbers per head, and the probabilities of the
    next token, computed with the heads ``off``, pairs of layer and head, switched off. A
    ``ValueError`` it raises is shown to the person who types.

    ``text``, the second text ``compare`` (None for none) and ``off`` can be set at any time, and
    follow what is done in the browser; ``select`` chooses a head. Layers and heads count from 0,
    and -1 stands for the mean. Texts of more than ``longest`` tokens are refused.
    """

    _esm = Path(__file__).with_name("attention_explorer.js")

    # The browser holds the newest request and view; an echo could only bring back older ones.
    request = traitlets.Dict().tag(sync=True, echo_update=False)
    view = traitlets.Dict().tag(sync=True, echo_update=False)
    a = traitlets.Dict().tag(sync=True)
    a_bytes = traitlets.Bytes().tag(sync=True)
    b = traitlets.Dict().tag(sync=True)
    b_bytes = traitlets.Bytes().tag(sync=True)
    answer = traitlets.Dict().tag(sync=True)
    payload = traitlets.Bytes().tag(sync=True)
    standalone = traitlets.Bool(False, read_only=True).tag(sync=True)

    def __init__(
        self,
        read: Callable,
        *,
        text: str = "The animal did not cross the street because it was too tired",
        compare: str | None = None,
        layer: int = 0,
        head: int = 0,
        statistic: str = "entropy",
        longest: int = 512,
    ):
        if not callable(read):
            raise TypeError(
                f"read={read!r} is not a function; pass AttentionReader(), or a function that "
                "takes a text and off=, and returns an AttentionReading"
            )
        if isinstance(longest, bool) or not isinstance(longest, int) or longest < 1:
            raise ValueError(f"longest={longest!r} tokens cannot be shown; use 512")
        self._read, self._longest = read, longest
        # Requests may arrive on a thread of their own while a cell runs on the main one.
        self._lock = threading.RLock()
        self._pushes = itertools.count(1)
        self._statistics: dict[str, None] = {}  # all names that were ever there, in order
        self._sides = {"a": self._side(_checked_text(text), ()), "b": Side()}
        if compare:
            self._sides["b"] = self._side(_checked_text(compare), ())
        if statistic == "entropy" and "entropy" not in self._statistics:
            statistic = next(iter(self._statistics), "entropy")
        view = {"layer": layer, "head": head, "statistic": statistic}
        view["mode"] = "difference" if compare else "a"
        super().__init__(view=view, **self._state("a", n=0), **self._state("b", n=0))

    # --- what Python can ask and set ---

    @property
    def text(self) -> str:
        """The text; setting it reads the new one."""
        return self._sides["a"].text

    @text.setter
    def text(self, text: str) -> None:
        self._show("a", _checked_text(text), self.off, n=-next(self._pushes))

    @property
    def compare(self) -> str | None:
        """The second text; None for none, and setting None ends the comparison."""
        return self._sides["b"].text or None

    @compare.setter
    def compare(self, text: str | None) -> None:
        self._show("b", _checked_text(text or ""), self.off, n=-next(self._pushes))

    @property
    def off(self) -> tuple[tuple[int, int], ...]:
        """The heads that are switched off, pairs of layer and head, in order."""
        return self._sides["a"].off

    @off.setter
    def off(self, off: Iterable[tuple[int, int]]) -> None:
        off = self._checked_off(off)
        self._show("a", self.text, off, n=-next(self._pushes))
        if self.compare is not None:
            self._show("b", self.compare, off, n=-next(self._pushes))

    def select(self, layer: int, head: int, *, part: int | None = None) -> None:
        """Choose the head that is shown in detail.

        Head -1 is the mean over its layer's heads, layer -1 with head -1 the mean over all. `part`
        counts the kinds of attention of a model that has several. Raises ``ValueError`` for a head
        that is not there.
        """
        part = self.view["part"] if part is None else part
        self.view = {**self.view, "part": part, "layer": layer, "head": head}

    def weights(self, layer: int, head: int, *, part: int = 0, side: str = "a") -> np.ndarray:
        """How much each query reads of each key: float32 (T, S), as `read` returned it.

        Head -1 is the mean over its layer's heads, layer -1 with head -1 the mean over all.
        Raises ``ValueError`` for a head that is not there, or when the text was refused.
        """
        return self._part(part, self._good(side)).map_of(layer, head).copy()

    def next_tokens(self, side: str = "a") -> list[tuple[str, float, float]]:
        """Up to ten most likely next tokens: their probability with all heads on, and now.

        Empty for a model that does not continue the text. Raises ``ValueError`` when the text was
        refused.
        """
        return list(self._good(side).next_tokens or ())

    def save(self, path: str | Path) -> None:
        """Write what is shown to a file: ``.png``, ``.svg``, or ``.html``, which stays interactive.

        The HTML file holds all its numbers, and needs neither a kernel nor a network. The file is
        written whole or not at all. Raises ``ValueError`` for other suffixes, and ``OSError``.
        """
        path = Path(path)
        suffix = path.suffix.lower()
        if suffix not in _FORMATS:
            raise ValueError(
                f"path={str(path)!r} does not say which format; end it in {', '.join(_FORMATS)}"
            )
        with self._lock:
            data = self._page() if suffix == ".html" else draw(self._shown(), suffix[1:])
        write_whole(path, data)

    # --- the talk with the browser ---

    @traitlets.validate("view")
    def _validate_view(self, proposal) -> dict:
        return self._checked_view(proposal.value)

    @traitlets.observe("request")
    def _on_request(self, change) -> None:
        request = change.new
        if request["kind"] == "read":
            self._show(request["side"], well_formed(request["text"]), request["off"], request["n"])
        else:
            self._answer(request)

    def _show(self, side: str, text: str, off: Iterable, n: int) -> None:
        """Read and send; whatever goes wrong becomes a message, and the old picture stays."""
        with self._lock:
            new = replace(self._sides[side], text=text)
            try:
                new = replace(new, off=self._checked_off(off))
                new = Side() if side == "b" and not text else self._side(text, new.off)
            except KeyboardInterrupt:
                new = new.refused("read was interrupted; change the text to try again")
            except RefusedError as refusal:
                new = new.refused(str(refusal))
            except Exception as exception:
                new = new.refused(f"{type(exception).__name__}: {exception}")
            self._sides[side] = new
            with self.hold_sync():
                for name, value in self._state(side, n).items():
                    setattr(self, name, value)

    def _answer(self, request: dict) -> None:
        """Answer for a layer, a row or the page; what goes wrong becomes a message."""
        with self._lock:
            answer = {**request, "error": ""}
            try:
                if request["kind"] == "html":
                    payload, answer["name"] = self._page(), "attention.html"
                else:
                    side = request["side"]
                    answer["of"] = getattr(self, side)["n"]
                    payload = self._numbers(request, self._part(request["part"], self._sides[side]))
            except KeyboardInterrupt:
                payload, answer["error"] = b"", "the kernel was interrupted; try again"
            except ValueError as refusal:
                payload, answer["error"] = b"", message(str(refusal))
            except Exception as exception:
                payload, answer["error"] = b"", message(f"{type(exception).__name__}: {exception}")
            with self.hold_sync():
                self.answer, self.payload = answer, payload

    @staticmethod
    def _numbers(request: dict, part: Part) -> bytes:
        if request["kind"] == "layer":
            check_index("layer", request["layer"], part.layers)
            return packed_layer(part, request["layer"])
        check_index("query", request["query"], len(part.queries))
        return part.map_of(request["layer"], request["head"])[request["query"]].tobytes()

    # --- readings ---

    def _side(self, text: str, off: tuple[tuple[int, int], ...]) -> Side:
        held = read_side(self._read, text, off, longest=self._longest)
        for part in held.reading.parts:
            self._statistics |= dict.fromkeys(part.statistics)
        return held

    def _state(self, side: str, n: int) -> dict:
        """The traits of one side; after an error with the last good reading, which stays."""
        held = self._sides[side]
        state = {"n": n, "text": held.text, "off": as_lists(held.off), "error": held.error}
        if held.error:
            return {side: {**getattr(self, side), **state}}
        parts, data = packed(held.reading) if held.reading else ([], b"")
        return {side: state | described(held, parts, longest=self._longest), f"{side}_bytes": data}

    def _good(self, side: str) -> Side:
        if side not in self._sides:
            raise ValueError(f'side={side!r} is not there; use "a", or "b" for the second text')
        with self._lock:
            held = self._sides[side]
        if held.error:
            raise ValueError(held.error)
        return held

    def _part(self, part: int, held: Side | None = None) -> Part:
        reading = (held or self._sides["a"]).reading
        if reading is None:
            raise ValueError('side="b" has no text; set compare first')
        parts = reading.parts
        check_index("part", part, len(parts))
        return parts[part]

    def _checked_off(self, off: Iterable[tuple[int, int]]) -> tuple[tuple[int, int], ...]:
        parts = self._sides["a"].reading.parts
        pairs = set()
        for pair in off:
            if not isinstance(pair, (tuple, list)) or len(pair) != 2:
                raise ValueError(f"off holds {pair!r}; give pairs of layer and head, off=[(3, 5)]")
            if len(parts) > 1:
                raise ValueError(
                    f"the model has {len(parts)} kinds of attention; heads can be switched off "
                    "where there is one"
                )
            check_index("layer", pair[0], parts[0].layers)
            check_index("head", pair[1], parts[0].heads)
            pairs.add((int(pair[0]), int(pair[1])))
        return tuple(sorted(pairs))

    def _checked_view(self, view: dict) -> dict:
        unknown = sorted(set(view) - set(_VIEW))
        if unknown:
            raise ValueError(f"view has no {unknown[0]!r}; it holds {', '.join(_VIEW)}")
        view = {**_VIEW, **view}
        part = self._part(view["part"])
        part.check_place(view["layer"], view["head"])
        if self._statistics and view["statistic"] not in self._statistics:
            raise ValueError(
                f"statistic={view['statistic']!r} is unknown; use {', '.join(self._statistics)}"
            )
        for name, values in (("scale", _SCALES), ("mode", _MODES)):
            if view[name] not in values:
                raise ValueError(f"{name}={view[name]!r} is unknown; use {', '.join(values)}")
        if view["query"] is not None:
            check_index("query", view["query"], self._longest)
        return view | {name: int(view[name]) for name in ("part", "layer", "head")}

    # --- still forms ---

    def __repr__(self) -> str:
        """The same on every machine: weights differ in their last digits."""
        a = self._sides["a"]
        sizes = " and ".join(f"{part.layers} x {part.heads}" for part in a.reading.parts)
        compare = f", compare={shortened(self.compare)!r}" if self.compare else ""
        return f"AttentionExplorer(text={shortened(self.text)!r}{compare}, {sizes} heads)"

    def _repr_mimebundle_(self, **kwargs):
        """The live view, and a picture for places without a kernel."""
        data, metadata = super()._repr_mimebundle_(**kwargs)
        data["text/plain"] = repr(self)
        with self._lock:
            data["image/png"] = draw(self._shown(), "png")
        return data, metadata

    def _shown(self) -> Shown:
        """What the browser shows too: one head of one text, or the second's less the first's."""
        view, b = self.view, self._sides["b"]
        mode = view["mode"] if b.reading else "a"
        held = self._sides["a" if mode == "a" else "b"]
        other = self._sides["a"] if mode == "difference" else None
        return Shown(
            text=held.shown_text,
            part=self._part(view["part"], held),
            layer=view["layer"],
            head=view["head"],
            statistic=view["statistic"],
            scale=view["scale"],
            several_parts=len(held.reading.parts) > 1,
            off=held.shown_off,
            other_text=other.shown_text if other else "",
            other=self._part(view["part"], other) if other else None,
        )

    def _page(self) -> bytes:
        """The interactive file: the state as it is, every layer in it, and no request to come."""
        held = {side: held for side, held in self._sides.items() if held.reading}
        size = sum(part.weights_LHTS.size for side in held.values() for part in side.reading.parts)
        if size > _LARGEST_PAGE:
            raise ValueError(
                f"the page would hold {size:,} weights and has room for {_LARGEST_PAGE:,}; "
                "shorten the text, or end the comparison"
            )
        traits = {"view": self.view, "request": {}, "answer": {}, "standalone": True, "b": self.b}
        arrays = {"a_bytes": b"", "b_bytes": b"", "payload": b""}
        for side, it in held.items():
            parts, data = packed(it.reading, whole=True, exact=size <= EXACT_NUMBERS)
            shown = {"n": 0, "text": it.shown_text, "off": as_lists(it.shown_off), "error": ""}
            traits[side] = shown | described(it, parts, longest=self._longest)
            arrays[f"{side}_bytes"] = data
        shown, texts = self._shown(), [it.shown_text for it in held.values()]
        return page(
            traits, arrays, texts=texts, alt=shown.in_words(), picture=draw(shown, "png")
        ).encode("utf-8")


def _checked_text(text: str) -> str:
    if not isinstance(text, str):
        raise TypeError(f"text={text!r} is not a string; give the text to read")
    return well_formed(text)
