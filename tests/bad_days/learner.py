"""A learner at a computer: commands, kernels and JupyterLab, in processes of their own."""

import contextlib
import json
import os
import re
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import nbformat
from jupyter_client import KernelManager

ROOT = Path(__file__).resolve().parents[2]
HANG_S = 120  # protection against hanging only: nothing that passes waits this long
JUPYTER_FOLDERS = ("CONFIG_DIR", "DATA_DIR", "RUNTIME_DIR")


@dataclass
class Ended:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def last_line(self) -> str:
        """What it said last, where errors go."""
        return self.err.replace("\r", "\n").strip().rpartition("\n")[2]

    def well(self) -> str:
        """Make sure that it ended well, and give what it printed."""
        assert self.status == 0, self.err
        return self.out

    def says(self, *parts: str) -> str:
        """Make sure that it ended with a sentence which has these parts in it."""
        assert self.status == 1, (self.status, self.out, self.err)
        assert "Traceback" not in self.err, self.err
        assert self.last_line.startswith("llmlab: "), self.err
        for part in parts:
            assert re.search(part, self.last_line), f"{part!r} is not in {self.last_line!r}"
        return self.last_line


@dataclass
class Learner:
    """Somebody with a home folder, a cache and a pip that knows a folder of wheels at most."""

    home: Path
    cache: Path
    project: Path = ROOT  # the checkout
    changes: dict[str, str] = field(default_factory=dict)  # of the environment
    prefix: tuple[str, ...] = ()  # what a command begins with

    @property
    def environment(self) -> dict[str, str]:
        """This process's, without what would lead to the web, to another cache, or back to make."""
        ours = ("PIP_", "JUPYTER", "LLMLAB_", "IPYTHON", "MAKE", "MFLAGS", "ARGS")
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(ours) and not name.lower().endswith("_proxy")
        }
        kept |= {f"JUPYTER_{name}": str(self.home / name.lower()) for name in JUPYTER_FOLDERS}
        kept |= {
            "LLMLAB_CACHE": str(self.cache),
            "IPYTHONDIR": str(self.home / "ipython"),
            "PYTHONPATH": str(self.project),
            "PYTHONIOENCODING": "utf-8",
            "OMP_NUM_THREADS": "1",
            "NO_PROXY": "127.0.0.1",
            "PIP_CONFIG_FILE": os.devnull,
            "PIP_RETRIES": "0",
            "PIP_DEFAULT_TIMEOUT": "30",
            "PIP_NO_INDEX": "1",
        }
        return kept | self.changes

    def python(self, *arguments: str, cwd: Path | None = None, stdin: str = "") -> Ended:
        """Run Python to its end."""
        done = subprocess.run(
            [*self.prefix, sys.executable, *arguments],
            env=self.environment,
            cwd=cwd or self.home,
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=HANG_S,
        )
        return Ended(done.returncode, done.stdout, done.stderr)

    def llmlab(self, *arguments: str, cwd: Path | None = None, stdin: str = "") -> Ended:
        """Run the llmlab command to its end."""
        return self.python("-m", "llmlab", *arguments, cwd=cwd, stdin=stdin)

    def begin(self, *arguments: str) -> subprocess.Popen:
        """Start the llmlab command; `end_of` waits for it."""
        return subprocess.Popen(
            [*self.prefix, sys.executable, "-m", "llmlab", *arguments],
            env=self.environment,
            cwd=self.home,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
        )

    @contextlib.contextmanager
    def kernel(self, folder: Path | None = None) -> Iterator["Kernel"]:
        """Lend a kernel that runs in a folder, by default that of the notebooks."""
        kernel = Kernel(folder or self.project / "notebooks", self.environment)
        try:
            yield kernel
        finally:
            kernel.stop()

    @contextlib.contextmanager
    def lab(self, *arguments: str) -> Iterator["Lab"]:
        """Start `llmlab lab` without a browser, and stop it at the end."""
        log = self.home / f"lab-{time.monotonic_ns()}.log"
        command = [sys.executable, "-m", "llmlab", "lab", *arguments, "--no-browser"]
        with log.open("w", encoding="utf-8") as file:
            process = subprocess.Popen(
                [*command, "--allow-root"],
                env=self.environment,
                cwd=self.home,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
            )
        try:
            yield Lab(process, self.home / "runtime_dir", log)
        finally:
            process.terminate()
            process.wait(HANG_S)


def end_of(process: subprocess.Popen) -> Ended:
    """Wait for a command that was begun."""
    out, err = process.communicate(timeout=HANG_S)
    return Ended(process.returncode, out, err)


def files_below(folder: Path) -> set[str]:
    """List the files in a folder and below, locks left out."""
    found = {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}
    return {name for name in found if not name.startswith("locks/")}


def cells(stem: str) -> dict[str, str]:
    """Give the source of each code cell of the notebook whose name begins with `stem`, by id."""
    (path,) = (ROOT / "notebooks").glob(f"{stem}_*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    return {cell.id: cell.source for cell in notebook.cells if cell.cell_type == "code"}


def without_asserts(source: str) -> str:
    """Leave out the numbers that a cell holds for sure, which a smaller model cannot reach."""
    return re.sub(r"^assert (.|\n )*$", "", source, flags=re.MULTILINE)


@dataclass
class Cell:
    """What a cell printed, and the last line of its error if it had one."""

    text: str
    error: str | None

    def well(self) -> str:
        """Make sure that there was no error, and give what it printed."""
        assert self.error is None, self.error
        return self.text

    def says(self, *parts: str) -> str:
        """Make sure that the error's last line is a sentence which has these parts in it."""
        assert self.error is not None, f"no error after {self.text!r}"
        for part in parts:
            assert re.search(part, self.error), f"{part!r} is not in {self.error!r}"
        return self.error


class Kernel:
    """A real kernel, as JupyterLab starts one."""

    def __init__(self, folder: Path, environment: dict[str, str]):
        self._settings = {"cwd": str(folder), "env": environment}
        self.start()

    def start(self) -> None:
        """Start it, or a new one after `kill`."""
        self._manager = KernelManager(kernel_name="python3")
        self._manager.start_kernel(**self._settings)
        self._client = self._manager.blocking_client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=HANG_S)

    def run(self, *sources: str) -> Cell:
        """Run cells to their end, or to the first error."""
        ran = Cell("", None)
        for source in sources:
            ran = self.end_of(self.begin(source), text=ran.text)
            if ran.error is not None:
                break
        return ran

    def begin(self, source: str) -> str:
        """Ask for a cell and do not wait for it."""
        return self._client.execute(source)

    def run_until(self, source: str, words: str) -> None:
        """Run a cell until it has printed these words, and leave it running."""
        cell = self.end_of(self.begin(source), until=words)
        assert words in cell.text, cell

    def end_of(self, asked: str, *, text: str = "", until: str | None = None) -> Cell:
        """Listen to what a cell prints, to its end or to the words that are waited for."""
        error = None
        while until is None or until not in text:
            message = self._client.get_iopub_msg(timeout=HANG_S)
            if message["parent_header"].get("msg_id") != asked:
                continue
            kind, content = message["msg_type"], message["content"]
            if kind == "stream" and content["name"] == "stdout":
                text += content["text"]
            elif kind in ("execute_result", "display_data"):
                text += content["data"].get("text/plain", "") + "\n"
            elif kind == "error":
                plain = re.sub(r"\x1b\[[\d;]*m", "", "\n".join(content["traceback"]))
                error = plain.strip().rpartition("\n")[2]
            elif kind == "status" and content["execution_state"] == "idle":
                break
        return Cell(text, error)

    def kill(self) -> None:
        """End it at once, without any chance to tidy up (SIGKILL)."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=True)

    def stop(self) -> None:
        """End it at the end of a test."""
        self.kill()


class Lab:
    """A JupyterLab that was started by `llmlab lab`."""

    def __init__(self, process: subprocess.Popen, runtime: Path, log: Path):
        self._file = runtime / f"jpserver-{process.pid}.json"
        deadline = time.monotonic() + HANG_S
        while True:
            with contextlib.suppress(OSError, json.JSONDecodeError):
                self.told = json.loads(self._file.read_text(encoding="utf-8"))
                self.ask("api/status")
                return
            stopped = process.poll() is not None or time.monotonic() > deadline
            assert not stopped, log.read_text(encoding="utf-8")
            time.sleep(0.1)

    @property
    def port(self) -> int:
        """Where it listens."""
        return self.told["port"]

    def ask(self, path: str) -> dict:
        """Ask for an address of its interface."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}",
            headers={"Authorization": f"token {self.told['token']}"},
        )
        with urllib.request.urlopen(request, timeout=HANG_S) as reply:
            return json.load(reply)
