"""Hands and eyes for a NextToken widget in a page, by keyboard where a person would use one."""

from .lab import LabPage
from .widget_page import TextBoxPage

WIDGET = ".llmlab-next-token"


class NextTokenWidget(TextBoxPage):
    """One view of a NextToken widget."""

    css, items, item = WIDGET, ".lm-bars button", "bar"

    def __init__(self, lab: LabPage, index: int = 0):
        super().__init__(lab, index)
        self.slider = self.root.locator("input[type=range]")
        self.bars = self.root.locator(".lm-bars button")
        self.others = self.root.locator(".lm-others")
        self.sample = self.root.get_by_role("button", name="Sample")

    def rows(self) -> list[str]:
        """Token and share of every bar, then the row of all others."""
        return [*self.bars.all_inner_texts(), self.others.inner_text()]


def work_by_keyboard_alone(widget: NextTokenWidget) -> None:
    """From the text box to the bars and back, without a mouse."""
    before = widget.text()
    widget.box.focus()
    widget.press("Control+End")
    widget.keyboard.type(" x")
    widget.settled()
    assert widget.text() == before + " x"
    visited = []
    for _ in range(4):
        widget.press("Tab")
        visited.append(widget.focused())
    assert visited == ["range", "Sample", "Undo", "bar 0"]
    widget.press("ArrowDown", "ArrowDown", "ArrowUp")
    assert widget.focused() == "bar 1"
    widget.press("End")
    assert widget.focused() == f"bar {widget.bars.count() - 1}"
    widget.press("Home")
    assert widget.focused() == "bar 0"
    widget.press("Enter")
    longer = widget.text()
    assert longer.startswith(before + " x")
    assert len(longer) > len(before + " x")
    assert widget.focused() == "bar 0"
    widget.press("Shift+Tab")
    assert widget.focused() == "Undo"
    widget.press("Enter")
    assert widget.text() == before + " x"
    widget.press("Space")
    assert widget.text() == before
