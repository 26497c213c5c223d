"""Links and pictures in what people read: the documents and the notebooks' text."""

import re
from pathlib import Path
from urllib.parse import unquote

import nbformat
import pytest

ROOT = Path(__file__).parents[1]
DOCUMENTS = [
    *sorted(ROOT.glob("*.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
    *sorted((ROOT / "benchmarks").glob("*.md")),
    *sorted((ROOT / "llmlab").rglob("*.md")),
    *sorted((ROOT / "notebooks").glob("*.ipynb")),
]
MOST_MEGABYTES = 12  # of all notebooks together


def text_of(path):
    if path.suffix == ".md":
        return path.read_text(encoding="utf-8")
    cells = nbformat.read(path, as_version=4).cells
    return "\n\n".join(cell.source for cell in cells if cell.cell_type == "markdown")


def prose(text):
    """The text without its code, in which brackets mean something else."""
    return re.sub(r"^ *```.*?^ *```$|`[^`\n]+`", "", text, flags=re.DOTALL | re.MULTILINE)


def links(text):
    """The targets of all links and pictures of a markdown text."""
    text = prose(text)
    # a target may hold one pair of brackets, as addresses of encyclopedias do
    found = re.findall(r"\]\(<?((?:[^()\s<>]|\([^()\s]*\))+)>?(?: \"[^\"]*\")?\)", text)
    return [*found, *re.findall(r"<(?:img|a)\b[^>]*?(?:src|href)=\"([^\"]+)\"", text)]


def anchors(text):
    """The names that the headings of a markdown text get, as code hosting sites form them."""
    headings = re.findall(r"^#+ +(.+?) *$", prose(text), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def pictures(text):
    """The pictures of a markdown text: source and alternative text."""
    text = prose(text)
    found = [(source, alt) for alt, source in re.findall(r"!\[([^\]]*)\]\(([^)\s]+)\)", text)]
    for tag in re.findall(r"<img\b[^>]*>", text):
        about = dict(re.findall(r"(\w+)=\"([^\"]*)\"", tag))
        found.append((about.get("src", ""), about.get("alt", "")))
    return found


def broken(path, text):
    """The links of a document that lead nowhere inside the repository."""
    found = []
    for link in links(text):
        if re.match(r"[a-z][a-z+.-]*:", link):
            if not link.startswith(("https://", "http://", "mailto:")):
                found.append(link)
            continue
        if not leads_somewhere(path, text, *unquote(link).split("#")):
            found.append(link)
    return found


def leads_somewhere(path, text, file, anchor=""):
    target = (path.parent / file).resolve()
    if file and not (target.exists() and ROOT in [target, *target.parents]):
        return False
    return not anchor or anchor in anchors(text_of(target) if file else text)


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_link_leads_somewhere(path):
    assert broken(path, text_of(path)) == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_every_picture_says_what_it_shows(path):
    found = pictures(text_of(path))
    assert [source for source, alt in found if len(alt.split()) < 5] == []


def test_every_picture_of_the_documents_is_shown_in_one():
    shown = {
        (path.parent / source).resolve()
        for path in DOCUMENTS
        for source, _ in pictures(text_of(path))
    }
    kept = {path for path in (ROOT / "docs" / "images").iterdir() if path.suffix == ".png"}
    assert kept <= shown


def test_the_notebooks_are_small_enough_to_be_cloned_in_a_class():
    size = sum(path.stat().st_size for path in (ROOT / "notebooks").glob("*.ipynb"))
    assert size <= MOST_MEGABYTES * 1e6


def test_what_is_broken_is_found():
    text = """# A Title, 2 words
[good](README.md) [here](#a-title-2-words) [heading](README.md#tests) [web](https://example.org/a_(b))
[no file](nowhere.md) [no heading](README.md#nowhere) [local](file:///etc/hosts) [out](../../x)
![](picture.png) <img src="other.png" alt="too short"> `[code](not_a_link)`
"""
    path = ROOT / "made_up.md"
    assert "https://example.org/a_(b)" in links(text)
    assert broken(path, text) == [
        "nowhere.md",
        "README.md#nowhere",
        "file:///etc/hosts",
        "../../x",
        "picture.png",
        "other.png",
    ]
    assert pictures(text) == [("picture.png", ""), ("other.png", "too short")]
