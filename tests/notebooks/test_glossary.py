"""The glossary keeps to the notebooks: a word is linked where it is first explained."""

import re
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import nbformat
import pytest

ROOT = Path(__file__).parents[2]
GLOSSARY = ROOT / "docs" / "glossary.md"

# A word that earlier notebooks use before the one which explains it: which of them, and why.
EARLIER = {
    "attention": ({3}, "says what notebook 4 will be about"),
    "batch": ({1}, "the everyday word: many predictions at once"),
    "block": ({5}, "says what the printed code calls a layer"),
    "forget": ({5, 6}, "the everyday word: somebody leaves a step out"),
    "key": ({1, 2, 3}, "the keys of a keyboard"),
    "query": ({3}, "the word whose neighbours are looked for"),
    "rank": ({3, 6}, "a place in an order"),
    "Transformer": ({3}, "names a paper by its subject"),
    "value": ({1, 3}, "the everyday word for a number"),
    "weight": ({3}, "says what notebook 4 will be about"),
}


class Entry(NamedTuple):
    term: str
    also: tuple[str, ...]
    text: str
    links: tuple[str, ...]
    letter: str

    @property
    def names(self):
        return (self.term, *self.also)

    @property
    def numbers(self):
        return [int(link) for link in re.findall(r"/(\d\d)_\w+\.ipynb", " ".join(self.links))]


def read_glossary(markdown):
    found, letter = [], ""
    for block in re.split(r"\n(?=- |## )", markdown):
        if heading := re.match(r"## (.+)", block):
            letter = heading[1]
        if not block.startswith("- "):
            continue
        line = " ".join(block.split())
        parts = re.fullmatch(r"- \*\*(.+?)\*\*(?: \(also: (.+?)\))?: (.*)", line)
        assert parts, f"not of the form “- **term** (also: name, name): text”: {line}"
        term, also, body = parts.groups()
        text = re.sub(r"\[[^\]]*\]\([^)]*\)", "", body).strip()
        links = tuple(re.findall(r"\]\(([^)]*)\)", body))
        others = tuple(also.split(", ")) if also else ()
        found.append(Entry(term, others, text, links, letter))
    return found


def prose(source):
    """What is left of a markdown cell without its code, formulas, links and list of papers."""
    source = re.sub(r"\*\*Read on\.\*\*.*", "", source, flags=re.DOTALL)
    source = re.sub(r"```.*?```", " ", source, flags=re.DOTALL)
    source = re.sub(r"\$\$.*?\$\$", " ", source, flags=re.DOTALL)
    source = re.sub(r"`[^`]*`|\$[^$\n]+\$|!?\[[^\]]*\]\([^)]*\)|<[^>]+>", " ", source)
    return re.sub(r"[*_]", "", source)


def uses(name, text):
    """Whether a text has the name: whole words, any case, one or many, hyphen or space."""
    *front, last = re.split(r"[-\s]+", name)
    ends = [f"{re.escape(last)}(?:s|es)?"]
    ends += [f"{last[:-1]}ies"] if last.endswith("y") else []
    ends += [f"{last[:-2]}ices"] if last.endswith("ix") else []
    words = r"[-\s]+".join([*map(re.escape, front), f"(?:{'|'.join(ends)})"])
    # GPT-2 is a name of its own, and so is no use of GPT.
    return re.search(rf"(?<!\w)(?<!\w-){words}(?!\w|-\w)", text, re.IGNORECASE) is not None


def order(name):
    return re.sub(r"[^a-z0-9]+", " ", name.casefold())


def out_of_order(entries):
    return {(a.term, b.term) for a, b in pairwise(entries) if order(a.term) >= order(b.term)}


def unexplained(entries, books):
    return {e.term for e in entries if not any(uses(n, books[e.numbers[0]]) for n in e.names)}


def too_early(entries, books):
    return {
        (name, number)
        for entry in entries
        for name in entry.names
        for number, text in books.items()
        if number < entry.numbers[0] and uses(name, text)
    }


@pytest.fixture(scope="module")
def glossary():
    return read_glossary(GLOSSARY.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def books():
    texts = {}
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        cells = nbformat.read(path, as_version=4).cells
        prosaic = [prose(cell.source) for cell in cells if cell.cell_type == "markdown"]
        texts[int(path.name[:2])] = "\n\n".join(prosaic)
    return texts


def test_entries_stand_in_alphabetical_order_under_their_letters(glossary):
    assert glossary
    assert out_of_order(glossary) == set()
    assert {e.term for e in glossary if e.letter != e.term[0].upper()} == set()


def test_no_name_stands_for_two_things(glossary):
    names = [order(name) for entry in glossary for name in entry.names]
    assert {name for name in names if names.count(name) > 1} == set()


def test_every_entry_says_something_and_links_one_notebook(glossary):
    for entry in glossary:
        assert entry.text.endswith((".", ")")), entry
        assert len(entry.links) == len(entry.numbers) == 1, entry


def test_every_link_leads_somewhere_and_is_labelled_right():
    links = re.findall(r"\[([^\]]*)\]\(([^)]*)\)", GLOSSARY.read_text(encoding="utf-8"))
    assert links
    for label, target in links:
        assert (GLOSSARY.parent / target).is_file(), target
        assert label == f"notebook {int(Path(target).name[:2])}", target


def test_the_linked_notebook_has_the_word(glossary, books):
    assert unexplained(glossary, books) == set()


def test_no_earlier_notebook_has_it_unless_for_a_reason(glossary, books):
    excused = {(name, number) for name, (numbers, _) in EARLIER.items() for number in numbers}
    early = too_early(glossary, books)
    assert early - excused == set(), "link the earlier notebook if that is where it is explained"
    assert excused - early == set(), "this exception is not needed any more"


def test_every_notebook_has_at_least_three_words(glossary, books):
    linked = [entry.numbers[0] for entry in glossary]
    assert {number for number in books if linked.count(number) < 3} == set()


MADE_UP = """\
# Words

A sentence with a **bold** word and a [link](elsewhere.md).

## B

- **bat** (also: flying mouse, pipistrelle): It flies
  at *night*. [notebook 2](../notebooks/02_night.ipynb)

## C

- **cat's cradle**: A game (with a string). [notebook 1](../notebooks/01_day.ipynb)
- **cow**: Says moo.
  [notebook 1](../notebooks/01_day.ipynb)
"""
MADE_UP_BOOKS = {1: "Two cows play\ncat's cradle.", 2: "A flying-mouse, and again a cow."}


def test_reading_finds_terms_other_names_texts_links_and_letters():
    bat, cradle, cow = read_glossary(MADE_UP)
    assert bat.term == "bat"
    assert bat.also == ("flying mouse", "pipistrelle")
    assert bat.text == "It flies at *night*."
    assert bat.links == ("../notebooks/02_night.ipynb",)
    assert (bat.letter, cradle.letter, cow.letter) == ("B", "C", "C")
    assert (bat.numbers, cradle.numbers, cow.numbers) == ([2], [1], [1])
    assert (cradle.also, cradle.text) == ((), "A game (with a string).")
    with pytest.raises(AssertionError, match="not of the form"):
        read_glossary("- **bat** flies")


def test_a_right_glossary_has_nothing_to_complain_of():
    entries = read_glossary(MADE_UP)
    assert out_of_order(entries) == unexplained(entries, MADE_UP_BOOKS) == set()
    assert too_early(entries, MADE_UP_BOOKS) == set()


def test_wrong_glossaries_are_found_out():
    bat, cradle, cow = read_glossary(MADE_UP)
    assert out_of_order([cradle, bat, cow]) == {("cat's cradle", "bat")}
    assert out_of_order([bat, cow, cow]) == {("cow", "cow")}
    late = cow._replace(links=bat.links)
    assert too_early([bat, cradle, late], MADE_UP_BOOKS) == {("cow", 1)}
    early = bat._replace(links=cow.links)
    assert unexplained([early, cradle, cow], MADE_UP_BOOKS) == {"bat"}
    assert unexplained([bat, cow._replace(term="bull")], MADE_UP_BOOKS) == {"bull"}


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("query", "All Queries at once", True),
        ("matrix", "two matrices", True),
        ("loss", "the losses", True),
        ("fine-tuning", "fine\ntuning", True),
        ("held out", "a held-out play", True),
        ("key", "a keyboard", False),
        ("rank", "to frank a letter", False),
        ("GPT", "GPT-2 and pre-GPT", False),
        ("top-k", "top-kt", False),
    ],
)
def test_a_word_is_found_whole_in_any_case_and_number(name, text, expected):
    assert uses(name, text) is expected


def test_prose_leaves_out_code_formulas_links_and_papers():
    source = (
        "A **residual** *stream*, `head`, $rank$ and <kbd>key</kbd>\n```\nbatch\n```\n"
        "$$loss$$\n[6 · GPT](06_gpt.ipynb) ![token](a.png)\n\n**Read on.** *Attention*, 2017"
    )
    assert prose(source).split() == ["A", "residual", "stream,", ",", "and", "key"]
