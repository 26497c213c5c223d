"""The harness itself: a check that cannot fail would prove nothing."""

import nbformat
import pytest

from .lab import LabPage

pytestmark = pytest.mark.browser


def test_what_leaves_the_machine_is_listed_and_fails_at_close(chromium, server):
    page = LabPage(chromium, server)
    page.page.evaluate(
        """async () => {
            await fetch('https://example.invalid/page').catch(() => null);
            const socket = new WebSocket('wss://example.invalid/socket');
            await new Promise((done) => { socket.onclose = done; });
        }"""
    )
    assert page.left_machine == ["https://example.invalid/page", "wss://example.invalid/socket"]
    with pytest.raises(AssertionError, match=r"left this machine: .*page.*socket"):
        page.close()


def saved_notebook():
    output = nbformat.v4.new_output("stream", text="from an earlier day\n")
    cell = nbformat.v4.new_code_cell("print('today')", outputs=[output], execution_count=7)
    return nbformat.v4.new_notebook(cells=[nbformat.v4.new_markdown_cell("# Title"), cell])


def test_saved_outputs_do_not_count_as_a_run(lab):
    saved = saved_notebook()
    lab.open(saved)
    assert lab.execution_counts() == [None]
    assert lab.cells()[1]["outputs"] == []
    lab.run_all()
    assert lab.execution_counts() == [1]
    assert [output["text"] for output in lab.cells()[1]["outputs"]] == ["today\n"]
    assert saved.cells[1].execution_count == 7


def test_saved_outputs_stay_where_a_test_wants_them(lab):
    lab.open(saved_notebook(), keep_outputs=True)
    assert lab.execution_counts() == [7]
    assert [output["text"] for output in lab.cells()[1]["outputs"]] == ["from an earlier day\n"]
