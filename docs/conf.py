"""Build the documentation: `hatch run docs:build`, without a network."""

from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import audit_alembic  # registers the operations, which the page of audit_alembic shows
from alembic.operations import Operations
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.util import inspect

audit_alembic.register()

project = "Audit trail"
author = copyright = "The audit trail authors"
release = version = (Path(__file__).parents[1] / "VERSION").read_text().strip()

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx_click"]

# What stands in single backticks in a docstring is code, and a link where it is one of our names.
default_role = "py:obj"
autodoc_default_options = {
    "members": True,
    "undoc-members": True,
    "show-inheritance": True,
    "no-value": True,
    "member-order": "bysource",
    "exclude-members": "inherit_cache, reader",  # which SQLAlchemy and the models need
}
autodoc_typehints_format = "short"
autodoc_preserve_defaults = True
maximum_signature_line_length = 100
python_use_unqualified_type_names = True
add_module_names = False
toc_object_entries_show_parents = "hide"

myst_heading_anchors = 3
myst_enable_extensions = ["attrs_block"]

html_theme = "furo"
html_title = f"Audit trail {release}"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_show_sourcelink = False
html_copy_source = False


def setup(app: Sphinx) -> None:
    """Connect what Sphinx does not do by itself."""
    app.connect("autodoc-process-signature", sign)
    app.connect("doctree-read", leave_object_out)
    app.connect("doctree-read", leave_builtins_alone)


def sign(app: Sphinx, what: str, name: str, documented: Any, options: Any, arguments: str, result: str) -> Any:
    """Give operations of migrations the signatures that they are made of, and none to what users do not make."""
    module, _, operation = name.rpartition(".")
    if module == "alembic.op":
        signature = inspect.signature(getattr(Operations, operation), bound_method=True)
        return inspect.stringify_signature(signature, unqualified_typehints=True), None
    if what == "class" and not is_made_by_users(documented):
        return "", None
    return None


def is_made_by_users(cls: type[Any]) -> bool:
    """Return whether a class has a constructor of its own, without private parameters."""
    return "__init__" in vars(cls) and not any(name.startswith("_") for name in inspect.signature(cls).parameters)


def leave_object_out(app: Sphinx, doctree: nodes.document) -> None:
    """Name what a class is made from, unless that is nothing."""
    for paragraph in list(doctree.findall(nodes.paragraph)):
        if paragraph.astext() == "Bases: object":
            paragraph.parent.remove(paragraph)


def leave_builtins_alone(app: Sphinx, doctree: nodes.document) -> None:
    """Make no link of a type such as ``bytes``: Sphinx would find an attribute of ours that has its name."""
    for reference in list(doctree.findall(addnodes.pending_xref)):
        if reference["reftype"] == "class" and hasattr(builtins, name := reference["reftarget"]):
            reference.replace_self(nodes.Text(name))
