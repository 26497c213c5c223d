"""A cell may send any number of messages, as a training board does in an hour."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat

ROOT = Path(__file__).parents[2]
MANY = """\
from IPython.display import display
handle = display("0", display_id=True)
for number in range(5_000):
    handle.update(str(number) * 500)
"""


def test_a_cell_with_many_messages_is_heard_to_its_end(tmp_path):
    book = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(MANY)])
    nbformat.write(book, tmp_path / "many.ipynb")
    shutil.copy(ROOT / "conftest.py", tmp_path)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--nbval-lax", "-p", "no:cacheprovider", "many.ipynb"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )
    assert done.returncode == 0, done.stdout
