"""Hands and eyes for an AttentionStepper widget in a page, by keyboard where a person would."""

from .lab import LabPage

STEPPER = ".llmlab-attention-stepper"


class AttentionStepperWidget:
    """One view of an AttentionStepper widget."""

    def __init__(self, lab: LabPage, index: int = 0):
        self.lab = lab
        self.keyboard = lab.page.keyboard
        self.root = lab.page.locator(STEPPER).nth(index)
        self.root.wait_for()
        self.root.scroll_into_view_if_needed()
        self.back = self.root.get_by_role("button", name="Back")
        self.next = self.root.get_by_role("button", name="Next")
        self.reset = self.root.get_by_role("button", name="Reset scores")
        self.scale = self.root.get_by_role("checkbox", name="Scale")
        self.mask = self.root.get_by_role("checkbox", name="Mask")
        self.queries = self.root.get_by_role("radio")
        self.sheet = self.root.locator(".lm-sheet")
        self.scores = self.sheet.locator("input")
        self.note = self.root.locator(".lm-note")
        self.message = self.root.locator(".lm-message")
        self.detail = self.root.locator(".lm-detail")
        self.live = self.root.locator("p.lm-spoken")
        self.tip = self.root.locator(".lm-tip")

    def sentence(self) -> str:
        return self.root.locator(".lm-step").inner_text()

    def columns(self) -> list[str]:
        """The heads of the columns that have numbers in sight."""
        return self.sheet.evaluate(
            """(sheet) => {
                const cells = [...sheet.querySelectorAll('tbody tr:first-child > *')];
                const heads = [...sheet.querySelectorAll('thead tr:first-child > *')];
                const seen = (cell) => cell.offsetWidth > 0
                    && getComputedStyle(cell).visibility === 'visible';
                return heads.filter((_, i) => seen(cells[i])).map((head) => head.textContent);
            }"""
        )

    def column(self, name: str) -> list[str]:
        """What is written in a column, key by key."""
        return self.sheet.evaluate(
            """(sheet, name) => {
                const heads = [...sheet.querySelectorAll('thead tr:first-child > *')];
                const place = heads.findIndex((head) => head.textContent === name);
                return [...sheet.querySelectorAll('tbody tr')].map(({ children }) =>
                    children[place].querySelector('input')?.value ?? children[place].textContent);
            }""",
            name,
        )

    def weights(self) -> list[float]:
        """The weights as the titles have them, with all digits."""
        return self.sheet.evaluate(
            """(sheet) => [...sheet.querySelectorAll('.lm-track')].map((bar) =>
                Number(bar.parentNode.title))"""
        )

    def output(self) -> str:
        """What a screen reader says of the resulting vector."""
        return self.sheet.locator("tfoot .lm-vector").get_attribute("aria-label")

    def chosen(self) -> int:
        """The key whose arithmetic is written out."""
        return self.sheet.evaluate(
            """(sheet) => [...sheet.querySelectorAll('tbody tr')].findIndex((row) =>
                row.getAttribute('aria-current') === 'true')"""
        )

    def query(self) -> int:
        return self.queries.evaluate_all("(all) => all.findIndex((radio) => radio.checked)")

    def press(self, *keys: str) -> None:
        for key in keys:
            self.keyboard.press(key)

    def focused(self) -> str:
        """The focused element: "radio 2", "Next", "checkbox", "sheet", "score 1" or "outside"."""
        return self.root.evaluate(
            """(root) => {
                const node = document.activeElement;
                if (!root.contains(node)) return 'outside';
                const place = (selector) => [...root.querySelectorAll(selector)].indexOf(node);
                if (node.type === 'radio') return `radio ${place('[type=radio]')}`;
                if (node.type === 'text') return `score ${place('[type=text]')}`;
                if (node.matches('.lm-sheet')) return 'sheet';
                return node.type === 'button' ? node.textContent : node.parentNode.textContent;
            }"""
        )
