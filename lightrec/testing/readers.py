"""The contract of readers: a file of one's own is read, and anything else refused in words."""

import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl

from lightrec.data.catalog import Catalog, Users
from lightrec.data.log import InteractionLog
from lightrec.data.readers.base import Reader, Tables
from lightrec.errors import DataError
from lightrec.testing.contract import Check, checks_of, expect, name_of, run_all

MakeReader = Callable[[], Reader]


def reader_checks(
    make: MakeReader, path: Path | Callable[[], Path], part: str | None = None
) -> list[Check]:
    """Give the checks of a reader.

    :param make: builds a fresh reader, such as its class.
    :param path: a file or folder in the reader's format, or what gives one when it is needed.
    :param part: the reader's name in ids and messages; by default that of ``make``.
    """
    return checks_of(part or name_of(make), CHECKS, make, path)


def check_reader(make: MakeReader, path: Path) -> None:
    """Run all checks of a reader.

    :raises ContractError: that lists all that failed.
    """
    run_all(reader_checks(make, path))


def name(make: MakeReader, path: Path | Callable[[], Path]) -> None:
    """A word for messages."""
    found = getattr(make(), "name", None)
    expect(
        isinstance(found, str) and found,
        "A reader's `name` is a word for its format.",
        f"It is {found!r}.",
        'Set `name = "my-format"` in the class.',
    )


def own_path(make: MakeReader, path: Path | Callable[[], Path]) -> None:
    """A reader recognises its own."""
    own = _path(path)
    found = make().recognises(own)
    expect(
        found is True,
        f"A reader recognises its own format, here {own.name}.",
        f"`recognises` gave {found!r}.",
        "Return True where the name or the first line is right.",
    )


def noise(make: MakeReader, path: Path | Callable[[], Path]) -> None:
    """A reader leaves what is another's, or nobody's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "noise").write_bytes(bytes(range(256)))
        (folder / "empty").touch()
        (folder / "inside").mkdir()
        places = (folder, folder / "noise", folder / "empty", folder / "inside", folder / "none")
        taken = [place.name for place in places if make().recognises(place) is not False]
    expect(
        not taken,
        "A reader does not recognise folders and files of noise, nor paths where nothing is.",
        f"It took {len(taken)} of {len(places)} for its own, or gave something other than a bool.",
        "Look at names, suffixes or the first line in `recognises`.",
    )


def tables(make: MakeReader, path: Path | Callable[[], Path]) -> None:
    """A log comes out, with the tables beside it."""
    found = make().read(_path(path))
    good = (
        isinstance(found, Tables)
        and isinstance(found.log, InteractionLog)
        and isinstance(found.catalog, Catalog | None)
        and isinstance(found.users, Users | None)
    )
    expect(
        good and len(found.log) > 0,
        "`read` gives Tables with an InteractionLog of one event or more.",
        f"It gave {found!r:.200}.",
        "Return `Tables(InteractionLog(frame), catalog, users)` from `read`.",
    )


def same_again(make: MakeReader, path: Path | Callable[[], Path]) -> None:
    """Reading twice gives the same."""
    own = _path(path)
    first, second = (_frames(make().read(own)) for _ in range(2))
    differing = [
        kind for kind in {*first, *second} if not _equal(first.get(kind), second.get(kind))
    ]
    expect(
        not differing,
        "Reading a file twice gives the same tables.",
        f"These differ: {', '.join(sorted(differing))}.",
        "Keep the order of the file; sort what comes out of a set or a dictionary of files.",
    )


def unknown_columns(make: MakeReader, path: Path | Callable[[], Path]) -> None:
    """A column that is not there is named in an error."""
    own = _path(path)
    _refused(
        lambda: make().read(own, {"item": "no such column here"}),
        "`columns` that names a column which the file does not have is refused with a DataError.",
        "Match columns with `lightrec.data.readers.table.match_columns`, or refuse `columns` "
        "where the format is fixed.",
    )


def missing_file(make: MakeReader, path: Path | Callable[[], Path]) -> None:
    """A path where nothing is gives an error in words."""
    own = _path(path)
    _refused(
        lambda: make().read(own.with_name(f"no-such-thing{own.suffix}")),
        "A path where there is nothing is refused with a DataError.",
        "Raise `DataError('The file does not exist.', path)`.",
    )


CHECKS = (name, own_path, noise, tables, same_again, unknown_columns, missing_file)


def _path(path: Path | Callable[[], Path]) -> Path:
    return path if isinstance(path, Path) else path()


def _refused(read: Callable[[], object], expected: str, mend: str) -> None:
    try:
        found = read()
    except DataError:
        return
    except Exception as error:
        expect(False, expected, f"It raised {type(error).__name__}: {error!s:.200}.", mend)
    expect(False, expected, f"It was read, and gave {found!r:.100}.", mend)


def _frames(tables: Tables) -> Mapping[str, pl.DataFrame]:
    frames = {"log": tables.log.events}
    if tables.catalog is not None:
        frames["catalog"] = tables.catalog.items
    if tables.users is not None:
        frames["users"] = tables.users.users
    return frames


def _equal(one: pl.DataFrame | None, other: pl.DataFrame | None) -> bool:
    if one is None or other is None:
        return one is other
    return one.schema == other.schema and one.equals(other)
