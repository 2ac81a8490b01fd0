"""Every described set of the repository: its example is told apart, and read as it says."""

import gzip
from pathlib import Path

import pytest
from lightrec_formats.described import DescribedReader, described, write_example
from lightrec_testing import ReaderChecks, check_all

from lightrec.data.readers.base import find_reader
from lightrec.errors import DataError

PLUGINS = Path(__file__).parents[2]
FILES = {file: described(file) for file in sorted(PLUGINS.glob("*/lightrec_*/sets.yaml"))}
SETS = [(file, name) for file, sets in FILES.items() for name in sets]


@pytest.mark.parametrize(("file", "name"), SETS, ids=[name for _, name in SETS])
def test_an_example_is_read_as_it_says(file, name, tmp_path):
    told, folder = FILES[file][name], tmp_path / "set"
    folder.mkdir()
    place = write_example(told, folder)
    reader = find_reader(place, told.get("reader"))
    module = pytest.importorskip(f"{file.parent.name}.readers")
    assert isinstance(reader, DescribedReader)
    assert type(reader).__module__ == module.__name__
    assert type(reader).found(place).name == name
    tables = reader.read(place)
    latest = tables.log.events["time"].max()
    # Some sets count from a day that is not published, which stands at 1970.
    unknown = latest is not None and latest.year == 1970
    every = ReaderChecks(type(reader), place)
    check_all(each for each in every if not (unknown and each.name == "contents"))
    found = {"log": tables.log.events}
    found |= {"items": tables.catalog and tables.catalog.rows}
    found |= {"users": tables.users and tables.users.rows}
    for query, frame in found.items():
        rows, stated = [] if frame is None else frame.to_dicts(), told["gives"].get(query, [])
        assert len(rows) == len(stated), query
        for row, expected in zip(rows, stated, strict=True):
            words = {k: str(row[k]) if k == "time" and row[k] else row[k] for k in expected}
            assert words == expected


def test_messages_name_files_lines_and_where_the_set_is_from(tmp_path):
    pytest.importorskip("lightrec_advertising")
    sets = FILES[PLUGINS / "lightrec-advertising" / "lightrec_advertising" / "sets.yaml"]
    file = write_example(sets["hillstrom"], tmp_path) / "trial.csv"
    text = file.read_text()
    file.write_text(text.replace("29.99", "much"))
    with pytest.raises(DataError, match="Line 3, column 'value': 'much' is not a number"):
        find_reader(file).read(file)
    file.write_text(text.replace("zip_code", "zip"))
    with pytest.raises(
        DataError, match=r"trial.csv: not as 'hillstrom' was published .https.*zip_code"
    ):
        find_reader(file).read(file)
    with pytest.raises(DataError, match="cannot be named"):
        find_reader(file).read(file, {"item": "segment"})


def test_a_compressed_file_is_told_apart(tmp_path):
    sets = FILES[PLUGINS / "lightrec-advertising" / "lightrec_advertising" / "sets.yaml"]
    file = write_example(sets["criteo-uplift"], tmp_path) / "criteo-uplift-v2.1.csv"
    packed = file.with_name(f"{file.name}.gz")
    packed.write_bytes(gzip.compress(file.read_bytes()))
    file.unlink()
    assert len(find_reader(tmp_path).read(tmp_path).log) == 4
    packed.write_bytes(b"no such thing")
    with pytest.raises(DataError):
        find_reader(tmp_path).read(tmp_path)
