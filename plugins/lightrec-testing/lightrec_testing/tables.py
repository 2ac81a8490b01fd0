"""The contracts of what reads files and tables: domains, readers, evaluators."""

import datetime
import hashlib
import math
import re
import shutil
import tempfile
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl

from lightrec.api import Catalog, Column, DataError, Domain, Evaluator, InteractionLog, Run, Users
from lightrec.data.readers.base import Reader, Tables, find_reader
from lightrec_testing import tiny
from lightrec_testing.contract import DoesNotApply, Faults, NotChecked, Note, promise
from lightrec_testing.invariants import PartChecks, differences
from lightrec_testing.masks import MaskChecks

ODD_ATTRIBUTES = (
    pl.Series("number", [1.5, None, float("nan"), float("inf")]),
    pl.Series("flag", [True, None, False, True]),
    pl.Series("day", [datetime.date(2024, 1, 31), None, None, None]),
    pl.Series("moment", [datetime.datetime(2024, 1, 31, 12), None, None, None]),
    pl.Series("length", [datetime.timedelta(minutes=3), None, None, None]),
    pl.Series("hour", [datetime.time(12, 30), None, None, None]),
    pl.Series("words", [["a", None], [], None, ["b"]]),
    pl.Series("maker", [{"name": "Ada", "year": 1}, {"name": None, "year": None}, None, None]),
    pl.Series("parts", [[{"a": 1}], [], None, [{"a": None}]]),
    pl.Series("pair", [[1, 2], [3, 4], None, [5, 6]], dtype=pl.Array(pl.Int64, 2)),
    pl.Series("kind", ["tea", None, "rope", "tea"], dtype=pl.Categorical),
    pl.Series("bytes", [b"\xff", None, b"", b"tea"]),
    pl.Series("nothing", [None, None, None, None], dtype=pl.Null),
    *(pl.Series(name, [1.5, None, 2.0, 3.0]) for name in ("price {EUR}", "a b", "é", "100%")),
)
"""Columns of item tables elsewhere, with their names: four rows of each type."""


IDS = (Column.USER, Column.ITEM)
FIRST = datetime.datetime(1990, 1, 1, tzinfo=datetime.UTC)
"""Times before this are of another unit."""


class DomainChecks(MaskChecks):
    """The checks of a domain."""

    inputs, outputs = "items", "texts"
    hint = "Fill what is not known with an empty string, and leave out what has no words."
    devices = gradients = None  # type: ignore[assignment]

    def _input(self, part: Domain | None) -> pl.DataFrame:
        items = {
            Column.ITEM: ["a", "b", "c", "d"],
            Column.TITLE: ["A red lamp", None, None, "茶 🍵 שלום"],
            "year": [1995, 2001, None, None],
            "genres": [["tea", "rope"], ["tea"], None, []],
            "maker": ["Ada", None, None, "{}"],
        }
        return pl.DataFrame(items)

    def _call(self, part: Domain, items: pl.DataFrame) -> pl.Series:
        return part.text(items)

    def _declared(self, part: Domain, items: pl.DataFrame) -> tuple[tuple[int, ...], object]:
        return (items.height,), pl.String()

    def _not_finite(self, output: pl.Series) -> int:
        return output.null_count()

    def _odd(self, part: Domain) -> dict[str, pl.DataFrame]:
        items = self.standard()
        plain = items.select(Column.ITEM, Column.TITLE)
        nulls = [pl.lit(None, dtype).alias(name) for name, dtype in items.schema.items()][1:]
        catalogs = {
            "titles only": plain,
            "ids only": items.select(Column.ITEM),
            "no known title": items.with_columns(nulls[0]),
            "nothing known": items.with_columns(nulls),
        }
        odd = {f"{a.name}, {a.dtype}": plain.with_columns(a) for a in ODD_ATTRIBUTES}
        return {f"a catalog with {what}": catalog for what, catalog in (catalogs | odd).items()}

    @promise(
        'Set `name = "my-domain"` in the class, `repeats = True` where people come back to an item '
        "or else False, and define `sample` or leave `sample_name` out."
    )
    def attributes(self) -> Faults:
        """A domain's name is a plain word (small letters, digits, hyphens, a letter first),
        `repeats` is True or False, `lifetime` None or a timedelta, `feedback` has a number for each
        kind, and `sample_name` is None or what the method `sample` fetches.
        """
        domain = self.make()
        if not (isinstance(domain.name, str) and re.fullmatch(r"[a-z][a-z0-9_-]*", domain.name)):
            yield f"The name is {domain.name!r}."
        if not isinstance(domain.repeats, bool):
            yield f"`repeats` is {domain.repeats!r}."
        if not isinstance(domain.lifetime, datetime.timedelta | None):
            yield f"`lifetime` is {domain.lifetime!r}, and no timedelta."
        if not isinstance(domain.disclaimer, str):
            yield f"`disclaimer` is {domain.disclaimer!r}, and no text."
        worths = domain.feedback.values()
        if not all(type(worth) in (int, float) and math.isfinite(worth) for worth in worths):
            yield f"`feedback` is {dict(domain.feedback)!r}, and no finite number for each kind."
        if domain.sample_name is not None and type(domain).sample is Domain.sample:
            yield f"`sample_name` is {domain.sample_name!r}, and `sample` is not defined."

    @promise("Draw from a generator that is made from the seed, and write with `write_made_up`.")
    def synthetic(self) -> Faults:
        """A synthetic log is read, has items, and is the same again for the same seed alone."""
        logs = list[dict[str, pl.DataFrame]]()
        for seed in (1, 1, 2):
            with tempfile.TemporaryDirectory() as folder:
                if (path := self.make().synthetic(Path(folder), seed)) is None:
                    raise DoesNotApply("It makes up no log.")
                tables = find_reader(path).read(path)
                logs.append({"events": tables.log.events})
                if tables.catalog is None:
                    yield "There is no item table."
        yield from differences(logs[0], logs[1])
        if not any(differences(logs[0], logs[2])):
            yield "Another seed gives the same log."


class FileChecks(PartChecks):
    """The checks of a part that reads files.

    :param make: builds a fresh part, such as its class.
    :param path: a file or folder for the part, or a function that makes one.
    """

    def __init__(
        self, make: Callable[[], Any], path: Path | Callable[[], Path], part: str = ""
    ) -> None:
        super().__init__(make, part)
        self.path = cache(path) if callable(path) else lambda: path

    def _input(self, part: object) -> Path:
        return self.path()

    def _snapshot(self, path: Path) -> dict[str, str]:
        files = (file for file in sorted([path, *path.rglob("*")]) if file.is_file())
        return {str(file): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


class ReaderChecks(FileChecks):
    """The checks of a reader, on a file or folder in its format."""

    inputs, outputs = "files", "tables"
    sample = "path"

    def _call(self, part: Reader, path: Path) -> dict[str, object]:
        tables = part.read(path)
        frames = {"log": "events", "catalog": "rows", "users": "rows"}
        # What is no table at all is the check `tables`' affair.
        named = {name: getattr(tables, name, None) for name in frames}
        return {name: getattr(named[name], frame, None) for name, frame in frames.items()}

    @promise(
        'Set `name = "my-format"` in the class, and look at names, suffixes or the first line in '
        "`recognises`."
    )
    def recognises(self) -> Faults:
        """A reader has a name, and recognises its own format, but not folders and files of noise,
        nor paths where nothing is.
        """
        reader, path = self.make(), self.standard()
        if not (isinstance(getattr(reader, "name", None), str) and reader.name):
            yield f"The name is {getattr(reader, 'name', None)!r}."
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "noise").write_bytes(bytes(range(256)))
            (folder / "empty").touch()
            (folder / "inside").mkdir()
            noise = [folder, *(folder / name for name in ("noise", "empty", "inside", "none"))]
            for place in (path, *noise):
                if (answer := reader.recognises(place)) is not (place == path):
                    yield f"For {place.name}, `recognises` gave {answer!r}."

    @promise("Return `Tables(InteractionLog(frame), catalog, users)` from `read`.")
    def tables(self) -> Faults:
        """`read` gives Tables with an InteractionLog of one event or more."""
        tables = self.make().read(self.standard())
        good = (
            isinstance(tables, Tables)
            and isinstance(tables.log, InteractionLog)
            and isinstance(tables.catalog, Catalog | None)
            and isinstance(tables.users, Users | None)
        )
        if not good or not len(tables.log):
            yield f"It gave {tables!r:.200}."

    @promise(
        "Look at the order of columns and the unit of times; read what is left out, or state what "
        "there is in `sample_holds`."
    )
    def contents(self) -> Faults:
        """Tables hold what `sample_holds` states; their ids meet those of the log, and times lie
        between 1990 and tomorrow.
        """
        reader, path = self.make(), self.standard()
        tables = reader.read(path)
        if not isinstance(tables, Tables):
            raise NotChecked("It gives no Tables.")
        events = tables.log.events
        holds: dict[str, Any] = {"events": events.height}
        holds |= {f"{name}s": events[name].n_unique() for name in IDS}
        holds["kinds"] = sorted(events[Column.FEEDBACK].drop_nulls().unique())
        holds |= {"first": events[Column.TIME].min(), "last": events[Column.TIME].max()}
        for name, number in getattr(reader, "sample_holds", {}).items():
            if holds.get(name) != number:
                there = ", ".join(f"{what} {count}" for what, count in holds.items())
                yield f"`sample_holds` states {name} {number!r}, and it holds {there}."
        for name, table in (("item", tables.catalog), ("user", tables.users)):
            rows = set() if table is None else {*table.rows[name]}
            ids = {n: not rows.isdisjoint(events[n]) for n in IDS}
            if rows and events[name].count() and not ids[name]:
                others = [n for n in IDS if ids[n]]
                swapped = f", which are in its column {others[0]}" if others else ""
                yield f"No {name} of the log has one of the ids of the {name} table{swapped}."
        tomorrow = datetime.datetime.now(datetime.UTC) + datetime.timedelta(days=1)
        first, last = holds["first"], holds["last"]
        if first is not None and not FIRST <= first <= last <= tomorrow:
            yield f"Times lie between {first:%Y-%m-%d} and {last:%Y-%m-%d}."
        if path.is_file() and b"\0" not in path.read_bytes()[:1000]:
            lines = len(path.read_bytes().splitlines())
            if len(events) < lines - 1:
                yield Note(f"It reads {len(events)} events from {lines} lines.")

    @promise(
        "Look for the file's columns that `columns` names, or refuse it with a DataError where the "
        "format is fixed; raise `DataError('The file does not exist.', path)`."
    )
    def refusals(self) -> Faults:
        """`columns` that names a column which the file lacks, and a path where there is nothing,
        are refused with a DataError.
        """
        path = self.standard()
        absent = path.with_name(f"no-such-thing{path.suffix}")
        for arguments in ((path, {"item": "no such column here"}), (absent,)):
            try:
                outcome = f"It was read, and gave {self.make().read(*arguments)!r:.100}."
            except DataError:
                continue
            except Exception as error:
                outcome = f"It raised {type(error).__name__}: {error!s:.200}."
            yield f"For {arguments[-1]}: {outcome}"

    @promise("Raise DataError with whole sentences; look at each value before it is converted.")
    def broken_files(self) -> Faults:
        """A file that is empty, cut off or damaged is read as far as it goes, or refused with a
        DataError in whole sentences.
        """
        path = self.standard()
        damages: dict[str, Callable[[bytes], bytes]] = {
            "empty": lambda content: b"",
            "cut off": lambda content: content[: len(content) // 2],
            "of noise": lambda content: bytes(range(256)),
            "of other letters": lambda content: re.sub(rb"[0-9'\"]", b"x", content),
        }
        for file in [path] if path.is_file() else sorted(f for f in path.iterdir() if f.is_file()):
            for what, damage in damages.items():
                with tempfile.TemporaryDirectory() as folder:
                    copy = Path(folder) / path.name
                    (shutil.copytree if path.is_dir() else shutil.copy)(path, copy)
                    broken = copy / file.name if path.is_dir() else copy
                    broken.write_bytes(damage(file.read_bytes()))
                    try:
                        self.make().read(copy)
                        continue
                    except DataError as error:
                        fragments = [
                            text
                            for text in error.problems
                            if len(text.split()) < 3 or not text.rstrip().endswith((".", ")"))
                        ]
                        fault = f"'{fragments[0]}' is no sentence" if fragments else ""
                    except Exception as error:
                        fault = f"it raised {type(error).__name__}: {error!s:.200}"
                if fault:
                    yield f"Where {file.name} is {what}, {fault}."


OWN = "in the package's own tests, give `EvaluatorChecks` one of its domain."


class EvaluatorChecks(FileChecks):
    """The checks of an evaluator, on the folder of a finished run; by default a tiny one."""

    inputs, outputs = "runs", "metrics"
    saved = None  # type: ignore[assignment]

    def __init__(
        self,
        make: Callable[[], Evaluator],
        path: Path | Callable[[], Path] = tiny.kit_run,
        part: str = "",
    ) -> None:
        super().__init__(make, path, part)

    def _call(self, part: Evaluator, path: Path) -> Mapping[str, float]:
        if not (metrics := part.evaluate(Run(path), 3).metrics):
            raise DoesNotApply(f"It gives no metrics for this run: {OWN}")
        return metrics

    @promise(
        "Join names with slashes into one string, turn tensors into numbers with `float`, and "
        "leave out what cannot be computed."
    )
    def metrics(self) -> Faults:
        """Metrics are a dictionary with flat keys such as `test/ndcg@10`, without blanks, and
        finite numbers of Python's own types.
        """
        for key, value in self.trials[0][0].items():
            if not isinstance(key, str) or not key or " " in key:
                yield f"There is the key {key!r}."
            if type(value) not in (int, float) or not math.isfinite(value):
                yield f"The value of {key} is {value!r}."

    @promise(
        "Begin the names of metrics with a word of your own, as in `chess/openings`, and say in "
        "each section what it is about."
    )
    def findings(self) -> Faults:
        """Metrics have names of the evaluator's own, with a slash; sections a title and a text."""
        run = Run(self.path())
        findings = self._ready().evaluate(run, 3)
        if not (findings.metrics or findings.sections):
            raise DoesNotApply(f"It finds nothing in this run: {OWN}")
        earlier = {
            key for stage in ("text", "ranker") if run.has(stage) for key in run.metrics(stage)
        }
        for key in findings.metrics:
            if key in earlier or "/" not in key:
                yield f"A metric is called {key!r}."
        for section in findings.sections:
            if not (section.title and section.text):
                yield f"The section {section.title!r} has no title or no text."
