"""Everything in folders with spaces and umlauts: the checkout, the cache, what is written."""

import json
import shutil

import nbformat
import pytest

from llmlab.exercises.shelf import exercises

from .learner import ROOT, cells, files_below
from .recipes import write_recipe

SAVE = """
import torch
from pathlib import Path
from llmlab.model import GPT, GPTConfig
from llmlab.train import load_checkpoint, save_checkpoint
Path("größe 1").mkdir()
path = Path("größe 1") / "mein Modell.safetensors"
saved = GPT(GPTConfig(vocab_size=40, context=16, width=32, n_heads=2, n_layers=1))
save_checkpoint(path, saved, extra={"größe": 1})
loaded = load_checkpoint(path)
same = all(torch.equal(*pair) for pair in zip(saved.parameters(), loaded.model.parameters()))
print(same, loaded.extra, [path.name for path in path.parent.iterdir()])
"""


@pytest.fixture
def learner(learner, tmp_path):
    """Somebody with a checkout of their own."""
    folder = tmp_path / "Meine Übungen" / "größe 1"
    learner.project = folder / "llm lab"
    for name in ("llmlab", "notebooks"):
        unwanted = shutil.ignore_patterns("__pycache__", ".ipynb_checkpoints", "*.safetensors.*")
        shutil.copytree(ROOT / name, learner.project / name, ignore=unwanted)
    shutil.copy(ROOT / "pyproject.toml", learner.project)
    learner.home = folder / "zu Hause"
    learner.home.mkdir()
    learner.cache = folder / "der Zwischenspeicher für alle"
    return learner


def test_fetch(learner, wheels, tmp_path):
    odd = wheels.rename(tmp_path / "die Räder")
    learner.changes["PIP_FIND_LINKS"] = odd.as_uri()  # pip splits a plain path at its spaces
    assert str(learner.cache) in learner.llmlab("fetch", "sms-spam").well()
    assert len(files_below(learner.cache)) == 1


@pytest.mark.slow
def test_doctor(learner, put):
    put("sms-spam")
    printed = learner.llmlab("doctor").out
    assert f"ok    cache folder {learner.cache}\n" in printed
    assert "ok    sms-spam is in the cache\n" in printed
    ours = learner.python("-c", "import llmlab; print(llmlab.__file__)").well()
    assert ours.startswith(str(learner.project)), "another llmlab was tested"


@pytest.mark.slow
def test_lab_opens_a_notebook(learner):
    with learner.lab("04", "--port=0") as lab:
        assert lab.told["root_dir"] == str(learner.project / "notebooks")
        assert lab.ask("api/contents/04_attention.ipynb")["type"] == "notebook"


@pytest.mark.slow
def test_the_first_cells_of_a_notebook_and_a_checkpoint(learner, tiny_model):
    first = cells("01")["load"]
    with learner.kernel() as kernel:
        kernel.run(first).well()
        assert tiny_model.exists()
        printed = kernel.run(SAVE).well()
    assert printed == "True {'größe': 1} ['mein Modell.safetensors']\n"
    assert (learner.project / "notebooks" / "größe 1" / "mein Modell.safetensors").exists()


@pytest.mark.slow
def test_a_training(learner):
    recipe = write_recipe(learner.home, steps=2)
    ended = learner.llmlab("train", recipe, "--output", "größe 1.safetensors")
    assert '"größe 1.safetensors"' in ended.well()
    assert (learner.home / "größe 1.safetensors").exists()


@pytest.mark.slow
def test_refreshing_writes_the_exercises_into_a_notebook(learner):
    """The notebook keeps its exercises only, so that running it takes no time."""
    (path,) = (learner.project / "notebooks").glob("01_*.ipynb")
    notebook = nbformat.read(path, as_version=4)
    texts = {name: text for each in exercises("llm") for name, text in each.cells.items()}
    notebook.cells = [cell for cell in notebook.cells if cell.id.startswith("exercise")]
    for cell in notebook.cells:
        if cell.id in texts:
            cell.source = "lost"
    nbformat.write(notebook, path)
    learner.python(str(learner.project / "notebooks" / "refresh.py"), "01").well()
    after = json.loads(path.read_text(encoding="utf-8"))
    found = {cell["id"]: "".join(cell["source"]) for cell in after["cells"]}
    assert texts.items() <= found.items()
    printed = json.dumps([cell.get("outputs") for cell in after["cells"]])
    assert printed.count("not attempted yet") >= 3
    assert not list(path.parent.glob("*.part"))
