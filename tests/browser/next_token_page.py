"""Hands and eyes for a NextToken widget in a page, by keyboard where a person would use one."""

from .lab import LabPage

WIDGET = ".llmlab-next-token"


class NextTokenWidget:
    """One view of a NextToken widget."""

    def __init__(self, lab: LabPage, index: int = 0):
        self.lab = lab
        self.keyboard = lab.page.keyboard
        self.root = lab.page.locator(WIDGET).nth(index)
        self.root.wait_for()
        self.root.scroll_into_view_if_needed()
        self.box = self.root.locator("textarea")
        self.slider = self.root.locator("input[type=range]")
        self.bars = self.root.locator(".lm-bars button")
        self.others = self.root.locator(".lm-others")
        self.message = self.root.locator(".lm-message")
        self.sample = self.root.get_by_role("button", name="Sample")
        self.undo = self.root.get_by_role("button", name="Undo")

    def rows(self) -> list[str]:
        """Token and share of every bar, then the row of all others."""
        return [*self.bars.all_inner_texts(), self.others.inner_text()]

    def labels(self) -> list[str]:
        """What a screen reader says of every bar."""
        return self.bars.evaluate_all("bars => bars.map((bar) => bar.ariaLabel)")

    def text(self) -> str:
        return self.box.input_value()

    def settled(self) -> None:
        """Wait until the bars belong to the text in the box."""
        self.lab.wait("(root) => root.dataset.settled === 'true'", self.root.element_handle())

    def fill(self, text: str) -> None:
        self.box.fill(text)
        self.settled()

    def type(self, keys: str) -> None:
        """Press the keys of a text at the end of the box."""
        self.box.focus()
        self.keyboard.press("Control+End")
        self.keyboard.type(keys)
        self.settled()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.keyboard.press(key)
        self.settled()

    def focused(self) -> str:
        """The focused element: "textarea", "range", "Sample", "Undo", "bar 0" and so on."""
        return self.root.evaluate(
            """(root) => {
                const node = document.activeElement;
                if (!root.contains(node)) return 'outside';
                const bar = [...root.querySelectorAll('.lm-bars button')].indexOf(node);
                if (bar >= 0) return `bar ${bar}`;
                return node.type === 'button' ? node.textContent : node.type;
            }"""
        )


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
