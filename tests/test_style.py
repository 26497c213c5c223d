import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("arguments", [["check"], ["format", "--check"]], ids=" ".join)
def test_ruff_finds_nothing(arguments):
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *arguments, str(ROOT)], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr


def markdown_files():
    kept = (path for path in ROOT.rglob("*.md") if ".venv" not in path.parts)
    return [path for path in kept if "artefacts" not in path.parts]


@pytest.mark.parametrize("path", markdown_files(), ids=lambda path: path.name)
def test_links_inside_the_repository_lead_somewhere(path):
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)", text) + re.findall(r'(?:src|href)="([^"#]+)"', text)
    missing = [link for link in links if "://" not in link and not (path.parent / link).exists()]
    assert not missing
