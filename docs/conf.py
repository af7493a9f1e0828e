"""Sphinx settings of the site. `make docs` builds it with warnings as errors: no link or anchor is broken.

Pages are plain Markdown that reads as well in the repository. README is the site's home.
"""

from __future__ import annotations

import re
from importlib import import_module
from pathlib import Path

from edgewright.benchmarks.figures import render
from edgewright.benchmarks.figures.pedigree.stale import standings

ROOT = Path(__file__).resolve().parent.parent
PAPERS = {"index": "README", "contributing": "CONTRIBUTING", "changelog": "CHANGELOG"}

project = "Edgewright"
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["conf.py"]
html_theme = "furo"
html_title = "Edgewright"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_show_copyright = False
html_show_sphinx = False
html_copy_source = False

myst_heading_anchors = 4
suppress_warnings = ["misc.highlighting_failure"]  # a table's `…` in a block of code is no error
highlight_language = "none"

default_role = "code"  # docstrings write `name` as Markdown does
add_module_names = False
autodoc_typehints = "signature"
autodoc_typehints_format = "short"
autodoc_member_order = "bysource"
autodoc_default_options = {"members": True, "imported-members": True}
autodoc_preserve_defaults = True
maximum_signature_line_length = 90
napoleon_numpy_docstring = False
napoleon_use_rtype = False
python_display_short_literal_types = True
python_use_unqualified_type_names = True


def read_papers(app, docname, source):
    """The first line of a page that stands for a paper of the repository becomes that paper; below tables is
    said how old they are."""
    if docname in PAPERS:
        text = (ROOT / f"{PAPERS[docname]}.md").read_text(encoding="utf-8")
        source[0] = text.replace("](docs/", "](") + "\n" + source[0].partition("\n")[2]
    elif "<!-- table: " in source[0]:  # what changes with the code is as it is today
        source[0] = render.render(source[0], standings=app.standings)
    for page, paper in PAPERS.items():
        source[0] = re.sub(rf"\]\((\.\./)*{paper}\.md", f"](/{page}.md", source[0])


def as_written(app, what, name, obj, options, lines):
    """Docstrings are no reStructuredText: what is indented or drawn in a module's stays as it is."""
    lines[:] = [line.replace("`..`", "` to `") for line in lines]
    if what != "module":
        return
    drawn, made = False, []
    for line in lines:
        starts = line.startswith(("    ", "│", "├", "└")) or bool(re.fullmatch(r"\w+Error", line))
        if starts and not drawn:
            made += ["::", ""]
        if line:
            drawn = starts
        made.append("    " + line if drawn and line else line)
    lines[:] = made


def plain_defaults(app, what, name, obj, options, signature, returns):
    return (signature.replace("<factory>", "...") if signature else signature), returns


def setup(app):
    for package in ("runtime", "train", "export", "benchmarks"):
        face = import_module(f"edgewright.{package}")
        public = {name: getattr(face, name) for name in getattr(face, "__all__", ())}
        vars(face).update(public)  # autodoc does not see what is imported when it is asked for
        face.__all__ = sorted(public, key=lambda name, of=public: isinstance(of[name], type))
    app.standings = standings()
    app.connect("source-read", read_papers)
    app.connect("autodoc-process-docstring", as_written)
    app.connect("autodoc-process-signature", plain_defaults)
