"""Names of modules that import what they need when a name is used: their stubs say from where."""

import ast
from pathlib import Path


def modules_of(file: str) -> dict[str, str]:
    """The module that defines each name, as the stub beside a file imports it."""
    stub = ast.parse(Path(file).with_suffix(".pyi").read_text("utf-8"))
    return {
        each.name: str(node.module)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for each in node.names
    }
