"""How Sphinx builds the documentation: `make docs`.

The package must be installed, since the reference is made from it. Nothing is fetched.
"""

import re
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

from sphinx.application import Sphinx

sys.path.insert(0, str(Path(__file__).parent.parent))
from docs.generated import submodules

project = "lightrec"
author = "the lightrec contributors"
version = release = installed_version("lightrec")

# GitHub shows README.md beside the folder's files; it is the first page here too.
root_doc = "README"
exclude_patterns = ["_build"]
extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_heading_anchors = 4

html_theme = "furo"
html_title = f"lightrec {version}"
html_show_sourcelink = False
smartquotes = False

autodoc_default_options = {"members": True, "show-inheritance": True, "member-order": "bysource"}
autodoc_typehints = "description"
autodoc_typehints_description_target = "documented_params"
autodoc_preserve_defaults = True

nitpick_ignore_regex = [
    # Other packages' documentation is not fetched, so that a build needs no network.
    (r"py:.*", r"(torch|torchmetrics|tensordict|torchrl|lightning|transformers|pluggy)(\..*)?"),
    (
        r"py:.*",
        r"(huggingface_hub|jsonargparse|markupsafe|polars|numpy|scipy|matplotlib|gymnasium|tqdm|_?pytest)(\..*)?",
    ),
    (
        r"py:.*",
        r"(abc|argparse|array|collections|contextlib|datetime|enum|functools|importlib|inspect|mmap|pathlib|types|unittest)(\..*)?",
    ),
    # Types that stand for themselves, and classes that are for their module alone, have no entry.
    (r"py:.*", r"Json|lightrec_ope\.estimators\.estimate\.L"),
    (r"py:.*", r".*a name among the \w+|an import path|_frozen_importlib\.ModuleSpec"),
    (r"py:.*", r"lightrec(_\w+)?\..*\._\w+"),
]

linkcheck_timeout = 20
linkcheck_retries = 2


MODULES = re.compile(r"<!-- from code: modules (.+?) -->.*?<!-- end -->", re.DOTALL)
READMES = re.compile(r"\[([^]]+)\]\((?:\.\./)+plugins/[\w-]+/README\.md\)")
"""Links to what packages say of themselves, which is no page here."""
TREES = ("README", "reference/python")
"""Pages whose links to other pages are the table of contents."""


def _complete(app: Sphinx, page: str, source: list[str]) -> None:
    source[0] = MODULES.sub(_whole_docstrings, READMES.sub(r"\1", source[0]))
    if page in TREES:
        source[0] += "".join(map(_contents, source[0].split("\n## ")))


def _whole_docstrings(mark: re.Match[str]) -> str:
    return "\n".join(
        f"## `{name}`\n\n```{{eval-rst}}\n.. automodule:: {name}\n```\n"
        for given in mark[1].split()
        for name in submodules(given)
    )


def _contents(section: str) -> str:
    links = dict.fromkeys(re.findall(r"\]\(([\w/-]+)\.md\)", section))
    caption = section.partition("\n")[0].removeprefix("# ")
    lines = ["", "```{toctree}", ":hidden:", f":caption: {caption}", "", *links, "```", ""]
    return "\n".join(lines) if links else ""


def setup(app: Sphinx) -> None:
    """Give the pages what only the built documentation has, before they are read."""
    app.connect("source-read", _complete)
