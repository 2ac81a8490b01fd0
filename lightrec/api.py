"""All that a package beside lightrec imports, and what semantic versioning is promised for.

``docs/reference/api.md`` describes each name. Tests of a package import :mod:`lightrec_testing`,
too; all other modules may change in any release. Nothing heavy is imported until a name is used:
``api.pyi`` says where each stands, for type checkers and for this module.
"""

import ast
from pathlib import Path

_STUB = ast.parse(Path(__file__).with_suffix(".pyi").read_text("utf-8"))
MODULES = {
    each.name: str(node.module)
    for node in _STUB.body
    if isinstance(node, ast.ImportFrom)
    for each in node.names
}
"""The module that defines each name."""
__all__ = sorted(MODULES)


def __getattr__(name: str) -> object:
    if name not in MODULES:
        raise AttributeError(
            f"module 'lightrec.api' has no attribute {name!r}: docs/reference/api.md lists them"
        )
    # As `from … import` does, which finds modules, too.
    value = getattr(__import__(MODULES[name], fromlist=[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
