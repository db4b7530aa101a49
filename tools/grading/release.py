"""Make the notebooks for students: nbgrader removes solutions and hidden tests from the sources."""

from pathlib import Path

import nbformat
from nbformat import NotebookNode
from nbgrader.preprocessors import (
    CheckCellMetadata,
    ClearHiddenTests,
    ClearOutput,
    ClearSolutions,
    ComputeChecksums,
    LockCells,
)
from traitlets.config import Config

CODE_STUB = "# Your answer goes here."
TEXT_STUB = "*Your answer goes here.*"


def release(source: Path, target: Path) -> None:
    """Write the notebook for students, as nbgrader's ``generate_assignment`` makes it.

    Parameters
    ----------
    source : pathlib.Path
        A notebook with solutions and hidden tests.
    target : pathlib.Path
        It is replaced.

    Raises
    ------
    nbgrader.nbgraderformat.ValidationError
        If the metadata of a cell are not valid, or two cells have the same ``grade_id``.
    RuntimeError
        If a region of a solution or of hidden tests is not closed, or in a cell of another kind.
    """
    nbformat.write(released(nbformat.read(source, as_version=4)), target)


def released(notebook: NotebookNode) -> NotebookNode:
    """Return the notebook for students; the ids of its cells stay."""
    stubs = {"code_stub": {"python": CODE_STUB}, "text_stub": TEXT_STUB}
    config = Config(ClearSolutions=stubs)
    # The order of nbgrader's GenerateAssignment, without what needs its database.
    steps = (
        LockCells,
        ClearSolutions,
        ClearOutput,
        CheckCellMetadata,
        ClearHiddenTests,
        ComputeChecksums,
        CheckCellMetadata,
    )
    resources: dict = {}
    for step in steps:
        notebook, resources = step(config=config).preprocess(notebook, resources)
    for cell in notebook.cells:
        cell.source = cell.source.rstrip()
        if cell.cell_type == "code":
            cell.execution_count = None
    return notebook
