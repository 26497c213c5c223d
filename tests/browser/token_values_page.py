"""Hands and eyes for a TokenValues widget in a page, by keyboard where a person would use one."""

from .lab import LabPage
from .widget_page import WidgetPage

WIDGET = ".llmlab-token-values"


class TokenValuesWidget(WidgetPage):
    """One view of a TokenValues widget."""

    css = WIDGET

    def __init__(self, lab: LabPage, index: int = 0):
        super().__init__(lab, index)
        self.tokens = self.root.locator(".lm-token")
        self.radios = self.root.locator("input[type=radio]")
        self.detail = self.root.locator(".lm-detail")

    def names(self) -> list[str]:
        """What there is to choose from."""
        return self.root.locator(".lm-choices label").all_inner_texts()

    def chosen(self) -> str:
        """The name whose radio button is on."""
        return self.root.evaluate(
            "(root) => root.querySelector('input:checked').parentNode.textContent"
        )

    def written(self) -> list[str]:
        """What stands below each token."""
        return self.root.locator(".lm-number").all_inner_texts()

    def colours(self) -> list[str]:
        """The background of each token."""
        return self.tokens.evaluate_all(
            "boxes => boxes.map((box) => getComputedStyle(box).backgroundColor)"
        )

    def heard(self) -> list[str]:
        """What a screen reader says of every token."""
        return self.tokens.evaluate_all("boxes => boxes.map((box) => box.ariaLabel)")

    def focused(self) -> int:
        """The place of the token that has the focus, -1 for none."""
        return self.tokens.evaluate_all("boxes => boxes.indexOf(document.activeElement)")
