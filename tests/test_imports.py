"""Which part may import which, and that importing the package loads nothing heavy."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import llmlab

PACKAGE = Path(llmlab.__file__).parent
MAY_IMPORT = {
    "data": set(),
    "device": set(),
    "threads": set(),
    "viz": set(),
    "text": {"data"},
    "model": {"data", "device", "text"},
    "train": {"data", "device", "text", "model"},
    "inference": {"data", "device", "text", "model", "train"},
    "exercises": {"data", "text", "model", "inference"},
    "doctor": {"data", "device", "text", "model", "inference"},
    "classroom": {"exercises"},
    "recipes": {"data", "device", "text", "model", "train", "inference"},
    "pretraining": {"data", "device", "text", "model", "train", "inference"},
    "cli": {
        *("data", "device", "model", "train", "inference"),
        *("classroom", "doctor", "pretraining", "recipes", "threads", "viz"),
    },
    "__main__": {"cli"},
}


def imported(source: str) -> set[str]:
    """List the parts of llmlab that a file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are written out, not relative"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = {name.split(".")[1] for name in names if name.startswith("llmlab.")}
    return parts - {"__version__"}


FILES = [
    path.relative_to(PACKAGE)
    for path in sorted(PACKAGE.rglob("*.py"))
    if path != PACKAGE / "__init__.py"
]


@pytest.mark.parametrize("path", FILES, ids=Path.as_posix)
def test_imports_point_the_way_the_text_flows(path):
    part = path.parts[0].removesuffix(".py")
    assert part in MAY_IMPORT, f"say in MAY_IMPORT what llmlab.{part} may import"
    found = imported((PACKAGE / path).read_text(encoding="utf-8"))
    assert found - {part} <= MAY_IMPORT[part]


def test_the_top_imports_nothing():
    assert imported((PACKAGE / "__init__.py").read_text(encoding="utf-8")) == set()


@pytest.mark.parametrize(
    "source",
    [
        "import llmlab.model",
        "def f():\n    from llmlab import model",
        "from llmlab.model import ops",
    ],
)
def test_every_way_to_import_is_seen(source):
    assert imported(source) == {"model"}


HEAVY = {
    "torch",
    "numpy",
    "tiktoken",
    "transformers",
    "matplotlib",
    "gguf",
    "IPython",
    "ipywidgets",
}


@pytest.mark.parametrize("module", ["llmlab", "llmlab.data", "llmlab.cli"])
def test_importing_loads_nothing_heavy(module):
    code = f"import sys, {module}; print(*sorted(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    loaded = set(done.stdout.split())
    assert module in loaded
    assert loaded & HEAVY == set()


@pytest.mark.parametrize(
    "part", ["text", "model", "train", "inference", "pretraining", "exercises", "viz"]
)
def test_what_a_part_promises_it_has(part):
    module = __import__(f"llmlab.{part}", fromlist=["__all__"])
    for name in module.__all__:
        assert getattr(module, name) is not None
        assert name in module.__doc__
