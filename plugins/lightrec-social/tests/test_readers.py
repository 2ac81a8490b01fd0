"""CiaoDVD's files and Last.fm's friendships, hand-written and real."""

import os
from pathlib import Path

import pytest
from lightrec_social.readers import CiaoReader, FriendsReader

from lightrec.data.readers.base import find_reader
from lightrec.errors import DataError
from lightrec.testing import ReaderChecks, check_all


@pytest.fixture
def ciao(tmp_path: Path) -> Path:
    ratings = "1,7,2,11,5,2000-07-12\n2,7,2,12,1,2001-01-31\n2,8,17,13,3,2001-02-01\n"
    (tmp_path / "movie-ratings.txt").write_text(ratings)
    (tmp_path / "trusts.txt").write_text("1,2,1\n1,9,1\n2,1,1\n")
    return tmp_path


@pytest.fixture
def lastfm(tmp_path: Path) -> Path:
    files = {
        "user_friends.dat": "userID\tfriendID\r\n2\t3\r\n3\t2\r\n2\t4\r\n4\t2\r\n",
        "user_artists.dat": "userID\tartistID\tweight\r\n2\t51\t7\r\n2\t52\t13883\r\n3\t51\t1\r\n",
        "artists.dat": "id\tname\turl\tpictureURL\n51\tSigur Rós\tu\tp\n52\tBjörk\tu\tp\n",
    }
    for name, text in files.items():
        (tmp_path / name).write_bytes(text.encode())
    return tmp_path


def test_ciao(ciao: Path) -> None:
    for path in (ciao, ciao / "movie-ratings.txt"):
        check_all(ReaderChecks(CiaoReader, path))
        assert isinstance(find_reader(path), CiaoReader)
        tables = CiaoReader().read(path)
        assert tables.log.events.select("user", "item", "value").rows() == [
            ("1", "7", 5.0),
            ("2", "7", 1.0),
            ("2", "8", 3.0),
        ]
        assert str(tables.log.events["time"][1]) == "2001-01-31 00:00:00+00:00"
        assert tables.catalog is not None
        rows = tables.catalog.rows.select("item", "genre").rows()
        assert rows == [("7", "Comedy"), ("8", "Anime")]
        assert tables.users is not None
        assert tables.users.rows.rows() == [("1", ["2", "9"]), ("2", ["1"])]
    (ciao / "trusts.txt").unlink()
    assert CiaoReader().read(ciao).users is None


def test_friendships(lastfm: Path) -> None:
    path = lastfm / "user_friends.dat"
    check_all(ReaderChecks(FriendsReader, path))
    assert isinstance(find_reader(path), FriendsReader)
    tables = FriendsReader().read(path)
    assert tables.log.events.select("user", "item", "feedback").rows() == [
        ("2", "3", "follow"),
        ("3", "2", "follow"),
        ("2", "4", "follow"),
        ("4", "2", "follow"),
    ]
    assert tables.catalog is not None
    assert tables.catalog.rows.select("item", "maker", "artists").rows() == [
        ("3", "3", ["Sigur Rós"]),
        ("2", "2", ["Björk", "Sigur Rós"]),
        ("4", "4", None),
    ]
    (lastfm / "artists.dat").unlink()
    tables = FriendsReader().read(path)
    assert tables.catalog is not None
    assert "artists" not in tables.catalog.rows.columns


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("movie-ratings.txt", "1,7,2,11,good,2000-07-12\n", "column 'value': 'good' is not"),
        ("movie-ratings.txt", "1,7,18,11,5,2000-07-12\n", "'18' is not the number of a genre, 1"),
        ("movie-ratings.txt", "1,7,2,11,5\n", "Line 1 has 5 fields where 6 are expected"),
        ("movie-ratings.txt", "", "movie-ratings.txt: The file is empty"),
        ("trusts.txt", "1,2\n", "trusts.txt: Line 1 has 2 fields where 3 are expected"),
    ],
)
def test_problems_of_ciao_are_named(ciao: Path, name: str, text: str, message: str) -> None:
    (ciao / name).write_text(text)
    with pytest.raises(DataError, match=message):
        CiaoReader().read(ciao)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("user_friends.dat", "userID\tfriend\n2\t3\n", "no column 'friendID'; it names 'userID'"),
        ("user_friends.dat", "userID\tfriendID\n2\n", "Line 2 has 1 field where 2 are expected"),
        ("user_artists.dat", "userID\tartistID\tweight\n2\t51\tmany\n", "not a whole number"),
    ],
)
def test_problems_of_friendships_are_named(
    lastfm: Path, name: str, text: str, message: str
) -> None:
    (lastfm / name).write_text(text)
    with pytest.raises(DataError, match=message):
        FriendsReader().read(lastfm / "user_friends.dat")


def test_what_is_not_its_own(ciao: Path, lastfm: Path) -> None:
    assert not CiaoReader.recognises(ciao / "trusts.txt")
    assert not FriendsReader.recognises(lastfm), "the folder is a log of plays"
    for reader, path in ((CiaoReader, ciao), (FriendsReader, lastfm / "user_friends.dat")):
        with pytest.raises(DataError, match="fixed"):
            reader().read(path, {"item": "sku"})


def test_the_real_sets() -> None:
    data = os.environ.get("LIGHTREC_TEST_DATA")
    if not data:
        pytest.skip("LIGHTREC_TEST_DATA is not set")
    tables = CiaoReader().read(Path(data) / "ciaodvd")
    assert (len(tables.log), tables.log.events["user"].n_unique()) == (72_665, 17_615)
    assert tables.catalog is not None
    assert tables.users is not None
    assert len(tables.catalog.rows) == 16_121
    assert tables.users.rows["friends"].list.len().sum() == 40_133
    friends = FriendsReader().read(Path(data) / "hetrec2011-lastfm-2k" / "user_friends.dat")
    assert len(friends.log) == 25_434
    assert friends.catalog is not None
    assert len(friends.catalog.rows) == 1_892
