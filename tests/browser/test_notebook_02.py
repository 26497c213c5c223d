"""The second notebook as a learner meets it: tokens that grow, and exercises that answer."""

import pytest

from llmlab.exercises.shelf import find

from .every_widget import THEMES, every_widget_can_be_read, every_widget_moves
from .series import cards, every_cell_ran, notebook_page, nothing_left_the_machine, solved
from .token_strip_page import TokenStripWidget

pytestmark = [pytest.mark.browser, pytest.mark.slow]

WRONG = '''
def my_most_frequent_pair(pieces):
    """</script><img src=x onerror=alert(1)>"""
    print("</script><img src=x onerror=alert(1)>")
    ids = [id for piece in pieces for id in piece]
    return ids[0], ids[1]


check("tokens.most_frequent_pair", my_most_frequent_pair)
'''
ENDLESS = """
def my_apply_merge(ids, pair, new_id):
    n = 0
    while n < len(ids) + 1:
        pass


check("tokens.apply_merge", my_apply_merge)
"""


ANSWERS = {
    "exercise-most-frequent-pair": WRONG,
    "exercise-apply-merge": ENDLESS,
    **solved(find("tokens.encode")),
}


@pytest.fixture(scope="module")
def notebook(chromium, server):
    with notebook_page(chromium, server, "02_tokens", ANSWERS) as page:
        yield page


def test_every_cell_runs(notebook):
    every_cell_ran(notebook)


def test_tokens_grow_together_as_the_slider_moves(notebook):
    widget = TokenStripWidget(notebook)
    before = widget.tokens()
    assert all(number < 356 for number, _ in before)
    widget.slider.focus()
    widget.keyboard.press("End")
    notebook.wait("(n) => document.querySelector('canvas').inSight.end < n", len(before))
    after = widget.tokens()
    assert b"".join(part for _, part in after) == b"".join(part for _, part in before)
    assert b" question" in [part for _, part in after]


def test_cards_say_what_is_wrong_and_what_is_right(notebook):
    titles = [text.split("\n")[0] for text in cards(notebook).all_inner_texts()]
    assert titles == [
        "✗ tokens.most_frequent_pair: not yet",
        "✗ tokens.apply_merge: not yet",
        "✓ tokens.encode: passed",
        "○ tokens.round_trip: not attempted yet",
        "○ tokens.tokens_per_word: not attempted yet",
    ]
    wrong, endless = (cards(notebook).nth(place).inner_text() for place in (0, 1))
    assert "onerror=alert(1)" in wrong  # what the answer printed, as text
    assert "still running" in endless
    assert notebook.page.locator("img[src=x]").count() == 0
    assert "passed at try 1" in notebook.evaluate("progress()")


@pytest.mark.parametrize("theme", THEMES)
def test_every_widget_can_be_read(notebook, theme):
    every_widget_can_be_read(notebook, "notebook_02", theme)


def test_every_widget_moves(notebook):
    every_widget_moves(notebook, "token-strip")


def test_no_request_went_out(notebook):
    nothing_left_the_machine(notebook)
