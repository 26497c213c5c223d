"""A cell in a real JupyterLab and a headless Chromium on this machine, to measure widgets in."""

import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import nbformat

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from browser.attention_explorer_page import AttentionExplorerWidget
from browser.lab import HOW_TO_GET_ONE, LabPage, lab_server, open_chromium
from browser.next_token_page import NextTokenWidget
from browser.token_strip_page import TokenStripWidget

__all__ = ["AttentionExplorerWidget", "NextTokenWidget", "TokenStripWidget", "lab_with"]


@contextmanager
def lab_with(source: str) -> Iterator[LabPage]:
    """Open a notebook of one cell and run it; raises ``RuntimeError`` if that fails."""
    home = tempfile.TemporaryDirectory()
    with home, lab_server(Path(home.name)) as server, open_chromium() as browser:
        if browser is None:
            raise RuntimeError(HOW_TO_GET_ONE)
        lab = LabPage(browser, server)
        lab.open(nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)]))
        lab.run_all()
        if errors := lab.errors():
            raise RuntimeError(f"the notebook failed: {errors}")
        yield lab
        lab.close()
