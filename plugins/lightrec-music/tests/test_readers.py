"""Last.fm's files, from a hand-written folder and from the real one."""

import os
from pathlib import Path

import pytest
from lightrec_music.readers import LastfmReader

from lightrec.data.readers.base import find_reader
from lightrec.errors import DataError
from lightrec.testing import ReaderChecks, check_all


@pytest.fixture
def small(tmp_path: Path) -> Path:
    files = {
        "user_artists.dat": "userID\tartistID\tweight\r\n2\t51\t13883\r\n3\t52\t7\r\n",
        "artists.dat": 'id\tname\turl\tpictureURL\n51\tSigur Rós\tu\tp\n52\t"Weird Al"\tu\tp\n',
        "tags.dat": "tagID\ttagValue\r\n1\tpost-rock\r\n2\tislande \xe9t\xe9\r\n3\tcomedy\r\n",
        "user_taggedartists.dat": "userID\tartistID\ttagID\tday\tmonth\tyear\n"
        "2\t51\t2\t1\t4\t2009\n2\t51\t1\t1\t4\t2009\n3\t51\t1\t1\t5\t2009\n9\t99\t3\t1\t4\t2009\n",
        "user_friends.dat": "userID\tfriendID\r\n2\t3\r\n2\t4\r\n3\t2\r\n",
    }
    for name, text in files.items():
        encoding = "latin-1" if name == "tags.dat" else "utf-8"
        (tmp_path / name).write_bytes(text.encode(encoding))
    return tmp_path


def test_a_small_folder(small: Path) -> None:
    for path in (small, small / "user_artists.dat"):
        check_all(ReaderChecks(LastfmReader, path))
        assert isinstance(find_reader(path), LastfmReader)
        tables = LastfmReader().read(path)
        assert tables.log.events.select("user", "item", "count", "feedback").rows() == [
            ("2", "51", 13883, "count"),
            ("3", "52", 7, "count"),
        ]
        assert tables.catalog is not None
        assert tables.catalog.rows.drop("text").rows() == [
            ("51", "Sigur Rós", ["post-rock", "islande été"]),
            ("52", '"Weird Al"', None),
        ]
        assert tables.users is not None
        assert tables.users.rows.rows() == [("2", ["3", "4"]), ("3", ["2"])]


def test_plays_alone_are_enough(small: Path) -> None:
    for name in ("artists.dat", "user_friends.dat"):
        (small / name).unlink()
    tables = LastfmReader().read(small)
    assert (len(tables.log), tables.catalog, tables.users) == (2, None, None)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("user_artists.dat", "userID\tartistID\n2\t51\n", "names no column 'weight'; it names 'u"),
        ("user_artists.dat", "userID\tartistID\tweight\n2\t51\tmany\n", "'weight': 'many' is not"),
        ("user_artists.dat", "", "user_artists.dat: The file is empty"),
        ("artists.dat", "id\tname\n51\n", "artists.dat: Line 2 has 1 field where 2 are expected"),
        ("artists.dat", "id\tname\n51\ta\n51\tb\n", "Line 3: item '51' is in an earlier row too"),
        ("tags.dat", "tag\n1\n", "tags.dat: The first line names no column 'tagID' and no column"),
        ("user_friends.dat", "userID\tfriendID\n2\t3\t4\n", "Line 2 has 3 fields where 2"),
    ],
)
def test_problems_are_named(small: Path, name: str, text: str, message: str) -> None:
    (small / name).write_text(text)
    with pytest.raises(DataError, match=message):
        LastfmReader().read(small)


def test_what_is_not_its_own(tmp_path: Path, small: Path) -> None:
    assert not LastfmReader.recognises(small / "artists.dat")
    assert not LastfmReader.recognises(tmp_path / "nothing")
    with pytest.raises(DataError, match="fixed"):
        LastfmReader().read(small, {"item": "sku"})


def test_the_real_set() -> None:
    data = os.environ.get("LIGHTREC_TEST_DATA")
    if not data:
        pytest.skip("LIGHTREC_TEST_DATA is not set")
    tables = LastfmReader().read(Path(data) / "hetrec2011-lastfm-2k")
    assert len(tables.log) == 92_834
    assert tables.catalog is not None
    assert tables.users is not None
    assert len(tables.catalog.rows) == 17_632
    assert len(tables.users.rows) == 1_892
    # The set's readme counts 25,434 pairs, and 12,717 friendships, which go both ways.
    assert tables.users.rows["friends"].list.len().sum() == 25_434
    names = dict(tables.catalog.rows.select("item", "title").iter_rows())
    assert names["89"] == "Lady Gaga"
    tags = dict(tables.catalog.rows.select("item", "tags").iter_rows())
    assert tags["89"][:2] == ["pop", "dance"]
