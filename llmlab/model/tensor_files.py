"""Files of named tensors with a description, in the safetensors format, which holds no code.

They are written whole or not at all, and a file that is something else is refused with its name.
The description is text in the file's metadata, under the key "llmlab".
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

from filelock import FileLock, Timeout
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

KEY = "llmlab"
_LOCK = "lock"  # the first file in a workshop; held as long as the process that made it lives

Tensors = dict[str, Tensor]


def write(path: Path, tensors: Tensors, description: str, *, what: str = "checkpoint") -> None:
    """Write a file in a folder beside `path`, and move it there once it is safely on the disk.

    In a folder of its own, because `save_file` begins with a file under a name of its own choice:
    what a killed run leaves behind must be recognised and removed. `what` is the file in words.
    Raises ``OSError``, and leaves what was at `path` as it was, when it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        for litter in _unfinished(path):
            _remove_if_abandoned(litter)
        with _workshop(path) as workshop:
            unfinished = workshop / "tensors"
            unfinished.touch()
            mode = unfinished.stat().st_mode
            save_file(tensors, unfinished, metadata={KEY: description})
            unfinished.chmod(mode)  # save_file makes files that only their owner can read
            _flush(unfinished)
            unfinished.replace(path)
    except (OSError, SafetensorError) as error:
        raise _unwritable(path, tensors, what, error) from error
    with contextlib.suppress(OSError):  # not every system lets a folder be flushed
        _flush(path.parent)


def require_writable(path: Path) -> None:
    """Raise ``OSError`` if a file could not even be begun at `path`, before hours of work."""
    try:
        with _workshop(path):
            pass
    except OSError as error:
        raise _unwritable(path, {}, "checkpoint", error) from error


@contextlib.contextmanager
def _workshop(path: Path) -> Iterator[Path]:
    """Lend a folder beside `path` that other processes leave alone while this one lives."""
    while True:
        folder = path.with_name(f"{path.name}.{uuid4().hex}.part")
        folder.mkdir()
        lock = FileLock(folder / _LOCK)
        try:
            lock.acquire()
        except FileNotFoundError:  # another process took the still empty folder for litter
            continue
        except (OSError, NotImplementedError):
            pass  # a disk without locks; a full one is noticed with the next file
        if folder.is_dir():
            break
        lock.release()
    try:
        yield folder
    finally:
        lock.release()
        shutil.rmtree(folder, ignore_errors=True)


def _unfinished(path: Path) -> list[Path]:
    """List the workshops beside `path`; only names with 32 hexadecimal digits can be ours."""
    ours = re.compile(re.escape(path.name) + r"\.[0-9a-f]{32}\.part")
    return [entry for entry in path.parent.iterdir() if ours.fullmatch(entry.name)]


def _remove_if_abandoned(workshop: Path) -> None:
    """Remove what a process left that was killed while it wrote; one that lives holds the lock."""
    lock = FileLock(workshop / _LOCK)
    with contextlib.suppress(OSError, NotImplementedError):
        try:
            lock.acquire(timeout=0)
        except Timeout:
            return
        shutil.rmtree(workshop, ignore_errors=True)
    lock.release()
    # From here on it may be the workshop of a process that was about to lock it: to lock it, that
    # one has made it anew. Only what Windows kept, because the lock was held, may still go.
    if os.name == "nt":
        with contextlib.suppress(OSError):
            (workshop / _LOCK).unlink()  # refused if it is held again
            workshop.rmdir()


def _flush(path: Path) -> None:
    """Wait until a file, or the list of names in a folder, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY if path.is_dir() else os.O_RDWR)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _unwritable(path: Path, tensors: Tensors, what: str, error: Exception) -> OSError:
    size = sum(tensor.nbytes for tensor in tensors.values()) / 1e6
    needs = f"It needs {size:,.1f} MB: make" if tensors else "Make"
    number, reason = getattr(error, "errno", None), getattr(error, "strerror", None)
    if number is None:  # safetensors has no errors of its own for each reason, only a text
        named = re.search(r"\(os error (\d+)\)", str(error))
        number, reason = (int(named[1]), os.strerror(int(named[1]))) if named else (errno.EIO, None)
    kept = f"the {what} that was there is as it was" if path.exists() else "nothing was written"
    return OSError(
        number,
        f"{path} could not be written ({reason or error}); {kept}. {needs} "
        "room on the disk, or give a path that you may write to",
    )


def read(
    path: Path, *, what: str = "checkpoint", writer: str = "save_checkpoint"
) -> tuple[str, Tensors]:
    """Read the description and all tensors, and let go of the file.

    `what` and `writer` are the kind of file in words and the function that writes it. Raises
    ``FileNotFoundError``, and ``ValueError`` for any file that llmlab did not write.
    """
    if not path.exists():
        raise FileNotFoundError(f"{path} does not exist; give a file that {writer} wrote")
    if path.is_dir():
        raise ValueError(f"{path} is a folder; give a file, or use load_pretrained for a folder")
    _refuse_pickle(path, writer)
    try:
        with safe_open(path, framework="pt", device="cpu") as file:
            text = (file.metadata() or {}).get(KEY)
            if text is None:
                raise ValueError(
                    f"{path} holds tensors but is no {what} of llmlab; give a file that "
                    f"{writer} wrote, or use load_pretrained for a model's folder"
                )
            # copies, so that the file is not kept open: Windows could not replace it then
            return text, {name: file.get_tensor(name).clone() for name in file.keys()}  # noqa: SIM118
    except SafetensorError as error:
        raise ValueError(
            f"{path} is no {what}, or is cut short ({error}); bring or save it again"
        ) from error


def _refuse_pickle(path: Path, writer: str) -> None:
    with path.open("rb") as file:
        start = file.read(4)
    # a pickle's second byte is its version; in a safetensors file the length of a description
    # begins with any byte, but is never so long that it could be taken for a zip file
    if start[:4] == b"PK\x03\x04" or (start[:1] == b"\x80" and start[1:2] in b"\2\3\4\5"):
        with contextlib.suppress(SafetensorError), safe_open(path, framework="pt"):
            return
        raise ValueError(
            f"{path} is a pickle, which may run any code when it is loaded, and llmlab does not "
            f"load those; give a file that {writer} wrote"
        )
