"""CiaoDVD's files and Last.fm's friendships, hand-written and real."""

import pytest
from lightrec_social.readers import CiaoReader, FriendsReader

from lightrec.data.readers.base import find_reader
from lightrec.errors import DataError
from lightrec.testing import ReaderChecks, check_all

FILES = {
    "movie-ratings.txt": "1,7,2,11,5,2000-07-12\n2,7,2,12,1,2001-01-31\n2,8,17,13,3,2001-02-01\n",
    "trusts.txt": "1,2,1\n1,9,1\n2,1,1\n",
    "user_friends.dat": "userID\tfriendID\r\n2\t3\r\n3\t2\r\n2\t4\r\n4\t2\r\n",
    "user_artists.dat": "userID\tartistID\tweight\r\n2\t51\t7\r\n2\t52\t13883\r\n3\t51\t1\r\n",
    "artists.dat": "id\tname\turl\tpictureURL\n51\tSigur Rós\tu\tp\n52\tBjörk\tu\tp\n",
}


@pytest.fixture
def folder(tmp_path):
    for name, text in FILES.items():
        (tmp_path / name).write_bytes(text.encode())
    return tmp_path


def test_ciao(folder):
    for path in (folder, folder / "movie-ratings.txt"):
        check_all(ReaderChecks(CiaoReader, path))
        tables = CiaoReader().read(path)
        assert tables.log.events.select("user", "item", "value").rows() == [
            ("1", "7", 5.0),
            ("2", "7", 1.0),
            ("2", "8", 3.0),
        ]
        assert str(tables.log.events["time"][1]) == "2001-01-31 00:00:00+00:00"
        rows = tables.catalog.rows.select("item", "genre").rows()
        assert rows == [("7", "Comedy"), ("8", "Anime")]
        assert tables.users.rows.rows() == [("1", ["2", "9"]), ("2", ["1"])]
    (folder / "trusts.txt").unlink()
    assert CiaoReader().read(folder).users is None
    assert not CiaoReader.recognises(folder / "artists.dat")


def test_friendships(folder):
    path = folder / "user_friends.dat"
    check_all(ReaderChecks(FriendsReader, path))
    assert isinstance(find_reader(path), FriendsReader)
    tables = FriendsReader().read(path)
    assert tables.log.events.select("user", "item", "feedback").rows() == [
        ("2", "3", "follow"),
        ("3", "2", "follow"),
        ("2", "4", "follow"),
        ("4", "2", "follow"),
    ]
    assert tables.catalog.rows.select("item", "maker", "artists").rows() == [
        ("3", "3", ["Sigur Rós"]),
        ("2", "2", ["Björk", "Sigur Rós"]),
        ("4", "4", None),
    ]
    (folder / "artists.dat").unlink()
    assert "artists" not in FriendsReader().read(path).catalog.rows.columns
    assert not FriendsReader.recognises(folder), "the folder is a log of plays"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("movie-ratings.txt", "1,7,2,11,good,2000-07-12\n", "column 'value': 'good' is not"),
        ("movie-ratings.txt", "1,7,18,11,5,2000-07-12\n", "'18' is not the number of a genre, 1"),
        ("movie-ratings.txt", "1,7,2,11,5\n", "Line 1 has 5 fields where 6 are expected"),
        ("movie-ratings.txt", "", "movie-ratings.txt: The file is empty"),
        ("trusts.txt", "1,2\n", "trusts.txt: Line 1 has 2 fields where 3 are expected"),
        ("user_friends.dat", "userID\tfriend\n2\t3\n", "no column 'friendID' .* are 'userID', "),
        ("user_friends.dat", "userID\tfriendID\n2\n", "Line 2 has 1 field where 2 are expected"),
        ("user_artists.dat", "userID\tartistID\tweight\n2\t51\tmany\n", "not a whole number"),
    ],
)
def test_problems_are_named(folder, name, text, message):
    (folder / name).write_text(text)
    is_ciao = name.endswith(".txt")
    with pytest.raises(DataError, match=message):
        CiaoReader().read(folder) if is_ciao else FriendsReader().read(folder / "user_friends.dat")


def test_the_real_sets(lightrec_data):
    tables = CiaoReader().read(lightrec_data / "ciaodvd")
    assert (len(tables.log), tables.log.events["user"].n_unique()) == (72_665, 17_615)
    assert len(tables.catalog.rows) == 16_121
    assert tables.users.rows["friends"].list.len().sum() == 40_133
    friends = FriendsReader().read(lightrec_data / "hetrec2011-lastfm-2k" / "user_friends.dat")
    assert (len(friends.log), len(friends.catalog.rows)) == (25_434, 1_892)
