"""A notebook in JupyterLab or Jupyter Notebook, opened and run as a reader does."""

from playwright.sync_api import Page
from services import Lab
from watching import Watch

OWN_ERRORS = (
    "Cannot read properties of undefined (reading 'schema')",
    "Command 'filebrowser:open-path' not registered",
)
"""What Jupyter Notebook 7.6 says of itself while it opens."""


def open_in(
    lab: Lab,
    page: Page,
    watch: Watch,
    path: str,
    *,
    program: str = "lab",
    run: bool = True,
    seconds: float = 180,
) -> Page:
    """Open a notebook below the root, run all its cells, and wait for the end.

    It opens in JupyterLab or, as ``program="notebooks"``, in Jupyter Notebook.
    """
    page.goto(lab.address(path, program))
    wait_for_kernel(page)
    if program == "notebooks":
        watch.forgive(*OWN_ERRORS)
    if run:
        run_all_cells(page, seconds)
        check_cells(page)
    return page


def wait_for_kernel(page: Page) -> None:
    """Wait until the kernel of the open notebook is there, and idle."""
    page.wait_for_function(
        "() => document.querySelector('.jp-KernelName')?.innerText.includes('ipykernel')"
        " && document.querySelector('.jp-Notebook-ExecutionIndicator')?.dataset.status == 'idle'",
        timeout=60_000,
    )


def start_all_cells(page: Page) -> None:
    """Choose "Run All Cells" in the menu of the open notebook."""
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()


def run_all_cells(page: Page, seconds: float) -> None:
    """Run the open notebook as a reader does, to its end or the first error."""
    start_all_cells(page)
    prompts = "[...document.querySelectorAll('.jp-InputPrompt')].map(prompt => prompt.innerText)"
    page.wait_for_function(
        f"(said => !said.includes('[*]:') && said.some(text => /\\d/.test(text)))({prompts})",
        timeout=1000 * seconds,
    )
    wait_for_kernel(page)


def check_cells(page: Page) -> None:
    """Fail where a cell of the open notebook shows a traceback."""
    broken = page.locator(".jp-OutputArea-output", has_text="Traceback (most recent call last)")
    assert not broken.count(), broken.first.inner_text()
