"""For a class: the editions of the notebooks, and a table of what learners have handed in.

``build(notebooks, out)``   a learner's and a solved edition, and a course for nbgrader
``read_folder(folder)``     the notebooks handed in, read and not run

The command ``llmlab class`` calls both.
"""

from llmlab.classroom.build import build
from llmlab.classroom.report import read_folder

__all__ = ["build", "read_folder"]
