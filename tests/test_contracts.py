"""Which methods keep a contract: those that can be called as lightrec calls them."""

import pytest

from lightrec import contracts
from lightrec.data.domain import Domain
from lightrec.moved import Change


def of(text, stated=2):
    """What is said of a domain of another package that has one method."""
    names = {"__name__": "my_package", "Domain": Domain}
    exec(f"class Chess(Domain):\n    name = 'chess'\n{text}", names)
    return contracts.outdated(names["Chess"], stated)


@pytest.mark.parametrize(
    "method",
    [
        "def text(self, table): ...",
        "def text(self, items, /, tongue='en', *, short=False): ...",
        "@staticmethod\n    def text(items): ...",
        "def text(self, *rows, **more): ...",
        "text = Domain.text",
        "def eligible(self, audience): ...",
        "def _text(self): ...",
        "def new(self, a, b): ...",
    ],
)
def test_what_can_be_called_keeps_the_contract(method):
    assert of(f"    {method}\n") == ""


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("def text(self): ...", "method text() overrides Domain.text(items)"),
        ("def text(self, items, tongue): ...", "text(items, tongue) overrides Domain.text(items)"),
        ("def text(items): ...", "method text() overrides"),
    ],
)
def test_what_cannot_be_called_is_named_with_both(method, said):
    assert said in of(f"    {method}\n")


def test_a_version_counts_where_the_class_has_what_changed(monkeypatch):
    eligible = "    def eligible(self, audience): ...\n"
    assert "written for version 1" in of(eligible, stated=1)
    assert of(eligible, stated=None) == of("", stated=1) == ""
    whole = Change("domains", 3, "lightrec.data.domain.Domain", "", "Domain is another")
    monkeypatch.setattr(contracts, "changes", lambda: (whole,))
    assert "version 3 changed domains: Domain is another. Change this" in of("", stated=2)
    assert of("", stated=3) == ""
