"""`lightrec.api` is the one surface that packages import, and its signatures change by versions."""

import ast
import copy
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest
from lightrec_testing.contract import run_python

import lightrec
from lightrec import api
from lightrec.contracts import MIGRATION
from lightrec.hookspecs import API_VERSION
from lightrec.moved import changes
from tests.contracts.signatures import RECORDED, breaks, content, names, versions
from tests.docs.pages import PAGES, blocks, name

ROOT = Path(__file__).parents[2]
PUBLIC = ("lightrec", "lightrec.api", "lightrec_testing")
OTHERS = {
    "lightrec-advertising": 9,
    "lightrec-audit": 109,
    "lightrec-export": 48,
    "lightrec-finance": 9,
    "lightrec-formats": 23,
    "lightrec-generate": 34,
    "lightrec-health": 2,
    "lightrec-images": 7,
    "lightrec-lab": 19,
    "lightrec-news": 2,
    "lightrec-ope": 16,
    "lightrec-rewards": 4,
    "lightrec-rules": 40,
    "lightrec-serve": 31,
    "lightrec-testing": 66,
    "lightrec-tune": 14,
    "lightrec-update": 42,
    "lightrec-video": 5,
    "lightrec-worlds": 41,
    "docs/explanation/slates.md": 2,
    "docs/how-to/filters.md": 1,
    "docs/how-to/learned-policy.md": 2,
    "docs/how-to/new-items.md": 1,
    "docs/how-to/outside-environments.md": 3,
    "docs/how-to/play-from-python.md": 6,
    "docs/how-to/your-predictions.md": 2,
    "docs/reference/metrics.md": 1,
}
"""Number of names from other modules of lightrec's that are imported by packages which ship with
lightrec, and by pages about its inside. A number may only fall; who is not named has none."""


def others(source: str) -> set[str]:
    """The names that code imports from lightrec beside the public ones."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ImportFrom) and node.module == "lightrec":
            open_names = {*lightrec.__all__, "api"}
            names |= {f"lightrec.{each.name}" for each in node.names if each.name not in open_names}
        elif isinstance(node, ast.ImportFrom) and not public(str(node.module)):
            names |= {f"{node.module}.{each.name}" for each in node.names}
        elif isinstance(node, ast.Import):
            names |= {each.name for each in node.names if not public(each.name)}
    return names


def public(module: str) -> bool:
    inside = module.split(".")
    return inside[0] != "lightrec" or ".".join(inside[:2]) in PUBLIC


def sources() -> Iterator[tuple[str, str]]:
    """The Python code of packages beside lightrec, and of pages."""
    for folder in sorted(ROOT.glob("plugins/lightrec-*")):
        for file in folder.glob("lightrec_*/**/*.py"):
            yield folder.name, file.read_text()
    for page in PAGES:
        for block in blocks(page):
            if block.language == "python":
                yield name(page), block.text


def test_packages_and_pages_import_nothing_else():
    imported = defaultdict(set)
    for whose, source in sources():
        imported[whose] |= others(source)
    more = {w: sorted(names) for w, names in imported.items() if len(names) > OTHERS.get(w, 0)}
    assert more == {}, "Import these from lightrec.api, or do without them."


def test_what_is_imported_beside_it_is_seen():
    code = "from lightrec import Run, plugins\nimport lightrec.keys\nfrom lightrec.api import Key\n"
    assert others(code) == {"lightrec.plugins", "lightrec.keys"}
    code = "from lightrec.keys import Key\nfrom lightrec_testing.tiny import X\n"
    assert others(code) == {"lightrec.keys.Key"}


def test_each_name_is_where_the_stub_says():
    assert {name for _, name in names()} == {*api.__all__}
    assert all(getattr(api, each) is not None for each in api.__all__)
    with pytest.raises(AttributeError, match=r"docs/reference/api\.md lists them"):
        api.EventStor  # noqa: B018


def test_importing_it_imports_nothing_heavy():
    heavy = "{'torch', 'polars', 'numpy', 'yaml'}"
    code = f"import sys; from lightrec.api import gives, Key; print({heavy} & {{*sys.modules}})"
    assert run_python(code) == ("set()\n", "")


def test_a_changed_signature_wants_a_new_version():
    assert breaks(json.loads(RECORDED.read_text()), content()) == []
    before, now = content(), content()
    now["domains"]["signatures"]["Domain.fresh"] = "(self) -> None"
    assert breaks(before, now) == []
    now["domains"]["signatures"]["Domain.fresh"] = "@abstractmethod (self) -> None"
    assert "domains are still of version" in breaks(before, now)[0]
    options = "(self, item, *, k: int=10, of: str={}) -> None"
    before["runs"]["signatures"]["Run.next"] = "(self, item, *, k: int=10) -> None"
    now["runs"]["signatures"]["Run.next"] = options.format("''")
    assert "runs" not in " ".join(breaks(before, now))
    now["runs"]["signatures"]["Run.next"] = options.replace("={}", "")
    assert "although Run.next was (self, item, *, k: int=10)" in " ".join(breaks(before, now))
    before = copy.deepcopy(content())
    before["domains"]["signatures"]["Domain.text"] = "(self, items, language)"
    before["rewards"]["signatures"]["Reward.gone"] = "(self)"
    changed, gone = breaks(before, content())
    assert "although Domain.text was (self, items, language) and is (self, items: pl." in changed
    assert "although Reward.gone was (self) and is gone" in gone
    before["domains"]["version"] -= 1
    assert breaks(before, content()) == [gone]


def test_each_name_is_recorded_and_described():
    recorded = {
        name for kind in json.loads(RECORDED.read_text()).values() for name in kind["signatures"]
    }
    assert {*api.__all__} <= recorded, "Run `python -m tests.contracts.signatures`."
    page = (ROOT / "docs/reference/api.md").read_text()
    assert [each for each in api.__all__ if f"`{each}`" not in page] == []


def test_each_change_of_a_contract_is_of_a_kind_and_in_the_migration_page():
    assert max(versions().values()) == API_VERSION
    page = (ROOT / MIGRATION).read_text()
    for change in changes():
        assert change.kind in versions()
        assert change.base.rpartition(".")[2] in api.__all__
        section = page.split(f"\n## Version {change.version}\n")[1].split("\n## ")[0]
        assert f"`{change.base.rpartition('.')[2]}.{change.method}" in section
