"""The series and its exercises, as tests of a class need them."""

import ast
import json
from pathlib import Path

import nbformat

from llmlab.exercises.shelf import NOTEBOOKS, exercises

FOLDER = Path(__file__).parents[2] / "notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
MODULES = {stem: module for module, stem in NOTEBOOKS.items()}


def exercises_of(stem):
    return exercises(MODULES[stem])


def read(path):
    return nbformat.read(path, as_version=4)


def by_id(notebook):
    return {cell.id: cell for cell in notebook.cells}


def code_cell_id(exercise):
    return list(exercise.cells)[1]


def run(source, names):
    """Run a cell as a notebook does, and return the value of its last line."""
    *before, last = ast.parse(source).body
    exec(compile(ast.Module(before, []), "cell", "exec"), names)
    if not isinstance(last, ast.Expr):
        exec(compile(ast.Module([last], []), "cell", "exec"), names)
        return None
    return eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def write(notebook, path):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(notebook), encoding="utf-8")
