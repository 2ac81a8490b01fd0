"""The signatures of all that `lightrec.api` has, by kind of part, as they were last recorded.

`python -m tests.contracts.signatures` records them anew, for each release and each new name. It
refuses to where a package that was written for the recorded ones would break and the kind's version
was not raised. Signatures are read from the source, of which nothing is imported.
"""

import ast
import json
import re
import sys
from collections import defaultdict
from functools import cache
from pathlib import Path
from typing import Final

from lightrec import api
from lightrec.moved import changes

ROOT: Final = Path(__file__).parents[2]
RECORDED: Final = Path(__file__).with_suffix(".json")
ABSTRACT: Final = "@abstractmethod"
CALLED: Final = ("runs",)
"""Kinds that packages call and do not define: these may take new options, as constructors may."""
MARKS: Final = ("abstractmethod", "cached_property", "classmethod", "property", "staticmethod")
"""Decorators by which a member is called in another way."""


def signatures() -> dict[str, dict[str, str]]:
    """The signatures by kind, and by names such as ``Domain.eligible``; of hooks, too."""
    by_kind: dict[str, dict[str, str]] = defaultdict(dict)
    for kind, name in names():
        by_kind[kind] |= _of_name(api.MODULES[name], name)
    hooks = [n for n in _statements("lightrec.hookspecs") if isinstance(n, ast.FunctionDef)]
    by_kind["hooks"] |= {n.name: _of_function(n) for n in hooks if n.name[0] != "_"}
    return dict(by_kind)


def names() -> list[tuple[str, str]]:
    """Each name with its kind, which a comment in ``api.pyi`` says of the imports below it."""
    kind, pairs = "", []
    for line in Path(api.__file__).with_suffix(".pyi").read_text().splitlines():
        kind = line.removeprefix("# ") if line.startswith("# ") else kind
        pairs += [(kind, name) for name in re.findall(r"(\w+) as \1", line)]
    return pairs


def versions() -> dict[str, int]:
    """The version of each kind: that of the API which changed it last."""
    kinds = {kind for kind, _ in names()}
    last = {kind: [c.version for c in changes() if c.kind == kind] for kind in kinds}
    return {kind: max([1, *versions]) for kind, versions in sorted(last.items())}


def content() -> dict[str, dict[str, object]]:
    """What is recorded: by kind its version and its signatures."""
    version = versions()
    return {k: {"version": version[k], "signatures": each} for k, each in signatures().items()}


def breaks(before: dict[str, dict], now: dict[str, dict]) -> list[str]:
    """Say what would break a package and is of no new version; new names break nothing.

    :param before: as :func:`content` gives it.
    """
    sentences = []
    for kind, was in before.items():
        is_now = now.get(kind, {"version": 0, "signatures": {}})
        old, new = was["signatures"], is_now["signatures"]
        lost = []
        for name, signature in old.items():
            found = new.get(name, "")
            if kind in CALLED or name.endswith(".__init__"):
                found = _without_options(signature, found)
            lost += [name] if found != signature else []
        changed = [f"{name} was {old[name]} and is {new.get(name, 'gone')}" for name in lost]
        changed += [f"{n} must be defined now" for n in new.keys() - old if ABSTRACT in new[n]]
        if changed and is_now["version"] <= was["version"]:
            sentences.append(
                f"{kind} are still of version {was['version']}, although {'; '.join(changed)}. "
                "State the change under `changed` in lightrec/moved.yaml and in "
                "docs/reference/migration.md, and raise API_VERSION in lightrec/hookspecs.py."
            )
    return sentences


def _without_options(before: str, now: str) -> str:
    """A signature without the options by name that it did not have before."""
    if "(" not in now or "(" not in before:
        return now
    names = {a.arg for a in _parsed(before).args.kwonlyargs}
    node = _parsed(now)
    given = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    kept = [(arg, default) for arg, default in given if default is None or arg.arg in names]
    node.args.kwonlyargs, node.args.kw_defaults = [a for a, _ in kept], [d for _, d in kept]
    return now[: now.index("(")] + _of_function(node)


def _parsed(signature: str) -> ast.FunctionDef:
    node = ast.parse(f"def f{signature[signature.index('(') :]}: ...").body[0]
    assert isinstance(node, ast.FunctionDef)
    return node


def _of_name(module: str, name: str) -> dict[str, str]:
    """The signatures of a name: of a function its own, of a class those of its public members."""
    place, node = _definition(module, name)
    if isinstance(node, ast.FunctionDef):
        return {name: _of_function(node)}
    if isinstance(node, ast.ClassDef):
        return {name: "class"} | {f"{name}.{k}": text for k, text in _members(place, node).items()}
    return {name: "value"}


def _members(module: str, node: ast.ClassDef) -> dict[str, str]:
    members: dict[str, str] = {}
    for base in reversed(node.bases):
        if isinstance(base, ast.Name):
            place, inner = _definition(module, base.id)
            members |= _members(place, inner) if isinstance(inner, ast.ClassDef) else {}
    for each in node.body:
        match each:
            case ast.FunctionDef():
                members[each.name] = _of_function(each)
            case ast.AnnAssign(target=ast.Name(id=name)):
                default = " = …" if each.value is not None else ""
                members[name] = f"{ast.unparse(each.annotation)}{default}"
            case ast.Assign(targets=[ast.Name(id=name)]):
                members[name] = "value"
    public = ("__init__", "__call__")
    return {name: text for name, text in members.items() if name in public or name[0] != "_"}


def _of_function(node: ast.FunctionDef) -> str:
    marks = [f"@{mark} " for mark in map(ast.unparse, node.decorator_list) if mark in MARKS]
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{''.join(marks)}({ast.unparse(node.args)}){returns}"


def _definition(module: str, name: str) -> tuple[str, ast.AST | None]:
    """Where a name is defined, and how; None for what is no class or function of lightrec's."""
    for node in _statements(module):
        if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name == name:
            return module, node
        if isinstance(node, ast.ImportFrom) and name in {a.asname or a.name for a in node.names}:
            inside = str(node.module).startswith("lightrec")
            return _definition(str(node.module), name) if inside else (module, None)
    return module, None


@cache
def _statements(module: str) -> list[ast.stmt]:
    path = ROOT.joinpath(*module.split("."))
    files = (path.with_suffix(".py"), path / "__init__.py")
    return next((ast.parse(file.read_text()).body for file in files if file.is_file()), [])


def main() -> int:
    """Record the signatures of now, unless they break packages under an old version."""
    recorded = json.loads(RECORDED.read_text()) if RECORDED.is_file() else {}
    if sentences := breaks(recorded, content()):
        print("\n".join(sentences), file=sys.stderr)
        return 1
    RECORDED.write_text(json.dumps(content(), indent=1, ensure_ascii=False) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
