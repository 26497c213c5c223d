"""Small cards that answer in a notebook: one stable text, one accessible HTML form of the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import KW_ONLY, dataclass
from html import escape

# A sign and a word tell what the colour tells too.
_SIGNS = {"passed": "✓", "not yet": "✗", "not attempted": "○"}
_COLOURS = {
    "passed": "var(--jp-success-color1, #388e3c)",
    "not yet": "var(--jp-error-color1, #d32f2f)",
    "not attempted": "var(--jp-info-color1, #0097a7)",
}
_QUIET = "var(--jp-border-color1, #bdbdbd)"


@dataclass(frozen=True)
class Card:
    """A title, a paragraph or more, and named pieces of code."""

    title: str
    _: KW_ONLY
    text: str = ""
    details: Sequence[tuple[str, str]] = ()  # name and code
    status: str = ""

    def __repr__(self) -> str:
        sign = f"{_SIGNS[self.status]} " if self.status else ""
        lines = [f"{sign}{self.title}", *([self.text] if self.text else [])]
        width = max((len(name) for name, _ in self.details), default=0)
        for name, code in self.details:
            first, *more = code.split("\n")
            lines.append(f"  {name:<{width}}  {first}")
            lines += [f"  {'':<{width}}  {line}" for line in more]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        colour = _COLOURS.get(self.status, _QUIET)
        sign = f'<span aria-hidden="true">{_SIGNS[self.status]} </span>' if self.status else ""
        parts = [
            f'<div role="status" style="border-left: 4px solid {colour}; padding: 2px 12px; '
            'max-width: 48em; color: var(--jp-content-font-color1, inherit)">',
            f'<div style="font-weight: 600">{sign}{escape(self.title)}</div>',
        ]
        parts += [
            f'<div style="margin: 4px 0">{escape(paragraph)}</div>'
            for paragraph in self.text.split("\n")
            if paragraph
        ]
        if self.details:
            parts.append(
                '<dl style="display: grid; grid-template-columns: max-content 1fr; '
                'gap: 2px 12px; align-items: baseline; margin: 4px 0">'
            )
            for name, code in self.details:
                parts.append(f'<dt style="font-weight: 400; padding: 0">{escape(name)}</dt>')
                parts.append(f'<dd style="margin: 0; padding: 0; min-width: 0">{_code(code)}</dd>')
            parts.append("</dl>")
        return "\n".join([*parts, "</div>"])


@dataclass(frozen=True, repr=False)
class Listing(Card):
    """A card that is mostly code: its text form is the code, ready to be copied."""

    _: KW_ONLY
    code: str = ""

    def __repr__(self) -> str:
        return f"# {self.title}\n{self.code}"

    def _repr_html_(self) -> str:
        inner = super()._repr_html_().removesuffix("</div>")
        return f"{inner}{_code(self.code)}\n</div>"


def _code(text: str) -> str:
    return (
        '<pre style="margin: 0; padding: 0; white-space: pre-wrap; overflow-wrap: anywhere">'
        f"{escape(text)}</pre>"
    )
