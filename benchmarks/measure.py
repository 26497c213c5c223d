"""What every benchmark here shares: a row of the table, timing, and the machine's description."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Row:
    """One line of the table: what was measured, what came out, what it should be."""

    what: str
    measured: str
    target: str = ""
    met: bool | None = None

    def markdown(self) -> str:
        """Write the line as a row of a markdown table."""
        verdict = {None: "", True: "yes", False: "**no**"}[self.met]
        return f"| {self.what} | {self.measured} | {self.target} | {verdict} |"


def best_seconds(function: Callable[[], object], *, repeats: int) -> float:
    """Time a call several times and keep the shortest, the one least disturbed."""
    return min(seconds(function) for _ in range(repeats))


def seconds(function: Callable[[], object]) -> float:
    """Time one call."""
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def machine() -> str:
    """Name the processor, its cores as this process sees them, and the versions that matter."""
    import torch

    names = ("torch", "transformers", "tiktoken", "jupyterlab", "anywidget")
    versions = ", ".join(f"{name} {version(name)}" for name in names)
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "no GPU"
    return (
        f"{_processor()}, {os.cpu_count()} cores ({torch.get_num_threads()} threads, "
        f"{torch.backends.cpu.get_cpu_capability()}), {gpu}; "
        f"{platform.system()}, Python {platform.python_version()}, {versions}"
    )


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        for line in cpuinfo.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
