"""Hands and eyes for a TranslationStepper widget in a page, by keyboard where a person would."""

from .lab import LabPage

TRANSLATION = ".llmlab-translation-stepper"


class TranslationStepperWidget:
    """One view of a TranslationStepper widget."""

    def __init__(self, lab: LabPage, index: int = 0):
        self.lab = lab
        self.keyboard = lab.page.keyboard
        self.root = lab.page.locator(TRANSLATION).nth(index)
        self.root.wait_for()
        self.root.scroll_into_view_if_needed()
        self.box = self.root.locator("textarea")
        self.go = self.root.get_by_role("button", name="Translate", exact=True)
        self.back = self.root.get_by_role("button", name="Back", exact=True)
        self.play = self.root.locator(".lm-play")
        self.next = self.root.get_by_role("button", name="Next", exact=True)
        self.slider = self.root.get_by_role("slider", name="Step")
        self.speed = self.root.get_by_role("combobox", name="Speed")
        self.layer = self.root.get_by_role("combobox", name="layer")
        self.head = self.root.get_by_role("combobox", name="head")
        self.message = self.root.locator(".lm-message")
        self.live = self.root.locator("p.lm-spoken")
        self.sheet = self.root.locator(".lm-sheet")
        self.stage = self.root.locator(".lm-stage")
        self.source = self.root.locator(".lm-source .lm-chip")
        self.target = self.root.locator(".lm-target .lm-chip")
        self.readout = self.root.locator(".lm-readout")

    def wait(self, condition: str, argument=None) -> None:
        """Wait until a JavaScript expression about ``root`` is true."""
        self.lab.wait(f"([root, argument]) => {condition}", [self.root.element_handle(), argument])

    def settled(self) -> None:
        """Wait until what is shown belongs to the newest request."""
        self.wait("root.dataset.settled === 'true'")

    def translate(self, text: str) -> None:
        """Type a sentence, press Enter, and stop the play at the first step."""
        self.box.fill(text)
        self.box.press("Enter")
        self.settled()
        self.to_step(1)

    def to_step(self, step: int) -> None:
        self.slider.fill(str(step))
        self.wait("root.dataset.step === argument", str(step))

    def step(self) -> int:
        return int(self.root.get_attribute("data-step"))

    def playing(self) -> bool:
        return self.root.get_attribute("data-playing") == "true"

    def written(self) -> str:
        return self.root.locator(".lm-written p bdi").first.inner_text()

    def sentence(self) -> str:
        return self.root.locator(".lm-step").inner_text()

    def tokens(self, row: str) -> list[str]:
        """The chips that are seen in the row of the source or of the target."""
        return self.root.locator(f".lm-{row} li").evaluate_all(
            """(items) => items.filter((item) => getComputedStyle(item).visibility === 'visible')
                .map((item) => item.textContent)"""
        )

    def rows(self) -> list[str]:
        """The names of the grid's rows that are written."""
        return self.sheet.evaluate(
            """(sheet) => [...sheet.querySelectorAll('tbody th')]
                .filter((head) => getComputedStyle(head).visibility === 'visible')
                .map((head) => head.textContent)"""
        )

    def numbers(self, row: int) -> list[int]:
        """The per cents of a row of the grid."""
        return self.sheet.evaluate(
            """(sheet, row) => [...sheet.querySelectorAll('tbody tr')[row].querySelectorAll('td')]
                .map((cell) => Number(cell.textContent))""",
            row,
        )

    def lines(self) -> list[float]:
        """The strengths of the lines between the chips, in order."""
        return self.root.locator(".lm-lines path").evaluate_all(
            "(paths) => paths.map((path) => Number(path.getAttribute('stroke-opacity')))"
        )

    def candidates(self) -> list[list[str]]:
        """Tick, token and probability of every candidate."""
        return self.root.locator(".lm-candidates li").evaluate_all(
            """(items) => items.map((item) => ['.lm-tick', '.lm-token', '.lm-share'].map(
                (part) => item.querySelector(part).textContent))"""
        )

    def press(self, *keys: str) -> None:
        for key in keys:
            self.keyboard.press(key)

    def focused(self) -> str:
        """The focused element: "source 2", "target 0", "grid", "Play", "layer" and so on."""
        return self.root.evaluate(
            """(root) => {
                const node = document.activeElement;
                if (!root.contains(node)) return 'outside';
                for (const row of ['source', 'target']) {
                    const place = [...root.querySelectorAll(`.lm-${row} .lm-chip`)].indexOf(node);
                    if (place >= 0) return `${row} ${place}`;
                }
                if (node.matches('.lm-sheet')) return 'grid';
                if (node.type === 'button') return node.textContent;
                return node.labels[0].firstChild.textContent;
            }"""
        )
