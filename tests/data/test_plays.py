import re
import textwrap

import pytest

from llmlab.data import shakespeare
from llmlab.data.plays import plain


@pytest.fixture(scope="module")
def plays():
    return shakespeare()


def test_there_are_38_plays_in_the_order_of_their_titles(plays):
    assert len(plays) == 38
    assert list(plays) == sorted(plays)
    assert {"Hamlet", "Measure for Measure", "Henry IV, Part 1", "A Winter's Tale"} <= set(plays)
    assert 4_950_000 < sum(map(len, plays.values())) < 5_000_000
    assert min(map(len, plays.values())) > 80_000


def test_famous_lines_are_in_the_right_play(plays):
    assert "\nTo be, or not to be: that is the question:\n" in plays["Hamlet"]
    assert "O Romeo, Romeo! wherefore art thou Romeo?" in plays["Romeo and Juliet"]
    assert "Tomorrow, and to-morrow" not in plays["Hamlet"]
    assert "My kingdom for a horse".lower() in plays["Richard III"].lower()
    assert plays["Hamlet"].startswith(
        "ACT I\n\nSCENE I. Elsinore. A platform before the castle.\n\n"
        "FRANCISCO at his post. Enter to him BERNARDO\n\nBERNARDO:\nWho's there?\n\nFRANCISCO:\n"
    )


def test_no_markup_is_left(plays):
    text = "".join(plays.values())
    assert text.isascii()
    assert not set(text) & set("*_#\\$<>\r\t`")
    assert "&amp;" not in text
    assert "\n\n\n" not in text
    assert " \n" not in text
    assert all(play.endswith("\n") and play == play.strip() + "\n" for play in plays.values())
    assert len(set(text)) == 78
    lines = {line for line in text.split("\n") if line.endswith(":") and line.isupper()}
    assert {"HAMLET:", "ROSENCRANTZ & GUILDENSTERN:", "FIRST CITIZEN:", "MACBETH:"} <= lines
    assert "HERE STAND I:" not in lines
    assert "SCENE III:" not in lines


def test_headings_survive(plays):
    for title, play in plays.items():
        assert len(re.findall(r"^ACT [IV]+", play, re.MULTILINE)) >= 4, title


def test_the_cleaning_on_a_small_play():
    marked = textwrap.dedent(
        r"""
        # A Toy

        ## ACT I

        ### SCENE I. A room.

        *Enter ANNE
        and BOB.*



        **First Lord & Anne**  
        __\[Aside]_  
        Why then\--\[ ] 'tis sha$l & c. &amp; so—  
        on.

        _Exeunt_
        """  # noqa: W291
    ).lstrip()
    assert plain(marked) == (
        "ACT I\n\nSCENE I. A room.\n\nEnter ANNE\nand BOB.\n\nFIRST LORD & ANNE:\n[Aside]\n"
        "Why then--[ ] 'tis shall &c. & so--\non.\n\nExeunt\n"
    )
