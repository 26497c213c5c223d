"""Run notebooks from top to bottom and store their outputs.

``python notebooks/refresh.py`` does all of them, ``… refresh.py 01 04`` those two.

Outputs and execution counts are kept, since the tests compare them; times and
versions that would change with every run are left out. Exercise cells are written
from `llmlab.exercises`, their home. A notebook is rewritten only if all cells ran.
"""

import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from tqdm import tqdm

from llmlab.exercises.shelf import NOTEBOOKS, exercises
from llmlab.threads import share_cores

FOLDER = Path(__file__).parent


def refresh(path: Path) -> None:
    """Run one notebook and write it back, whole or not at all."""
    notebook = nbformat.read(path, as_version=4)
    write_exercises(notebook, path.stem)
    client = NotebookClient(
        notebook,
        timeout=900,
        record_timing=False,
        resources={"metadata": {"path": str(FOLDER)}},
    )
    client.execute()
    normalise(notebook)
    partial = path.with_suffix(".part")
    nbformat.write(notebook, partial)
    partial.replace(path)


def write_exercises(notebook: nbformat.NotebookNode, stem: str) -> None:
    """Put the prompts and blank stubs of its exercises into a notebook's cells.

    The cells of an exercise that has none yet come in front of the closing cell.
    """
    cells = {cell.id: cell for cell in notebook.cells}
    make = (nbformat.v4.new_markdown_cell, nbformat.v4.new_code_cell)
    for module, notebook_of_module in NOTEBOOKS.items():
        for exercise in exercises(module) if notebook_of_module == stem else ():
            for (cell_id, text), new_cell in zip(exercise.cells.items(), make):
                if cell_id not in cells:
                    cells[cell_id] = new_cell(id=cell_id)
                    notebook.cells.insert(-1, cells[cell_id])
                cells[cell_id].source = text


def normalise(notebook: nbformat.NotebookNode) -> None:
    """Drop what differs from run to run: widget state, Python's version, times."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata.language_info = {"name": "python"}
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(
                "application/vnd.jupyter.widget-view+json", None
            )
        if cell.cell_type == "code":
            cell.outputs = _joined(cell.outputs)


def _joined(outputs: list) -> list:
    """Join pieces of one stream, which arrive in a different number each time."""
    joined: list = []
    for output in outputs:
        same = (
            joined
            and output.output_type == "stream"
            and joined[-1].output_type == "stream"
        )
        if same and joined[-1].name == output.name:
            joined[-1].text += output.text
        else:
            joined.append(output)
    return [output for output in joined if output.get("name") != "stderr"]


def main(names: list[str]) -> None:
    """Refresh the notebooks whose names begin with one of `names`, or all."""
    paths = sorted(FOLDER.glob("*.ipynb"))
    chosen = [
        p for p in paths if not names or any(p.name.startswith(n) for n in names)
    ]
    if not chosen:
        sys.exit(
            f"no notebook begins with {' or '.join(names)}; there are "
            f"{', '.join(path.name for path in paths)}"
        )
    share_cores()
    for path in (bar := tqdm(chosen, unit=" notebooks")):
        bar.set_postfix_str(path.name)
        refresh(path)


if __name__ == "__main__":
    main(sys.argv[1:])
