"""Each check of a domain, a reader and an evaluator fails for one that is wrong in just that."""

import itertools

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_testing import EvaluatorChecks, ReaderChecks
from lightrec_testing.plugins import kind_of

from lightrec.api import Catalog, DataError, Domain, InteractionLog, Users
from lightrec.data.readers.base import Reader, Tables
from lightrec.data.readers.canonical import write_tables
from lightrec.evaluation.base import Evaluator, Findings, Section, Table

COUNT, NAMES = itertools.count(), Catalog(pl.DataFrame({"item": ["u1", "u2"]}))


class Titles(Domain):
    """As every domain is that says nothing of its own."""

    name = "right"


class Invents(Titles):
    """Writes a log of its own, in which some items are for members, and none is done twice."""

    by_history = True
    column, kinds = "member", ["done"]

    def synthetic(self, folder, seed):
        chance, ids = np.random.default_rng(seed), list("abcdef")
        log = {"user": chance.choice(ids, 40), "item": chance.choice(ids, 40)}
        log |= {"feedback": chance.choice(["done", "begun"], 40), "time": list(range(40))}
        items = pl.DataFrame({"item": ids, "title": ids, "closed": [n < 2 for n in range(6)]})
        users = pl.DataFrame({"user": ids, "member": [n % 2 == 0 for n in range(6)]})
        tables = Tables(InteractionLog(pl.DataFrame(log)), Catalog(items), Users(users))
        write_tables(tables, folder)
        return folder

    def eligible(self, audience):
        member, closed = (
            table[name].fill_null(False).to_numpy()
            if name in table.columns
            else np.zeros(table.height, bool)
            for table, name in ((audience.users, self.column), (audience.items, "closed"))
        )
        return (member[:, None] | ~closed) & ~self.had(audience)

    def had(self, audience):
        return audience.had(self.kinds)


def by_rows(self, audience):
    """Take the numbers of items as rows, which begin with 0."""
    had = np.zeros((audience.users.height, audience.items.height + 2), bool)
    np.put_along_axis(had, audience.past.history, True, axis=1)
    return had[:, :-2]


def joined(self, items):
    others = [name for name in items.columns if name not in ("item", "title", "genres")]
    words = [pl.format(f"{name}: {{}}", pl.col(name).cast(pl.String)) for name in others]
    if not words:
        return Titles.text(self, items)
    return items.select(pl.concat_str(words, ignore_nulls=True).alias("text")).to_series()


def numbered(self, items):
    texts = Titles.text(self, items)
    return pl.Series("text", [f"{row} {text}" for row, text in enumerate(texts)])


def renames(self, items):
    text = Titles.text(self, items)
    if "words" not in items.columns:
        items.insert_column(items.width, text.cast(pl.Binary).alias("words"))
    return text


def beyond_three(self, audience):
    """Shut an item for all but the first three of those who are asked about together."""
    mask = np.ones((audience.users.height, audience.items.height), bool)
    mask[3:, 0] = False
    return mask


def first_user(self, audience):
    first = np.arange(audience.users.height) == 0
    return np.tile(first[:, None], (1, audience.items.height))


def past_unsaid(self, audience):
    return ~audience.had()


class Pairs(Reader):
    """Lines of user and item, parted by a blank, in files that end in ``.pairs``."""

    name = "pairs"
    moment, sample_holds = "2024-01-31", {"events": 3, "users": 2}

    @classmethod
    def recognises(cls, path):
        return path.is_file() and path.suffix == ".pairs"

    def read_log(self, path, columns=None):
        if columns:
            raise DataError("The columns are fixed.", path)
        if not path.exists():
            raise DataError("The file does not exist.", path)
        rows = [line.split() for line in self.text(path).splitlines()]
        if any(len(row) != 2 for row in rows):
            raise DataError("Each line needs a user and an item.", path)
        events = pl.DataFrame(rows, schema=["user", "item"], orient="row")
        return InteractionLog(events.with_columns(pl.lit(self.moment).alias("time")))

    def text(self, path):
        return path.read_text(errors="replace")


def shuffled(self, path, columns=None):
    events = Pairs.read(self, path, columns).log.events
    return Tables(InteractionLog(events.reverse() if next(COUNT) % 2 else events))


def other_items(self, path, columns=None):
    log = Pairs.read(self, path, columns).log
    items = log.events["item"].unique(maintain_order=True)
    return Tables(
        log, Catalog(pl.DataFrame({"item": items.reverse() if next(COUNT) % 2 else items}))
    )


class Files(Evaluator):
    """Counts the run's files."""

    def evaluate(self, run, seed):
        return Findings(self.metrics(run, seed), [self.section])

    section = Section("Files", "How many there are.", [Table(["files"], [["2"]])])

    def metrics(self, run, seed):
        return {"files/count": len(list(run.path.iterdir())), "seed/half": seed / 2}


def seeds(self, run, seed):
    torch.manual_seed(seed)
    return {"files/share": 1.0}


def writes(self, run, seed):
    (run.path / "notes").write_text(str(next(COUNT)))
    return {"files/share": 1.0}


@pytest.fixture
def checks(tmp_path, monkeypatch):
    """The checks of a part, on its file, its run, or a log of its domain."""
    (tmp_path / "log.pairs").write_text("u1 tea\nu1 rope\nu2 lamp\n")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text("{}")

    def checks(part):
        monkeypatch.setattr("lightrec.data.domain.domain_of", lambda store: part())
        paths = {ReaderChecks: [tmp_path / "log.pairs"], EvaluatorChecks: [tmp_path / "run"]}
        return kind_of(part)(part, *paths.get(kind_of(part), []))

    return checks


@pytest.mark.parametrize(
    ("base", "changed", "names"),
    [
        *((right, {}, set()) for right in (Titles, Invents, Pairs, Files)),
        (Titles, {"name": "Two Words"}, {"attributes"}),
        (Titles, {"lifetime": 2}, {"attributes"}),
        (Titles, {"feedback": {"play": "1"}}, {"attributes"}),
        (Titles, {"text": joined}, {"output as declared"}),
        (Titles, {"text": numbered}, {"rows apart"}),
        (Titles, {"text": renames}, {"input unchanged"}),
        (Titles, {"eligible": first_user}, {"eligible"}),
        (Titles, {"eligible": beyond_three}, {"eligible", "renumbered"}),
        (Titles, {"eligible": past_unsaid}, {"eligible", "reads", "renumbered"}),
        (Invents, {"column": "membr"}, {"reads"}),
        (Invents, {"kinds": ["dome"]}, {"reads"}),
        (Invents, {"had": by_rows}, {"renumbered"}),
        (Invents, {"synthetic": lambda s, to, _: Invents.synthetic(s, to, 0)}, {"synthetic"}),
        (
            Invents,
            {"synthetic": lambda s, to, _: Invents.synthetic(s, to, next(COUNT))},
            {"synthetic"},
        ),
        (Pairs, {"recognises": classmethod(lambda cls, path: True)}, {"recognises"}),
        (Pairs, {"read": lambda s, path, columns=None: s.read_log(path, columns)}, {"tables"}),
        (Pairs, {"read": shuffled}, {"deterministic"}),
        (Pairs, {"read": other_items}, {"deterministic"}),
        (Pairs, {"read": lambda s, path, columns=None: Pairs.read(s, path)}, {"refusals"}),
        (Pairs, {"sample_holds": {"events": 3, "users": 3}}, {"contents"}),
        (Pairs, {"read_items": lambda s, path: NAMES}, {"contents"}),
        (Pairs, {"moment": "1970-01-20"}, {"contents"}),
        (Pairs, {"text": lambda s, path: path.read_text("utf-8")}, {"broken files"}),
        (Files, {"metrics": lambda s, run, seed: {"a/b": torch.tensor(1.0)}}, {"metrics"}),
        (Files, {"metrics": writes}, {"input unchanged"}),
        (Files, {"metrics": lambda s, run, seed: {"files/n": next(COUNT)}}, {"deterministic"}),
        (Files, {"metrics": seeds}, {"global chance"}),
        (Files, {"metrics": lambda s, run, seed: {"count": 1.0}}, {"findings"}),
        (Files, {"section": Section("Files", "", [])}, {"findings"}),
    ],
)
def test_a_wrong_one_fails(base, changed, names, checks, failing):
    assert failing(checks(type("Wrong", (base,), changed))) == names


def test_an_evaluator_that_finds_nothing_passes_nothing(checks):
    nothing = type("Nothing", (Files,), {"evaluate": lambda s, run, seed: Findings({})})
    assert {check.outcome()[0] for check in checks(nothing)} == {"not applicable"}
