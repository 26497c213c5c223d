"""What `llmlab class report` knows of hand-ins, without running anything in them."""

import csv
import io
import json
import os

import nbformat
import pytest

from llmlab import cli
from llmlab.classroom.editions import learner_edition, solved_edition
from llmlab.classroom.report import STATES, read_folder, read_notebook
from llmlab.exercises import check
from llmlab.exercises.shelf import find

from .series import FOLDER, by_id, code_cell_id, exercises_of, read, write

STEM = "02_tokens"
IDS = [exercise.id for exercise in exercises_of(STEM)]
PAIR, MERGE, ENCODE, ROUND, WORDS = (exercise.id for exercise in exercises_of(STEM))


@pytest.fixture(scope="module")
def solved():
    return solved_edition(read(FOLDER / f"{STEM}.ipynb"), exercises_of(STEM))


@pytest.fixture(scope="module")
def blank():
    return learner_edition(read(FOLDER / f"{STEM}.ipynb"), exercises_of(STEM))


def wrong(pieces):
    return 1, 2


def card(id, answer):
    """The output that a notebook stores of a check."""
    return nbformat.v4.new_output("execute_result", data={"text/plain": repr(check(id, answer))})


def cell(*sources, outputs=()):
    cells = [nbformat.v4.new_code_cell(source) for source in sources]
    cells[-1].outputs = list(outputs)
    return nbformat.v4.new_notebook(cells=cells)


def hand_in(tmp_path, notebook, name="ada/02_tokens.ipynb"):
    path = tmp_path / name
    write(notebook, path)
    return path


def test_every_state(tmp_path, blank, solved):
    notebook = nbformat.from_dict(json.loads(json.dumps(blank)))
    cells, right = by_id(notebook), by_id(solved)
    code = {id: code_cell_id(find(id)) for id in IDS}
    cells[code[PAIR]].update(right[code[PAIR]])
    cells[code[MERGE]].source = f"def my_apply_merge(ids):\n    return 1\n\n\n{find(MERGE).call}"
    cells[code[MERGE]].outputs = [card(MERGE, wrong)]
    cells[code[ENCODE]].source = right[code[ENCODE]].source  # written, and never run
    notebook.cells.remove(cells[code[WORDS]])
    assert read_notebook(hand_in(tmp_path, notebook)) == {
        PAIR: "passed",
        MERGE: "not yet",
        ENCODE: "not run",
        ROUND: "blank",
    }


def test_blank_and_solved_editions(tmp_path, blank, solved):
    assert read_notebook(hand_in(tmp_path, blank)) == dict.fromkeys(IDS, "blank")
    assert read_notebook(hand_in(tmp_path, solved)) == dict.fromkeys(IDS, "passed")
    series = read_notebook(FOLDER / f"{STEM}.ipynb")  # run, with nothing filled in
    assert series == dict.fromkeys(IDS, "blank")


def test_a_passed_card_under_a_blank_stub_does_not_count(tmp_path):
    exercise = find(PAIR)
    forged = cell(list(exercise.cells.values())[1], outputs=[card(PAIR, exercise.answer)])
    assert read_notebook(hand_in(tmp_path, forged)) == {PAIR: "blank"}


def test_the_card_of_another_exercise_does_not_count(tmp_path):
    source = f"{find(MERGE).solved}\n{find(MERGE).call}"
    borrowed = cell(source, outputs=[card(PAIR, find(PAIR).answer)])
    assert read_notebook(hand_in(tmp_path, borrowed)) == {MERGE: "not run"}


def test_comments_and_spaces_do_not_make_an_attempt(tmp_path):
    stub = list(find(PAIR).cells.values())[1].replace("return ...", "return ...  # later!")
    assert read_notebook(hand_in(tmp_path, cell(stub))) == {PAIR: "blank"}


def test_a_check_in_a_cell_of_its_own(tmp_path):
    done = cell(find(PAIR).solved, find(PAIR).call, outputs=[card(PAIR, find(PAIR).answer)])
    assert read_notebook(hand_in(tmp_path, done)) == {PAIR: "passed"}
    undone = cell(find(PAIR).stub, find(PAIR).call, outputs=[card(PAIR, None)])
    assert read_notebook(hand_in(tmp_path, undone)) == {PAIR: "blank"}


def test_the_last_of_several_checks_counts_in_a_cell_and_the_best_of_several_cells(tmp_path):
    right, not_yet = card(PAIR, find(PAIR).answer), card(PAIR, wrong)
    source = f"{find(PAIR).solved}\n{find(PAIR).call}"
    assert read_notebook(hand_in(tmp_path, cell(source, outputs=[right, not_yet]))) == {
        PAIR: "not yet"
    }
    both = cell(source, outputs=[right])
    both.cells += cell(source, outputs=[not_yet]).cells
    assert read_notebook(hand_in(tmp_path, both)) == {PAIR: "passed"}


def test_code_that_is_no_python_is_an_attempt(tmp_path):
    source = f"def my_encode(text, merges)\n    return ids\n{find(ENCODE).call}"
    assert read_notebook(hand_in(tmp_path, cell(source))) == {ENCODE: "not run"}
    magic = f"%time\n{find(ENCODE).solved}\n{find(ENCODE).call}"
    assert read_notebook(hand_in(tmp_path, cell(magic))) == {ENCODE: "not run"}


def test_nothing_in_a_hand_in_is_run(tmp_path):
    trap = tmp_path / "trap"
    source = f"open({str(trap)!r}, 'w')\n{find(PAIR).solved}\n{find(PAIR).call}"
    read_folder(hand_in(tmp_path, cell(source)).parents[1])
    assert not trap.exists()


@pytest.mark.parametrize(
    ("place", "learner"),
    [
        ("ada/02_tokens.ipynb", "ada"),
        ("ada/02_tokens/02_tokens.ipynb", "ada"),
        ("02_tokens/ada.ipynb", "ada"),
        ("ada_02_tokens.ipynb", "ada"),
        ("02_tokens-ada.ipynb", "ada"),
        ("Zoë Müller/work/02_tokens (2).ipynb", "Zoë Müller"),
        ("02_tokens - Zoë Müller (1).ipynb", "Zoë Müller"),
        ("ada_02_tokens-Copy1.ipynb", "ada"),
        ("Ada L_8141_assignsubmission_file/02_tokens.ipynb", "Ada L"),
        ("02_tokens.ipynb", "class 10b"),
        ("tokens of ada.ipynb", "tokens of ada"),
        ("Copy of 02_tokens.ipynb", "class 10b"),
        ("02_tokens_Procopie.ipynb", "Procopie"),
        ("Ada L_8141_assignsubmission_file_02_tokens.ipynb", "Ada L"),
        ("Zoe\u0308/02_tokens.ipynb", "Zo\u00eb"),
        ("bad\x1b[2Jname/02_tokens.ipynb", "bad\ufffd[2Jname"),
    ],
)
def test_whose_it_is(tmp_path, blank, place, learner):
    folder = tmp_path / "class 10b"
    hand_in(folder, blank, place)
    assert list(read_folder(folder).states) == [learner]


def test_of_several_copies_the_best_counts(tmp_path, blank, solved):
    hand_in(tmp_path, blank, "ada/02_tokens.ipynb")
    hand_in(tmp_path, solved, "ada/02_tokens (1).ipynb")
    hand_in(tmp_path, blank, "ada/.ipynb_checkpoints/02_tokens-checkpoint.ipynb")
    hand_in(tmp_path, blank, "__MACOSX/02_tokens.ipynb")
    report = read_folder(tmp_path)
    assert list(report.states) == ["ada"]
    assert report.n_passed("ada") == len(IDS)


DAMAGED = {
    "empty": b"",
    "half": b'{"cells": [{"cell_type": "code", "sou',
    "binary": b"\x00\xff\xfe\x89PNG",
    "html": b"<html>Sign in</html>",
    "list": b"[]",
    "number": b"7",
    "no cells": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}}',
    "odd cells": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [3, null]}',
    "odd source": b'{"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": '
    b'[{"cell_type": "code", "source": 7, "outputs": 7}]}',
    "deep": b"[" * 100_000,
    "other": json.dumps(nbformat.v4.new_notebook()).encode(),
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED.keys())
def test_a_damaged_file_is_named_and_the_others_are_read(tmp_path, solved, content):
    hand_in(tmp_path, solved, "ada/02_tokens.ipynb")
    damaged = tmp_path / "bob" / "02_tokens.ipynb"
    damaged.parent.mkdir()
    damaged.write_bytes(content)
    report = read_folder(tmp_path)
    assert list(report.states) == ["ada"]
    (sentence,) = report.unread
    assert sentence.startswith(str(damaged.relative_to(tmp_path)))
    assert sentence.endswith(("is no notebook, or a damaged one", "holds no exercise of llmlab"))
    assert sentence in str(report)


def test_outputs_may_be_anything(tmp_path):
    notebook = cell(f"{find(PAIR).solved}\n{find(PAIR).call}")
    notebook.cells[0].outputs = [
        {},
        {"data": 3},
        {"output_type": "execute_result", "data": {"text/plain": [1]}},
        {"output_type": "stream", "name": "stdout", "text": f"✓ {PAIR}: passed"},
    ]
    assert read_notebook(hand_in(tmp_path, notebook)) == {PAIR: "not run"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="Windows has no such files")
def test_what_no_notebook_can_be_is_not_waited_for(tmp_path, solved):
    real = hand_in(tmp_path, solved, "ada/02_tokens.ipynb")
    (tmp_path / "bob").mkdir()
    os.mkfifo(tmp_path / "bob" / "02_tokens.ipynb")  # to read it would take for ever
    (tmp_path / "cy").mkdir()
    (tmp_path / "cy" / "02_tokens.ipynb").symlink_to(real)  # another's work
    (tmp_path / "di" / "02_tokens.ipynb").mkdir(parents=True)
    (tmp_path / "ed").mkdir()
    with (tmp_path / "ed" / "02_tokens.ipynb").open("wb") as file:
        file.truncate(200 * 10**6)
    report = read_folder(tmp_path)
    assert list(report.states) == ["ada"]
    assert [sentence[:2] for sentence in report.unread] == ["bo", "cy", "di", "ed"]
    assert "is no file" in report.unread[0]
    assert "is larger than 50 MB" in report.unread[3]


@pytest.mark.parametrize(
    "code",
    ["1" + "+1" * 20_000, "a" + ".b" * 5_000, "-" * 20_000 + "1", "0x" + "f" * 5_000, r'"\d"'],
    ids=["sum", "dots", "minus", "digits", "escape"],
)
def test_code_that_is_hard_to_read_is_an_attempt(tmp_path, code):
    source = f"{find(PAIR).solved}\nx = {code}\n{find(PAIR).call}"
    passed = cell(source, outputs=[card(PAIR, find(PAIR).answer)])
    assert read_notebook(hand_in(tmp_path, passed)) == {PAIR: "passed"}


def test_only_the_title_of_a_card_counts(tmp_path):
    def boast(pieces):
        raise ValueError(f"\n✓ {PAIR}: passed")

    source = f"{find(PAIR).solved}\n{find(PAIR).call}"
    assert f"\n✓ {PAIR}: passed" in card(PAIR, boast).data["text/plain"]
    boasting = cell(source, outputs=[card(PAIR, boast)])
    assert read_notebook(hand_in(tmp_path, boasting)) == {PAIR: "not yet"}


def test_an_answer_without_its_check_is_an_attempt(tmp_path, blank):
    notebook = nbformat.from_dict(json.loads(json.dumps(blank)))
    by_id(notebook)[code_cell_id(find(PAIR))].source = find(PAIR).solved
    assert read_notebook(hand_in(tmp_path, notebook))[PAIR] == "not run"


def test_a_text_about_an_exercise_is_none(tmp_path):
    text = nbformat.v4.new_markdown_cell(f'I ran check("{PAIR}", f).')
    only_text = nbformat.v4.new_notebook(cells=[text])
    with pytest.raises(ValueError, match="holds no exercise"):
        read_notebook(hand_in(tmp_path, only_text))


def test_a_mark_of_byte_order_is_read_over(tmp_path, blank):
    path = hand_in(tmp_path, blank)
    path.write_text(path.read_text("utf-8"), encoding="utf-8-sig")
    assert read_notebook(path)[PAIR] == "blank"


def test_folders_that_are_no_learners_are_named(tmp_path, blank):
    hand_in(tmp_path, blank, "ada/02_tokens.ipynb")
    hand_in(tmp_path, blank, "cy/02_tokens/02_tokens.ipynb")
    hand_in(tmp_path, blank, "week 1/bob/02_tokens.ipynb")
    hand_in(tmp_path, blank, "week 1/di/02_tokens.ipynb")
    (tmp_path / "eve").mkdir()
    (tmp_path / "eve" / "02_tokens.zip").touch()
    report = read_folder(tmp_path)
    assert report.unread == [
        "eve: holds no notebook (.ipynb)",
        "week 1: was read as one learner; if bob, di are learners, report on week 1",
    ]


@pytest.mark.skipif(os.name == "nt", reason="Windows refuses such names")
def test_names_of_damaged_files_are_harmless_too(tmp_path, solved):
    hand_in(tmp_path, solved, "ada/02_tokens.ipynb")
    damaged = tmp_path / "a\x1b[31mb\nc" / "02_tokens.ipynb"
    damaged.parent.mkdir()
    damaged.touch()
    (sentence,) = read_folder(tmp_path).unread
    assert sentence.isprintable()


def test_an_old_form_of_notebook_is_read(tmp_path):
    source = list(find(PAIR).cells.values())[1]
    old = {
        "nbformat": 3,
        "nbformat_minor": 0,
        "metadata": {},
        "worksheets": [
            {
                "cells": [
                    {
                        "cell_type": "code",
                        "input": source,
                        "outputs": [],
                        "language": "python",
                        "collapsed": False,
                        "metadata": {},
                    }
                ],
                "metadata": {},
            }
        ],
    }
    assert read_notebook(hand_in(tmp_path, old)) == {PAIR: "blank"}


@pytest.fixture
def folder(tmp_path, blank, solved):
    hand_in(tmp_path, solved, "ada/02_tokens.ipynb")
    hand_in(tmp_path, blank, "=cmd/02_tokens.ipynb")
    other = cell(list(find("gpt.block").cells.values())[1])
    hand_in(tmp_path, other, "Bo/06_gpt.ipynb")
    return tmp_path


def test_the_tables(folder, capsys):
    assert cli.main(["class", "report", str(folder)]) == 0
    lines = [line.rstrip() for line in capsys.readouterr().out.splitlines()]
    assert lines[:4] == [
        "passed  02    06    all",
        "=cmd    0/5   0/5   0/10",
        "ada     5/5   0/5   5/10",
        "Bo      0/5   0/5   0/10",
    ]
    table = lines.index("02_tokens")
    assert lines[table + 1].split() == [id.partition(".")[2] for id in IDS]
    assert lines[table + 2].split() == ["=cmd", *"○○○○○"]
    assert lines[table + 3].split() == ["ada", *"✓✓✓✓✓"]
    assert lines[table + 4].split() == ["Bo", *"·····"]
    assert lines[table + 5].split() == ["passed", "by", *["1/3"] * 5]
    legend = [words for state, words in STATES.values() if state in lines[-1]]
    assert "passed" in legend
    assert all(words in lines[-1] for words in legend)


def test_a_console_without_the_signs_gets_letters(folder, monkeypatch):
    console = io.TextIOWrapper(io.BytesIO(), encoding="cp1252", errors="replace")
    monkeypatch.setattr("sys.stdout", console)
    assert cli.main(["class", "report", str(folder)]) == 0
    console.flush()
    shown = console.buffer.getvalue().decode("cp1252")
    assert "P passed" in shown
    assert ["ada", *"PPPPP"] in [line.split() for line in shown.splitlines()]


def test_the_csv_opens_in_a_spreadsheet(folder, capsys):
    file = folder / "Übersicht.csv"
    assert cli.main(["class", "report", str(folder), "--csv", str(file)]) == 0
    assert file.read_bytes().startswith(b"\xef\xbb\xbf")
    rows = list(csv.DictReader(io.StringIO(file.read_text("utf-8-sig"))))
    assert [row["learner"] for row in rows] == ["'=cmd", "ada", "Bo"]  # a name, and no formula
    assert [row["passed"] for row in rows] == ["0", "5", "0"]
    assert rows[1][PAIR] == "passed"
    assert rows[2]["gpt.block"] == "blank"
    assert rows[2][PAIR] == "absent"


@pytest.mark.parametrize("name", ["nowhere", "file", "empty"])
def test_a_folder_without_hand_ins_says_so(tmp_path, capsys, name):
    (tmp_path / "file").touch()
    (tmp_path / "empty").mkdir()
    assert cli.main(["class", "report", str(tmp_path / name)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("llmlab: ")
    assert ("is no folder" in said) == (name != "empty")
    assert ("there is no notebook" in said) == (name == "empty")


def test_a_folder_of_damaged_files_is_a_failure_and_spoils_no_table(tmp_path, capsys):
    (tmp_path / "02_tokens.ipynb").write_bytes(b"")
    table = tmp_path / "marks.csv"
    table.write_text("of last week", encoding="utf-8")
    assert cli.main(["class", "report", str(tmp_path), "--csv", str(table)]) == 1
    assert "02_tokens.ipynb: is no notebook" in capsys.readouterr().out
    assert table.read_text("utf-8") == "of last week"


def test_a_csv_that_cannot_be_written_says_so(folder, capsys):
    assert cli.main(["class", "report", str(folder), "--csv", str(folder)]) == 1
    assert str(folder) in capsys.readouterr().err


def test_build_from_the_command_line(tmp_path, capsys):
    out = tmp_path / "out"
    assert cli.main(["class", "build", str(out), "--notebook", "02", "--notebook", "06"]) == 0
    assert "2 notebooks with 10 exercises" in capsys.readouterr().out
    assert cli.main(["class", "report", str(out / "solved")]) == 0
    assert cli.main(["class", "build", str(out)]) == 1
    assert "is not empty" in capsys.readouterr().err
    assert cli.main(["class", "build", str(tmp_path / "no"), "--notebook", "99"]) == 1
    assert "notebook '99' was not found" in capsys.readouterr().err
    assert not (tmp_path / "no").exists()
