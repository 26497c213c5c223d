"""What hands and eyes for any widget in a page share."""

from .lab import LabPage


class WidgetPage:
    """One view of a widget, found by its class."""

    css = ""

    def __init__(self, lab: LabPage, index: int = 0):
        self.lab = lab
        self.keyboard = lab.page.keyboard
        self.root = lab.page.locator(self.css).nth(index)
        self.root.wait_for()
        self.root.scroll_into_view_if_needed()


class TextBoxPage(WidgetPage):
    """One view of a widget that answers the text in its box.

    `items` finds what it makes of the text, and `item` is what one of them is called.
    """

    items = item = ""

    def __init__(self, lab: LabPage, index: int = 0):
        super().__init__(lab, index)
        self.box = self.root.locator("textarea")
        self.message = self.root.locator(".lm-message")
        self.undo = self.root.get_by_role("button", name="Undo")

    def text(self) -> str:
        return self.box.input_value()

    def settled(self) -> None:
        """Wait until what is shown belongs to the text in the box."""
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

    def labels(self) -> list[str]:
        """What a screen reader says of every item."""
        return self.root.locator(self.items).evaluate_all(
            "items => items.map((item) => item.ariaLabel)"
        )

    def focused(self) -> str:
        """The focused element: "textarea", "range", "Undo", or the item and its place."""
        return self.root.evaluate(
            """(root, [items, item]) => {
                const node = document.activeElement;
                if (!root.contains(node)) return 'outside';
                const place = [...root.querySelectorAll(items)].indexOf(node);
                if (place >= 0) return `${item} ${place}`;
                return node.type === 'button' ? node.textContent : node.type;
            }""",
            [self.items, self.item],
        )
