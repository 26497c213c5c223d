"""Eyes for a TrainingBoard in a page, and a watch on what it draws."""

from .lab import LabPage

WIDGET = ".llmlab-training-board"

# Notes how often boards draw, which canvases there are, and how high the output is in each frame.
_WATCH = """
() => {
    const seen = window.llmlabBoards = { draws: 0, canvases: [], heights: [] };
    document.addEventListener('llmlab:drawn', () => seen.draws++);
    const look = () => {
        for (const canvas of document.querySelectorAll('WIDGET canvas')) {
            if (!seen.canvases.includes(canvas)) seen.canvases.push(canvas);
        }
        const board = document.querySelector('WIDGET');
        const height = board?.closest('.jp-OutputArea').offsetHeight;
        if (height) seen.heights.push(height); // it is 0 while the whole page changes its theme
        requestAnimationFrame(look);
    };
    look();
}
""".replace("WIDGET", WIDGET)


def watch_drawing(lab: LabPage) -> None:
    """From now on, note what boards draw; `seen` tells."""
    lab.page.evaluate(_WATCH)


def seen(lab: LabPage) -> dict:
    """How often was drawn, on how many canvases, and how high the output was, frame by frame."""
    return lab.page.evaluate(
        "() => ({ ...window.llmlabBoards, canvases: window.llmlabBoards.canvases.length })"
    )


class TrainingBoardWidget:
    """One view of a TrainingBoard."""

    def __init__(self, lab: LabPage, index: int = 0):
        self.lab = lab
        self.root = lab.page.locator(WIDGET).nth(index)
        self.root.wait_for()
        self.root.scroll_into_view_if_needed()
        self.canvas = self.root.locator("canvas")
        self.bar = self.root.get_by_role("progressbar")
        self.status = self.root.locator(".lm-status")
        self.numbers = self.root.locator(".lm-numbers")
        self.note = self.root.locator(".lm-note")
        self.reading = self.root.locator(".lm-reading")
        self.samples = self.root.get_by_role("region", name="Samples")

    def wait_for(self, *, latest: int | None = None, state: str | None = None) -> None:
        """Wait until the view shows this step, or this state of the run."""
        for name, value in {"latest": latest, "state": state}.items():
            if value is not None:
                self.lab.wait(
                    "([root, name, value]) => root.dataset[name] === value",
                    [self.root.element_handle(), name, str(value)],
                )

    def wait_for_frames(self) -> None:
        """Wait until the view is drawn anew: what changed is heard in one frame, drawn by the next.

        For changes of which the view says nothing, such as another theme.
        """
        self.lab.page.evaluate(
            "() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
        )

    def rows(self) -> list[list[str]]:
        """The cells of the table of samples."""
        return self.samples.locator("tr").evaluate_all(
            "rows => rows.map((row) => [...row.cells].map((cell) => cell.textContent))"
        )

    def attributes(self, name: str) -> dict[str, str]:
        """What a screen reader reads: the aria attributes of the canvas or the bar."""
        return {"canvas": self.canvas, "bar": self.bar}[name].evaluate(
            "node => Object.fromEntries([...node.attributes].filter((a) => a.name.startsWith("
            "'aria-')).map((a) => [a.name.slice(5), a.value]))"
        )

    def colours(self) -> set[str]:
        """The colours on the canvas, of every third pixel, as #rrggbb; nothing but opaque ones."""
        return set(
            self.canvas.evaluate(
                """(canvas) => {
                    const { data } = canvas.getContext('2d')
                        .getImageData(0, 0, canvas.width, canvas.height);
                    const found = new Set();
                    for (let i = 0; i < data.length; i += 4) {
                        if (data[i + 3] < 255) continue;
                        found.add('#' + [0, 1, 2].map((k) =>
                            data[i + k].toString(16).padStart(2, '0')).join(''));
                    }
                    return [...found];
                }"""
            )
        )
