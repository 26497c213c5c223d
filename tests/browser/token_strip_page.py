"""Hands and eyes for a TokenStrip widget in a page, by keyboard where a person would use one."""

from .lab import LabPage
from .widget_page import WidgetPage

STRIP = ".llmlab-token-strip"


class TokenStripWidget(WidgetPage):
    """One view of a TokenStrip widget."""

    css = STRIP

    def __init__(self, lab: LabPage, index: int = 0):
        super().__init__(lab, index)
        self.box = self.root.locator("textarea")
        self.slider = self.root.locator("input[type=range]")
        self.number = self.root.locator("input[type=number]")
        self.summary = self.root.locator(".lm-summary")
        self.strip = self.root.locator(".lm-strip")
        self.details = self.root.locator(".lm-details")
        self.live = self.root.locator("p.lm-spoken")
        lab.wait("(root) => root.querySelector('canvas').inSight", self.root.element_handle())

    def in_sight(self, what: str) -> list:
        """What the boxes in sight show: their ids, colours or bytes."""
        return self.root.locator("canvas").evaluate(
            """(canvas, what) => {
                const { first, end, session } = canvas.inSight;
                if (what !== 'bytes') return session[what].slice(first, end);
                return Array.from({ length: end - first }, (_, i) => session.token(first + i));
            }""",
            what,
        )

    def tokens(self) -> list[tuple[int, bytes]]:
        """Id and bytes of every box in sight."""
        tokens = (bytes_.encode("latin-1") for bytes_ in self.in_sight("bytes"))
        return list(zip(self.in_sight("ids"), tokens, strict=True))

    def chosen(self) -> str | None:
        """What a screen reader says of the token that the arrow keys have reached."""
        return self.strip.evaluate(
            """(strip) => {
                const id = strip.getAttribute('aria-activedescendant');
                return id && document.getElementById(id).textContent;
            }"""
        )

    def focused(self) -> str:
        """The focused element: "textarea", "range", "number", "strip" or "outside"."""
        return self.root.evaluate(
            """(root) => {
                const node = document.activeElement;
                if (!root.contains(node)) return 'outside';
                return node.getAttribute('role') === 'listbox' ? 'strip' : node.type;
            }"""
        )
