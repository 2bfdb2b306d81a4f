"""Sphinx's settings: pages of docs/, docstrings, and tutorials that are executed at each build. No network."""

from __future__ import annotations

import logging
import os
import sys
from functools import partial
from importlib import metadata
from pathlib import Path
from typing import Any

from docutils.nodes import SkipNode
from docutils.utils.math.latex2mathml import tex2mathml
from jupyter_cache.executors import utils as executors

import qperov

# What notebooks inherit: two pages at once, a thread each; the commands of this environment
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
os.environ |= {"COLUMNS": "88", "TTY_COMPATIBLE": "0"}

project = "qperov"
author = "The qperov developers"
project_copyright = "2026, the qperov developers"
release = version = metadata.version("qperov")

extensions = ["myst_nb", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "sphinx.ext.napoleon"]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_templates"]
default_role = "py:obj"

html_theme = "furo"
html_title = f"qperov {release}"
html_show_sphinx = False
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["qperov.css"]
html_math_renderer = "mathml"

myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_in_temp = True
nb_execution_timeout = 600
# No option of Sphinx reaches the client: what a command prints in pieces is one text, and a kernel may start late
executors.executenb = partial(executors.executenb, coalesce_streams=True, startup_timeout=240)
logging.getLogger("traitlets").setLevel(logging.WARNING)
# progress bars are for a screen that moves
nb_output_stderr = "remove"

autodoc_typehints = "none"
autodoc_member_order = "bysource"
# one word in a docstring may be an attribute of two classes
suppress_warnings = ["ref.python"]

autosummary_ignore_module_all = False
autosummary_imported_members = True
# What stands at the root is described there alone
autosummary_context = {"root": qperov.__all__}
napoleon_google_docstring = False
napoleon_use_rtype = False


def setup(app: Any) -> None:
    """What scikit-learn and Python give a class is described there; formulas are MathML, and their bars are bars."""
    app.connect("autodoc-skip-member", lambda *event: True if _is_foreign(event[3]) else None)
    app.connect("autodoc-process-docstring", _escape_bars)
    app.add_html_math_renderer("mathml", (partial(_visit_math, as_block=False), None), (_visit_math, None))


def _is_foreign(member: object) -> bool:
    return not str(getattr(member, "__module__", "qperov")).startswith("qperov")


def _escape_bars(app: Any, what: str, name: str, described: object, options: object, lines: list[str]) -> None:
    for i, line in enumerate(lines):
        if not line.lstrip().startswith((">>>", "...")) and ":math:" not in line:
            parts = line.split("``")  # every other part is code
            parts[::2] = [part.replace("|", r"\|") for part in parts[::2]]
            lines[i] = "``".join(parts)


def _visit_math(self: Any, node: Any, as_block: bool = True) -> None:
    self.body.append(tex2mathml(node.astext(), as_block=as_block))
    raise SkipNode
