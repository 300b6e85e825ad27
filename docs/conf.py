"""How the site is built from this folder; `make docs` calls it, strict.

Pages under ``generated/`` are written anew by every build: the reference from the code
(``reference_pages.py``), the tutorials from their scripts (``tutorial_pages.py``), and the pages
that lie outside this folder, such as ``deploy/README.md``.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive
from sphinx.application import Sphinx

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))

from docs.outside_pages import links_inside, write_outside_pages  # noqa: E402 - needs the path
from docs.reference_pages import write_reference  # noqa: E402
from docs.tutorial_pages import write_tutorials  # noqa: E402
from hoverfast_platform.version import __version__  # noqa: E402

project = "hoverfast_platform"
author = "The authors of hoverfast_platform"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinx_copybutton"]
exclude_patterns = ["_build"]
html_theme = "furo"
html_title = f"hoverfast_platform {__version__}"
html_static_path = ["_static"]
html_js_files = [("mermaid.min.js", {"defer": "defer"}), ("drawings.js", {"defer": "defer"})]
html_css_files = ["site.css"]
html_copy_source = False
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 4
myst_fence_as_directive = ["mermaid"]
autodoc_typehints = "description"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"exclude-members": "model_config, kind, is_transient"}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Prompts are not copied with a command.
copybutton_prompt_text = "$ "


class Mermaid(Directive):
    """A drawing, written in Mermaid's language; the page's script draws it."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        text = "\n".join(self.content)
        escaped = text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return [nodes.raw("", f'<pre class="mermaid">\n{escaped}\n</pre>', format="html")]


def _lead_inside(app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = links_inside(source[0], docname)


def setup(app: Sphinx) -> dict[str, Any]:
    """Write the generated pages, then let Sphinx look for pages."""
    made = DOCS / "generated"
    write_reference(made)
    write_outside_pages(made)
    write_tutorials(made)
    app.add_directive("mermaid", Mermaid)
    app.connect("source-read", _lead_inside)
    return {"parallel_read_safe": True}
