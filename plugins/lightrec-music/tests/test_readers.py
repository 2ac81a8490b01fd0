"""Last.fm's files, from a hand-written folder and from the real one."""

from lightrec_music.readers import LastfmReader
from lightrec_testing import ReaderChecks, check_all

from lightrec.data.readers.base import find_reader

FILES = {
    "user_artists.dat": "userID\tartistID\tweight\r\n2\t51\t13883\r\n3\t52\t7\r\n",
    "artists.dat": 'id\tname\turl\tpictureURL\n51\tSigur Rós\tu\tp\n52\t"Weird Al"\tu\tp\n',
    "tags.dat": "tagID\ttagValue\r\n1\tpost-rock\r\n2\tislande \xe9t\xe9\r\n3\tcomedy\r\n",
    "user_taggedartists.dat": "userID\tartistID\ttagID\tday\tmonth\tyear\n"
    "2\t51\t2\t1\t4\t2009\n2\t51\t1\t1\t4\t2009\n3\t51\t1\t1\t5\t2009\n9\t99\t3\t1\t4\t2009\n",
    "user_friends.dat": "userID\tfriendID\r\n2\t3\r\n2\t4\r\n3\t2\r\n",
}


def test_a_small_folder(tmp_path):
    for name, text in FILES.items():
        encoding = "latin-1" if name == "tags.dat" else "utf-8"
        (tmp_path / name).write_bytes(text.encode(encoding))
    for path in (tmp_path, tmp_path / "user_artists.dat"):
        check_all(ReaderChecks(LastfmReader, path))
        tables = find_reader(path).read(path)
    assert tables.log.events.select("user", "item", "count", "feedback").rows() == [
        ("2", "51", 13883, "count"),
        ("3", "52", 7, "count"),
    ]
    assert tables.catalog.rows.drop("text").rows() == [
        ("51", "Sigur Rós", ["post-rock", "islande été"]),
        ("52", '"Weird Al"', None),
    ]
    assert tables.users.rows.rows() == [("2", ["3", "4"]), ("3", ["2"])]


def test_the_real_set(lightrec_data):
    tables = LastfmReader().read(lightrec_data / "hetrec2011-lastfm-2k")
    assert len(tables.log) == 92_834
    assert len(tables.catalog.rows) == 17_632
    assert len(tables.users.rows) == 1_892
    # The set's readme counts 25,434 pairs, and 12,717 friendships, which go both ways.
    assert tables.users.rows["friends"].list.len().sum() == 25_434
    gaga = tables.catalog.rows.filter(item="89").row(0, named=True)
    assert (gaga["title"], gaga["tags"][:2]) == ("Lady Gaga", ["pop", "dance"])
