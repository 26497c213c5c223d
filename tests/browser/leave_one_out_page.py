"""Hands and eyes for a LeaveOneOut widget in a page, by keyboard where a person would use one."""

from .lab import LabPage

WIDGET = ".llmlab-leave-one-out"


class LeaveOneOutWidget:
    """One view of a LeaveOneOut widget."""

    def __init__(self, lab: LabPage, index: int = 0):
        self.lab = lab
        self.keyboard = lab.page.keyboard
        self.root = lab.page.locator(WIDGET).nth(index)
        self.root.wait_for()
        self.root.scroll_into_view_if_needed()
        self.box = self.root.locator("textarea")
        self.words = self.root.locator(".lm-word")
        self.meter = self.root.get_by_role("meter")
        self.verdict = self.root.locator(".lm-verdict")
        self.message = self.root.locator(".lm-message")
        self.detail = self.root.locator(".lm-detail")
        self.undo = self.root.get_by_role("button", name="Undo")

    def text(self) -> str:
        return self.box.input_value()

    def shown(self) -> list[tuple[str, str]]:
        """Every word, and for whom it speaks."""
        return self.words.evaluate_all(
            """words => words.map((word) => [
                word.textContent, word.classList.contains('lm-away') ? 'ham' : 'spam',
            ])"""
        )

    def labels(self) -> list[str]:
        """What a screen reader says of every word."""
        return self.words.evaluate_all("words => words.map((word) => word.ariaLabel)")

    def settled(self) -> None:
        """Wait until the colours belong to the text in the box."""
        self.lab.wait("(root) => root.dataset.settled === 'true'", self.root.element_handle())

    def fill(self, text: str) -> None:
        self.box.fill(text)
        self.settled()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.keyboard.press(key)
        self.settled()

    def focused(self) -> str:
        """The focused element: "textarea", "Undo", "word 0" and so on."""
        return self.root.evaluate(
            """(root) => {
                const node = document.activeElement;
                if (!root.contains(node)) return 'outside';
                const word = [...root.querySelectorAll('.lm-word')].indexOf(node);
                if (word >= 0) return `word ${word}`;
                return node.type === 'button' ? node.textContent : node.type;
            }"""
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
