"""TrainingBoard in JupyterLab: what a person sees while a run goes on, and what stays of it."""

import base64
import json
import math
import re
from itertools import pairwise

import numpy as np
import pytest

from .lab import LabPage, notebook_of
from .lifetime import views_leave_nothing_behind
from .training_board_page import WIDGET, TrainingBoardWidget, seen, watch_drawing

pytestmark = pytest.mark.browser

HOSTILE = "</script><img src=x onerror=alert(1)>"
MEAN = sum(2 + 6.3 * math.exp(-n / 80) + math.sin(n) for n in range(393, 401)) / 8
SETUP = r'''
import math, time
from pathlib import Path
from types import SimpleNamespace
from llmlab.viz import TrainingBoard

HOSTILE = "</script><img src=x onerror=alert(1)>"


def train(count, start=0, stops=()):
    """Steps as fast as a small model makes them; it waits at some for a file of that name."""
    for number in range(start + 1, count + 1):
        while number in stops and not Path(f"go{number}").exists():
            time.sleep(0.01)
        time.sleep(0.004)
        loss = math.nan if number == 151 else 2 + 6.3 * math.exp(-number / 80) + math.sin(number)
        yield SimpleNamespace(number=number, loss=loss, learning_rate=0.02, gradient_norm=1.2,
                              tokens_per_second=12345.6, elapsed=0.12 * (number - start),
                              steps=count, progress=number / count)


def board():
    b = TrainingBoard(f"Learning to translate {HOSTILE}", steps=400,
                      baselines={"a uniform guess": 8.29, HOSTILE: 6.1, "$x$": 6.05})
    b._clock = lambda: 0.03 * (b._number or 0)  # news at every 7th step on every machine
    return b


def run(board, stops=()):
    for step in board.watch(train(400, stops=stops)):
        if step.number in (100, 200, 300, 400):
            board.score("BLEU", 34 * step.number / 400)
            board.sample(step.number, {"This is an example.": "Esto es un ejemplo.",
                                       HOSTILE: f"{step.number} {HOSTILE}"})
'''
RUN = "b = board()\nrun(b, stops=(60, 250))"
NEWS = 7  # steps from one message to the next


def start(lab: LabPage) -> None:
    """Run all cells without waiting for them."""
    lab.page.evaluate("() => { jupyterapp.commands.execute('notebook:run-all-cells'); }")


def go(lab: LabPage, *steps: int) -> None:
    for step in steps:
        (lab.server.root / f"go{step}").touch()


def hold(lab: LabPage) -> None:
    for path in lab.server.root.glob("go*"):
        path.unlink()


def idle(lab: LabPage) -> None:
    lab.wait(
        "() => jupyterapp.shell.currentWidget.sessionContext.session?.kernel?.status === 'idle'"
        " && ![...document.querySelectorAll('.jp-InputPrompt')]"
        ".some((prompt) => prompt.textContent.includes('*'))",
        hang_s=120,
    )


def stored_picture(output) -> bytes:
    return base64.b64decode(output["data"]["image/png"])


@pytest.fixture(scope="module")
def finished(chromium, server):
    """A page in which a run was watched from its beginning to its end."""
    lab = LabPage(chromium, server)
    hold(lab)
    lab.open(notebook_of(SETUP, RUN))
    watch_drawing(lab)
    start(lab)
    lab.moments = {}
    board = TrainingBoardWidget(lab)
    for name, step in {"begin": 59, "middle": 249}.items():
        lab.wait(
            "([root, low]) => root.dataset.latest >= low",
            [board.root.element_handle(), step - NEWS],
        )
        lab.moments[name] = {
            "status": board.status.inner_text(),
            "bar": board.attributes("bar"),
            "state": board.root.get_attribute("data-state"),
            "seen": seen(lab),
        }
        for theme in ("Light", "Dark"):
            lab.theme(f"JupyterLab {theme}")
            lab.screenshot(f"training_board_{name}_{theme.lower()}", board.root)
        lab.theme("JupyterLab Light")
        go(lab, step + 1)
    board.wait_for(state="finished")
    lab.moments["end"] = {"seen": seen(lab)}
    idle(lab)
    yield lab
    lab.close()


@pytest.fixture
def board(finished):
    return TrainingBoardWidget(finished)


def test_progress_and_time_left_are_seen_while_it_runs(finished):
    begin, middle = finished.moments["begin"], finished.moments["middle"]
    assert begin["state"] == middle["state"] == "training"
    assert begin["status"].startswith("step ")
    assert " of 400 · " in begin["status"]
    assert middle["status"].endswith(" s left")
    values = [int(moment["bar"]["valuenow"]) for moment in (begin, middle)]
    assert 0 < values[0] <= 15 < 45 <= values[1] <= 63
    assert (middle["bar"]["valuemin"], middle["bar"]["valuemax"]) == ("0", "100")
    assert middle["bar"]["valuetext"].startswith(f"{values[1]} percent, step ")


def test_nothing_flickers(finished):
    """The same canvas all along, five drawings a second at most, and an output that only grows."""
    last = finished.moments["end"]["seen"]
    assert last["canvases"] == 1
    assert 5 <= last["draws"] <= 120
    heights = last["heights"]
    assert [pair for pair in pairwise(heights) if pair[1] < pair[0]] == []


def test_the_end_of_the_run(finished, board):
    assert board.status.inner_text() == "finished at step 400 after 48 s"
    assert board.note.inner_text() == "the loss was no number at step 151"
    assert board.attributes("bar")["valuenow"] == "100"
    words = " ".join(board.numbers.inner_text().split())
    assert words == (
        f"loss 1.19 mean of the last 8 steps {MEAN:.2f} learning rate 0.0200 "
        "tokens a second 12,300 gradient norm 1.20"
    )
    assert finished.errors() == []


def test_samples_are_a_table_and_text_stays_text(finished, board):
    assert board.rows() == [
        ["sentence", "step 100", "step 200", "step 300", "step 400"],
        ["This is an example.", *["Esto es un ejemplo."] * 4],
        [HOSTILE, *[f"{step} {HOSTILE}" for step in (100, 200, 300, 400)]],
    ]
    assert board.root.locator(".lm-title").inner_text() == f"Learning to translate {HOSTILE}"
    assert board.root.locator("img").count() == 0
    assert finished.dialogs == []
    assert [error for error in finished.console_errors if "onerror" in error] == []


def test_the_saved_output_is_one_output_with_the_final_picture(finished):
    (output,) = finished.cells()[1]["outputs"]
    assert output["data"]["text/plain"] == f"TrainingBoard('Learning to translate {HOSTILE}')"
    assert stored_picture(output).startswith(b"\x89PNG")
    alt = output["metadata"]["image/png"]["alt"]
    assert alt == f"Curve of the loss (nats a token): Learning to translate {HOSTILE}"


def test_the_curve_is_read_by_keyboard(finished, board):
    finished.page.keyboard.press("Escape")
    board.canvas.focus()
    words = board.attributes("canvas")
    assert words["valuetext"] == f"step 400: mean loss {MEAN:.2f}"
    assert words["label"] == "loss (nats a token) by step; arrow keys read the curve"
    press = finished.page.keyboard.press
    read = []
    for key in ("ArrowLeft", "ArrowLeft", "Home", "ArrowRight", "End"):
        press(key)
        board.wait_for_frames()
        read.append(board.reading.inner_text())
        assert board.attributes("canvas")["valuetext"] == read[-1]
    assert read[-1] == f"step 400: mean loss {MEAN:.2f}"
    assert read[2].startswith("step 1: mean loss 9.0")
    assert len(set(read)) == 5 - (read[0] == read[-1])
    assert finished.page.evaluate("() => document.activeElement.tagName") == "CANVAS"
    press("Escape")
    finished.wait("(node) => node.textContent === ''", board.reading.element_handle())


def test_the_curve_is_read_with_the_mouse(finished, board):
    box = board.canvas.bounding_box()
    finished.page.mouse.move(box["x"] + 100, box["y"] + 100)
    finished.wait("(node) => /^step [0-9]+: mean loss/.test(node.textContent)",
                  board.reading.element_handle())  # fmt: skip
    finished.page.mouse.move(0, 0)
    finished.wait("(node) => node.textContent === ''", board.reading.element_handle())


def test_light_dark_and_narrow(finished, board):
    found = {}
    for theme in ("Light", "Dark"):
        finished.theme(f"JupyterLab {theme}")
        board.wait_for_frames()
        found[theme] = board.colours()
        finished.screenshot(f"training_board_end_{theme.lower()}", board.root)
    finished.theme("JupyterLab Light")
    assert "#1976d2" in found["Light"]
    assert "#2196f3" in found["Dark"]
    assert "#1976d2" not in found["Dark"]
    names = board.root.locator(".lm-baselines")
    assert not names.is_visible()
    finished.page.set_viewport_size({"width": 640, "height": 1000})
    finished.wait("(node) => !node.hidden", names.element_handle())
    finished.screenshot("training_board_narrow", board.root)
    assert names.locator(".lm-key").all_inner_texts() == [
        "a uniform guess: 8.29", f"{HOSTILE}: 6.1", "$x$: 6.05"
    ]  # fmt: skip
    sheet, canvas = board.root.locator(".lm-sheet").bounding_box(), board.canvas.bounding_box()
    assert canvas["width"] <= sheet["width"]
    finished.page.set_viewport_size({"width": 1200, "height": 1000})


def test_a_high_contrast_mode_keeps_its_colours(finished, board):
    finished.page.emulate_media(forced_colors="active")
    board.wait_for_frames()
    assert "#1976d2" not in board.colours()
    assert len(board.colours()) > 3
    finished.screenshot("training_board_forced_colours", board.root)
    finished.page.emulate_media(forced_colors="none")


def test_a_reload_shows_the_final_state(finished):
    finished.command("docmanager:save")
    finished.go_to(finished.name)
    board = TrainingBoardWidget(finished)
    board.wait_for(state="finished", latest=400)
    assert board.status.inner_text() == "finished at step 400 after 48 s"
    assert len(board.rows()) == 3


def test_running_the_cell_again_shows_one_new_run(finished):
    finished.run_all()
    board = TrainingBoardWidget(finished)
    board.wait_for(state="finished", latest=400)
    assert finished.page.locator(WIDGET).count() == 1
    assert finished.errors() == []


def test_a_page_opened_while_it_runs_shows_the_run_when_the_kernel_answers(chromium, server):
    """The kernel tells no news of old to a page that comes during a cell; later it has them all."""
    lab = LabPage(chromium, server)
    hold(lab)
    lab.open(notebook_of(SETUP, RUN))
    start(lab)
    board = TrainingBoardWidget(lab)
    lab.wait("(root) => root.dataset.latest >= 50", board.root.element_handle())
    lab.command("docmanager:save")
    lab.go_to(lab.name, kernel=False)
    go(lab, 60, 250)
    board = TrainingBoardWidget(lab)
    board.wait_for(state="finished", latest=400)
    assert len(board.rows()) == 3
    lab.close()


def test_an_interrupted_run_ends_on_what_it_reached(chromium, server):
    lab = LabPage(chromium, server)
    hold(lab)
    lab.open(notebook_of(SETUP, RUN, "1 + 1"))
    start(lab)
    board = TrainingBoardWidget(lab)
    lab.wait("(root) => root.dataset.latest >= 50", board.root.element_handle())
    lab.command("notebook:interrupt-kernel")
    board.wait_for(state="stopped")
    assert re.match(r"stopped at step \d\d+ of 400 after \d+ s", board.status.inner_text())
    idle(lab)
    (output, error) = lab.cells()[1]["outputs"]
    assert error["ename"] == "KeyboardInterrupt"
    assert stored_picture(output).startswith(b"\x89PNG")
    lab.screenshot("training_board_stopped", board.root)
    lab.close()


def test_two_views_show_the_same_and_steps_can_be_added_by_hand(lab):
    lab.open(
        notebook_of(
            SETUP,
            "b = board()\nb",
            "b",
            "for step in train(100):\n    b.add(step)\nb.finish()",
        )
    )
    lab.run_all()
    assert lab.errors() == []
    boards = [TrainingBoardWidget(lab, index) for index in range(2)]
    for board in boards:
        board.wait_for(latest=100)
    assert {board.status.inner_text() for board in boards} == {"finished at step 100 after 12 s"}
    pictures = [board.canvas.evaluate("canvas => canvas.toDataURL()") for board in boards]
    assert pictures[0] == pictures[1]


def test_closed_views_leave_nothing_behind(lab):
    run = {
        "title": "T", "label": "loss", "baselines": [["a", 3.0]], "scores": [], "state": "waiting",
        "status": "", "numbers": [], "note": "", "mean": "mean", "first": 0, "steps": None,
        "progress": None, "log": False,
    }  # fmt: skip
    traits = {
        "run": run,
        "curves": np.zeros(2, "<u4").tobytes(),
        "samples": json.dumps([]).encode(),
    }
    views_leave_nothing_behind(lab, "training_board.js", traits)
