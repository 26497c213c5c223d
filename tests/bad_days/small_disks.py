"""A real file system that is soon full, or cannot be written, as this machine allows.

As root a tmpfs is mounted. Others may mount one in a namespace of their own, where the commands
that are to see it run too. In a container that may do neither, a small tmpfs that is there already
is filled up to what is asked for.
"""

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

LARGEST_TO_FILL = 128_000_000  # bytes; a larger one lies in the memory of the machine
SMALL_ONES = ("/run/lock", "/dev/shm", "/dev")


@dataclass
class SmallDisk:
    """A folder on a small disk, and how a command must begin that is to see it."""

    folder: Path  # as the commands see it
    seen: Path  # the same folder, as the tests see it
    prefix: tuple[str, ...] = ()
    made_by: str = ""

    def fill(self, *, leave: int = 0) -> None:
        """Write a file that leaves so many bytes."""
        self._ballast.unlink(missing_ok=True)
        left = shutil.disk_usage(self.seen).free - leave
        with self._ballast.open("wb", buffering=0) as file, contextlib.suppress(OSError):
            while left > 0:
                left -= file.write(bytes(min(left, 1 << 16)))

    def empty(self) -> None:
        """Remove that file."""
        self._ballast.unlink(missing_ok=True)

    @property
    def _ballast(self) -> Path:
        return self.seen / "ballast"


@contextlib.contextmanager
def small_disk(folder: Path, size: int, *, home: Path) -> Iterator[SmallDisk]:
    """Lend a disk of `size` bytes, at `folder` if it can be; skips where there is no way.

    Commands with its prefix run in the folder `home`.
    """
    for way in (_mounted, _in_a_namespace, _filled_up):
        with contextlib.ExitStack() as stack:
            disk = stack.enter_context(way(folder, size, home))
            if disk is not None:
                yield disk
                return
    pytest.skip(
        "no small disk: this system lets nobody but root mount a tmpfs, and has no small one"
        if sys.platform == "linux"
        else "no small disk: this test fills a tmpfs, which only Linux has"
    )


def _runs(*command: str) -> bool:
    if sys.platform != "linux" or shutil.which(command[0]) is None:
        return False
    return subprocess.run(command, capture_output=True).returncode == 0


@contextlib.contextmanager
def _mounted(folder: Path, size: int, home: Path) -> Iterator[SmallDisk | None]:
    folder.mkdir(parents=True, exist_ok=True)
    if not _runs("mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)):
        yield None
        return
    try:
        yield SmallDisk(folder, folder, made_by="mount")
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def _in_a_namespace(folder: Path, size: int, home: Path) -> Iterator[SmallDisk | None]:
    folder.mkdir(parents=True, exist_ok=True)
    if not (_runs("unshare", "-Urm", "true") and shutil.which("nsenter")):
        yield None
        return
    mount = 'mount -t tmpfs -o "size=$0" tmpfs "$1" && echo mounted && exec cat'
    with subprocess.Popen(
        ["unshare", "-Urm", "sh", "-c", mount, str(size), str(folder)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as holder:
        try:
            if holder.stdout.readline() != b"mounted\n":
                yield None
                return
            prefix = ("nsenter", "-U", "-m", "--preserve-credentials", "-t", str(holder.pid))
            seen = Path(f"/proc/{holder.pid}/root{folder}")
            prefix += ("--", "sh", "-c", 'cd "$0" && exec "$@"', str(home))
            yield SmallDisk(folder, seen, prefix, made_by="unshare")
        finally:
            holder.kill()


@contextlib.contextmanager
def _filled_up(folder: Path, size: int, home: Path) -> Iterator[SmallDisk | None]:
    for small in map(Path, SMALL_ONES if sys.platform == "linux" else ()):
        usable = small.is_mount() and os.access(small, os.W_OK)
        usage = shutil.disk_usage(small) if usable else None
        if usage is None or usage.total > LARGEST_TO_FILL or usage.free < size:
            continue
        own = small / f"llmlab-bad-days-{os.getpid()}"
        own.mkdir()
        try:
            SmallDisk(own, own).fill(leave=size)
            (own / "disk").mkdir()
            yield SmallDisk(own / "disk", own / "disk", made_by=f"filling up {small}")
        finally:
            shutil.rmtree(own)
        return
    yield None


# Root may write whatever the permissions say, unless it gives up that power for good.
GIVE_UP = """
import ctypes, os, sys
DROP_FROM_BOUNDING_SET, DAC_OVERRIDE = 24, 1
if ctypes.CDLL(None, use_errno=True).prctl(DROP_FROM_BOUNDING_SET, DAC_OVERRIDE, 0, 0, 0):
    sys.exit(f"prctl: {os.strerror(ctypes.get_errno())}")
os.execv(sys.argv[1], sys.argv[1:])
"""


def without_power() -> tuple[str, ...]:
    """Give the beginning of a command for which permissions count, root or not."""
    if sys.platform == "win32":
        pytest.skip("Windows has no permissions of folders such as these")
    if os.geteuid() != 0:
        return ()
    if sys.platform != "linux":
        pytest.skip("run as root, who may write everywhere; run the tests as somebody else")
    return (sys.executable, "-c", GIVE_UP)


def change_mode(folder: Path, mode: int) -> None:
    """Change the permissions of a folder and of all folders in it."""
    for below in [folder, *(path for path in folder.rglob("*") if path.is_dir())]:
        below.chmod(mode)


def read_only(folder: Path) -> tuple[str, ...]:
    """Give the beginning of a command that sees a folder as a disk that is read-only."""
    mount = 'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec "$@"'
    for unshare in (["unshare", "-m"], ["unshare", "-Urm"]):
        prefix = (*unshare, "sh", "-c", mount, str(folder))
        if _runs(*prefix, "true"):
            return prefix
    pytest.skip("this system lets nobody but root make a disk read-only, or is not Linux")
