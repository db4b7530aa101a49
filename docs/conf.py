"""How Sphinx makes the site of the course, from what ``tools/build_site.py`` lays out for it."""

from importlib.metadata import version as installed
from typing import Any

from sphinx.application import Sphinx

project = "s2kit"
author = "The s2kit authors"
project_copyright = "2026, The s2kit authors; code BSD 3-Clause, text and figures CC BY 4.0"
version = release = installed("s2kit")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
exclude_patterns = ["README.md", "cards.md"]

# The notebooks have been run; their outputs are shown as they are.
nb_execution_mode = "off"
nb_merge_streams = True
myst_heading_anchors = 4

autosummary_generate = True
autodoc_typehints = "none"  # the docstrings name dims, dtype and unit too
numpydoc_show_class_members = False

_TEXTS = ["guide", "docs/*", "api", "api/*", "CHANGELOG", "CONTRIBUTING"]
_CONTENTS: dict[str, list[str]] = {page: ["page-toc"] for page in _TEXTS}
_NO_CONTENTS: dict[str, list[str]] = {page: [] for page in ["index", "course", "notebooks/**"]}

html_theme = "pydata_sphinx_theme"
html_title = "s2kit"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sphinx = False
html_context = {"default_mode": "auto"}
html_theme_options = {
    "navbar_align": "left",
    "header_links_before_dropdown": 7,
    "show_prev_next": True,
    "pygments_light_style": "github-light-high-contrast",
    "pygments_dark_style": "github-dark-high-contrast",
    "footer_start": ["copyright"],
    "footer_end": [],
    "back_to_top_button": False,
    "secondary_sidebar_items": _CONTENTS | _NO_CONTENTS,
}
html_sidebars = {
    **{page: [] for page in ["index", "guide", "docs/*", "CHANGELOG", "CONTRIBUTING"]},
    "notebooks/**": ["sidebar-nav-bs", "page-toc"],  # pictures get the room at the right
}


def setup(app: Sphinx) -> None:
    """Connect what Sphinx and docutils leave to do."""
    app.connect("html-page-context", _plain_citations)


def _plain_citations(
    _app: Sphinx, _page: str, _kind: str, context: dict[str, Any], *_: Any
) -> None:
    """Remove roles of citations that ARIA does not allow where docutils writes them."""
    for role in (' role="list" class="citation-list"', ' role="doc-biblioentry"'):
        kept = ' class="citation-list"' if "class" in role else ""
        context["body"] = context.get("body", "").replace(role, kept)
