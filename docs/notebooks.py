"""Four tutorials as notebooks: `make notebooks` makes them of the pages and runs them.

A console of a page becomes a cell of bash, Python a cell of Python; all else stays text. The last
cell shows the run itself: three people's lists, with reasons. `python -m docs.notebooks` writes the
notebooks, `--check` fails where one is not what its page makes, `--run` runs them in empty folders
and compares what the pages' tests compare.
"""

import argparse
import os
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter

import nbformat
from nbclient import NotebookClient
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from tests.docs.pages import FENCE, Block, blocks, commands

HERE = Path(__file__).parent
TUTORIALS = ("your-log", "shop", "news", "health")
KERNEL = {"name": "python3", "display_name": "Python 3", "language": "python"}
FIRST = (
    "[The tutorial](../tutorials/{}.md) as a notebook. Start Jupyter in an empty folder, in the "
    "environment that lightrec is installed in."
)
LAST = """## Three people, their lists, and why

The reason for an item is the past event without which it would lose most places."""
SECONDS = 900
"""A cell may take, at most."""


def notebook(name: str) -> NotebookNode:
    """What a tutorial's page makes, without results."""
    page = HERE / "tutorials" / f"{name}.md"
    text, at = page.read_text(encoding="utf-8"), 0
    cells = [new_markdown_cell(FIRST.format(name))]
    for fence, block in zip(FENCE.finditer(text), blocks(page), strict=True):
        if (cell := code(block)) is not None:
            cells += [new_markdown_cell(linked(text[at : fence.start()], name)), cell]
            at = fence.end()
    out = re.search(r"--out (runs/\S+)", text)[1]
    shown = new_code_cell(f'import lightrec\n\nlightrec.load("{out}")')
    cells += [new_markdown_cell(linked(text[at:], name)), new_markdown_cell(LAST), shown]
    cells = [cell for cell in cells if cell.source]
    for number, cell in enumerate(cells):
        cell.id = f"{name}-{number}"
    return new_notebook(cells=cells, metadata={"kernelspec": KERNEL})


def code(block: Block) -> NotebookNode | None:
    """The cell that a block becomes; None where it stays text."""
    if "not run" in block.marks or block.language not in ("console", "python"):
        return None
    if block.language == "python":
        return new_code_cell(block.text.strip())
    said = commands(block)
    cell = new_code_cell("\n".join(["%%bash -e", *(command for command, _ in said)]))
    if "compared" in block.marks:
        cell.metadata["compared"] = "".join(output for _, output in said)
    return cell


def linked(text: str, name: str) -> str:
    """Markdown whose links lead from the notebooks' folder to where they led from the page's."""
    text = re.sub(r"\]\((?=[\w-]+\.md)", "](../tutorials/", text.strip())
    return text.replace("](#", f"](../tutorials/{name}.md#")


def run(made: NotebookNode) -> None:
    """Run a notebook in an empty folder.

    :raises CellExecutionError: where a cell fails.
    :raises AssertionError: where one prints something else than its page shows.
    """
    with TemporaryDirectory() as folder:
        resources = {"metadata": {"path": folder}}
        NotebookClient(made, timeout=SECONDS, kernel_name="python3", resources=resources).execute()
    for cell in made.cells:
        if (expected := cell.metadata.get("compared")) is not None:
            printed = "".join(o.text for o in cell.outputs if o.get("name") == "stdout")
            assert printed == expected, f"{cell.source} printed\n{printed}"
    assert any("text/html" in output.get("data", ()) for output in made.cells[-1].outputs)


def main() -> int:
    """Write, check or run the notebooks; 1 where a check fails."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--run", action="store_true")
    parser.add_argument("names", nargs="*", default=TUTORIALS, help="of tutorials; all by default")
    given = parser.parse_args()
    os.environ["PATH"] = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    stale = 0
    for name in given.names:
        made, file = notebook(name), HERE / "notebooks" / f"{name}.ipynb"
        written = nbformat.writes(made) + "\n"
        if given.run:
            begin = perf_counter()
            run(made)
            print(f"{name}: {len(made.cells)} cells in {perf_counter() - begin:.0f} s", flush=True)
        elif not given.check:
            file.parent.mkdir(exist_ok=True)
            file.write_text(written, encoding="utf-8")
        elif not file.is_file() or file.read_text(encoding="utf-8") != written:
            print(f"{file.relative_to(HERE.parent)} is not what its page makes: `make pages`.")
            stale = 1
    return stale


if __name__ == "__main__":
    sys.exit(main())
