"""Hands and eyes for an EmbeddingMap widget in a page, by keyboard where a person would use one."""

from .lab import LabPage
from .widget_page import WidgetPage

WIDGET = ".llmlab-embedding-map"


class EmbeddingMapWidget(WidgetPage):
    """One view of an EmbeddingMap widget."""

    css = WIDGET

    def __init__(self, lab: LabPage, index: int = 0):
        super().__init__(lab, index)
        self.box = self.root.locator("input")
        self.words = self.root.locator(".lm-word")
        self.rows = self.root.locator(".lm-neighbours button")
        self.lines = self.root.locator(".lm-lines line")
        self.message = self.root.locator(".lm-message")
        self.heading = self.root.locator(".lm-heading")
        self.note = self.root.locator(".lm-note")
        self.fit = self.root.get_by_role("button", name="Fit plane")
        self.undo = self.root.get_by_role("button", name="Undo")
        self.clear = self.root.get_by_role("button", name="Clear")
        self.remove = self.root.get_by_role("button", name="Remove")

    def add(self, text: str) -> None:
        """Type words and press Enter."""
        self.box.fill(text)
        self.box.press("Enter")

    def shown(self) -> list[str]:
        """The words on the map, in their order."""
        return self.words.evaluate_all("words => words.map((word) => word.dataset.word)")

    def word(self, name: str):
        return self.words.nth(self.shown().index(name))

    def positions(self) -> list[list[float]]:
        """Where the words stand on the plane."""
        return self.words.evaluate_all(
            "words => words.map((word) => [Number(word.dataset.x), Number(word.dataset.y)])"
        )

    def chosen(self) -> str:
        """The word whose neighbours are listed."""
        return self.root.locator(".lm-word[aria-selected=true]").get_attribute("data-word")

    def wait_until_chosen(self, name: str) -> None:
        chosen = self.root.locator(f".lm-word[data-word='{name}'][aria-selected=true]")
        chosen.wait_for(state="attached")

    def choose(self, name: str) -> None:
        self.word(name).focus()

    def neighbours(self) -> list[list[str]]:
        """The listed neighbours: word and cosine."""
        return [row.split("\n") for row in self.rows.all_inner_texts()]

    def focused(self) -> str:
        """The focused element: "input", "Add", "word king", "row 0" and so on."""
        return self.root.evaluate(
            """(root) => {
                const node = document.activeElement;
                if (!root.contains(node)) return 'outside';
                if (node.dataset.word !== undefined) return `word ${node.dataset.word}`;
                const row = [...root.querySelectorAll('.lm-neighbours button')].indexOf(node);
                if (row >= 0) return `row ${row}`;
                return node.tagName === 'INPUT' ? 'input' : node.textContent;
            }"""
        )


def work_by_keyboard_alone(widget: EmbeddingMapWidget, word: str) -> None:
    """Add a word, walk over the map, add a neighbour, remove it and go back, without a mouse."""
    before = widget.shown()
    widget.box.focus()
    widget.keyboard.type(word)
    widget.keyboard.press("Enter")
    assert widget.shown() == [*before, word]
    assert widget.focused() == "input"
    visited = []
    for _ in range(7):
        widget.keyboard.press("Tab")
        visited.append(widget.focused())
    buttons = ["Add", "Undo", "Clear", "Fit plane to shown words"]
    assert visited == [*buttons, f"word {word}", "Remove", "row 0"]
    widget.keyboard.press("Shift+Tab")
    widget.keyboard.press("Shift+Tab")
    assert widget.focused() == f"word {word}"
    widget.keyboard.press("Home")
    assert widget.focused() == f"word {before[0]}"
    assert widget.chosen() == before[0]
    widget.keyboard.press("ArrowRight")
    assert widget.focused() == f"word {before[1]}"
    widget.keyboard.press("ArrowUp")
    widget.keyboard.press("End")
    assert widget.focused() == f"word {word}"
    widget.keyboard.press("Delete")
    assert widget.shown() == before
    assert widget.focused() == f"word {before[-1]}"
    widget.keyboard.press("Tab")
    widget.keyboard.press("Tab")
    new = next(i for i, (name, _) in enumerate(widget.neighbours()) if name not in before)
    for _ in range(new):
        widget.keyboard.press("ArrowDown")
    assert widget.focused() == f"row {new}"
    name = widget.neighbours()[new][0]
    widget.keyboard.press("Enter")
    assert widget.shown() == [*before, name]
    assert widget.focused() == f"row {new}"
    widget.keyboard.press("Enter")  # it is on the map by now: go there
    assert widget.focused() == f"word {name}"
    for _ in range(3):
        widget.keyboard.press("Shift+Tab")
    assert widget.focused() == "Undo"
    widget.keyboard.press("Enter")
    widget.keyboard.press("Space")
    widget.keyboard.press("Enter")
    assert widget.shown() == before
