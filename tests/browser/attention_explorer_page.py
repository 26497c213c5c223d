"""Hands and eyes for an AttentionExplorer in a page: in JupyterLab, or saved as a file."""

EXPLORER = ".llmlab-attention-explorer"


class AttentionExplorerWidget:
    """One view of an AttentionExplorer in a playwright page."""

    def __init__(self, page, index: int = 0):
        self.page = page
        self.keyboard = page.keyboard
        self.root = page.locator(EXPLORER).nth(index)
        self.root.wait_for()
        self.root.scroll_into_view_if_needed()
        self.box = self.root.locator(".lm-text-a textarea")
        self.second = self.root.locator(".lm-text-b textarea")
        self.overview = self.root.locator(".lm-overview")
        self.heatmap = self.root.locator(".lm-heatmap")
        self.lines = self.root.locator(".lm-lines")
        self.statistic = self.root.locator("select.lm-statistic")
        self.part = self.root.locator("select.lm-part")
        self.title = self.root.locator(".lm-title")
        self.caption = self.root.locator(".lm-caption")
        self.readout = self.root.locator(".lm-readout")
        self.note = self.root.locator(".lm-note")
        self.message = self.root.locator(".lm-message")
        self.bars = self.root.locator(".lm-bars").first

    def button(self, name: str):
        return self.root.get_by_role("button", name=name, exact=True)

    def wait(self, script: str, argument=None) -> None:
        """Wait until a function of the root element (and an argument) returns something true."""
        self.page.wait_for_function(
            f"([root, argument]) => ({script})(root, argument)",
            arg=[self.root.element_handle(), argument],
        )

    def settled(self) -> None:
        """Wait until the picture belongs to the texts in the boxes, to the last byte."""
        self.wait("(root) => root.dataset.settled === 'true'")

    def fill(self, text: str) -> None:
        self.box.fill(text)
        self.settled()

    def press(self, *keys: str) -> None:
        for key in keys:
            self.keyboard.press(key)

    def chosen(self) -> tuple[int, int]:
        """Layer and head of the title's map."""
        return tuple(int(self.root.get_attribute(f"data-{name}")) for name in ("layer", "head"))

    def mode(self) -> str:
        return self.root.get_attribute("data-mode")

    def centre(self, grid, row: float, column: float) -> dict[str, float]:
        """The middle of a cell, from its grid's corner."""
        left, top, width, height = map(float, grid.get_attribute("data-plot").split())
        return {"x": left + (column + 0.5) * width, "y": top + (row + 0.5) * height}

    def point_at(self, query: int, key: int) -> str:
        """Rest on a cell of the map, and read what is said of it."""
        self.heatmap.hover(position=self.centre(self.heatmap, query, key))
        return self.readout.inner_text()

    def exact(self, query: int, key: int) -> float:
        """The number of a cell once it is the exact one, to three digits."""
        self.heatmap.hover(position=self.centre(self.heatmap, query, key))
        self.root.locator(".lm-readout .lm-exact").wait_for()
        return float(self.root.locator(".lm-readout .lm-exact").inner_text().replace("−", "-"))

    def choose(self, layer: int, head: int) -> None:
        """Click a thumbnail."""
        self.overview.click(position=self.centre(self.overview, layer, head))
        assert self.chosen() == (layer, head)

    def pixels(self, grid) -> str:
        """A picture as a text, to compare."""
        return grid.locator("canvas").first.evaluate("(canvas) => canvas.toDataURL()")

    def shares(self) -> list[str]:
        """The next tokens and their probabilities."""
        return self.bars.locator("li").all_inner_texts()

    def focused(self) -> str:
        """The focused element: "textarea", "select", "overview", "heatmap" or a button's name."""
        return self.root.evaluate(
            """(root) => {
                const node = document.activeElement;
                if (!root.contains(node)) return 'outside';
                const name = ['overview', 'heatmap'].find((n) => node.matches(`.lm-${n}`));
                if (name) return name;
                return node.type === 'button' ? node.textContent : node.tagName.toLowerCase();
            }"""
        )
