"""Hands and eyes for a LeaveOneOut widget in a page, by keyboard where a person would use one."""

from .lab import LabPage
from .widget_page import TextBoxPage

WIDGET = ".llmlab-leave-one-out"


class LeaveOneOutWidget(TextBoxPage):
    """One view of a LeaveOneOut widget."""

    css, items, item = WIDGET, ".lm-word", "word"

    def __init__(self, lab: LabPage, index: int = 0):
        super().__init__(lab, index)
        self.words = self.root.locator(".lm-word")
        self.meter = self.root.get_by_role("meter")
        self.verdict = self.root.locator(".lm-verdict")
        self.detail = self.root.locator(".lm-detail")

    def shown(self) -> list[tuple[str, str]]:
        """Every word, and for whom it speaks."""
        return self.words.evaluate_all(
            """words => words.map((word) => [
                word.textContent, word.classList.contains('lm-away') ? 'ham' : 'spam',
            ])"""
        )


def work_by_keyboard_alone(widget: LeaveOneOutWidget) -> None:
    """From the text box to the words and back, without a mouse."""
    before = widget.text()
    widget.box.focus()
    widget.press("Control+End")
    widget.keyboard.type(" x")
    widget.settled()
    assert widget.text() == before + " x"
    widget.press("Tab")
    assert widget.focused() == "Undo"
    widget.press("Tab")
    assert widget.focused() == "word 0"
    widget.press("ArrowRight", "ArrowRight", "ArrowLeft")
    assert widget.focused() == "word 1"
    assert widget.detail.inner_text().startswith("without “")
    widget.press("End")
    assert widget.focused() == f"word {widget.words.count() - 1}"
    widget.press("Enter")
    assert widget.text() == before
    assert widget.focused() == f"word {widget.words.count() - 1}"
    widget.press("Home", "Shift+Tab")
    assert widget.focused() == "Undo"
    widget.press("Enter")
    assert widget.text() == before + " x"
    widget.press("Enter")
    assert widget.text() == before
