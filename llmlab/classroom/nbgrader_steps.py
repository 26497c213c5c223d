"""What nbgrader does with a hand-in before it runs it, for hand-ins as learners make them.

The settings of a course name `SANITIZE_STEPS`. Needs nbgrader, which the rest of llmlab does not.
"""

from __future__ import annotations

from nbconvert.exporters.exporter import ResourcesDict
from nbformat import NotebookNode
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearOutput,
    DeduplicateIds,
    OverwriteCells,
    OverwriteKernelspec,
)

__all__ = ["SANITIZE_STEPS"]


class KeepCopies(DeduplicateIds):
    """A cell that was copied, metadata and all, becomes a plain cell; the last copy is graded."""

    def preprocess_cell(
        self, cell: NotebookNode, resources: ResourcesDict, cell_index: int
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Leave no empty metadata behind, on which later steps would stumble."""
        cell, resources = super().preprocess_cell(cell, resources, cell_index)
        if not cell.metadata.get("nbgrader", True):
            del cell.metadata["nbgrader"]
        return cell, resources


class RestoreTests(OverwriteCells):
    """A test that was deleted comes back, at the end, even if its exercise is gone as well."""

    def add_missing_grade_cells(
        self, nb: NotebookNode, resources: ResourcesDict
    ) -> tuple[NotebookNode, ResourcesDict]:
        """Append what is missing; nbgrader's own way looks for the cell in front, and may fail."""
        there = {cell.metadata.get("nbgrader", {}).get("grade_id") for cell in nb.cells}
        notebook = self.gradebook.find_notebook(self.notebook_id, self.assignment_id)
        sources = {cell.name: cell for cell in notebook.source_cells}
        for graded in notebook.grade_cells:
            if graded.name not in there:
                nb.cells.append(self.missing_cell_transform(sources[graded.name], graded.max_score))
        return nb, resources


SANITIZE_STEPS = [ClearOutput, KeepCopies, OverwriteKernelspec, RestoreTests, CheckCellMetadata]
