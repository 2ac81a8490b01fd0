"""GroupLens's files, by hand, and RecBole's copy of one."""

import pytest
from lightrec_testing import ReaderChecks, check_all
from lightrec_video.readers import GENRES, MovieLensReader

from lightrec.errors import DataError


def test_the_copy_of_recbole(lightrec_data):
    tables = MovieLensReader().read(lightrec_data / "ml-100k")
    assert (len(tables.log), len(tables.users.rows)) == (100_000, 943)
    items = {row[0]: row[1:] for row in tables.catalog.rows.drop("text").rows()}
    assert items["1"] == ("Toy Story", 1995, ["Animation", "Children's", "Comedy"])
    assert items["1412"][:2] == ("Land Before Time III: The Time of the Great Giving", 1995)
    assert [item for item, row in items.items() if None in row[:2]] == ["267"]


def test_100k(tmp_path):
    flags = "|".join(str(int(genre in ("Comedy", "War"))) for genre in GENRES)
    none = "|".join(str(int(genre == "unknown")) for genre in GENRES)
    (tmp_path / "u.data").write_text("7\t2\t4\t881250949\n7\t1\t5\t881250949\n")
    films = f"1|Tin  Drum, The (Blechtrommel, Die) (1979)|d||u|{flags}\n2|unknown||||{none}\n"
    (tmp_path / "u.item").write_text(films)
    (tmp_path / "u.user").write_text("7|24|M|technician|85711\n")
    for path in (tmp_path, tmp_path / "u.data"):
        check_all(ReaderChecks(MovieLensReader, path))
        tables = MovieLensReader().read(path)
    assert tables.catalog.rows.drop("text").rows() == [
        ("1", "Tin Drum, The (Blechtrommel, Die)", 1979, ["Comedy", "War"]),
        ("2", None, None, None),
    ]
    assert tables.users.rows.rows() == [("7", 24, "M", "technician", "85711")]
    assert tables.log.events["item"].to_list() == ["2", "1"]
    assert str(tables.log.events["time"][0]) == "1997-12-04 15:55:49+00:00"
    (tmp_path / "u.user").write_text("7|old|M|technician|1\n")
    with pytest.raises(DataError, match=r"u.user: Line 1, column 'age': 'old' is not a whole"):
        MovieLensReader().read(tmp_path)


def test_1m(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::1193::4.5::978300760\n1::661::3::978302109\n")
    films = "661::James and the Giant Peach (1996)::Animation|Children's\n"
    films += "1193::Été: x (TV) (1975)::\n"
    (tmp_path / "movies.dat").write_text(films, encoding="latin-1")
    (tmp_path / "users.dat").write_text("1::F::1::10::48067\n")
    check_all(ReaderChecks(MovieLensReader, tmp_path))
    tables = MovieLensReader().read(tmp_path)
    assert tables.log.events["value"].to_list() == [4.5, 3.0]
    assert tables.catalog.rows.drop("text").rows() == [
        ("661", "James and the Giant Peach", 1996, ["Animation", "Children's"]),
        ("1193", "Été: x (TV)", 1975, None),
    ]
    assert tables.users.rows.rows() == [("1", 1, "F", "10", "48067")]


def test_latest(tmp_path):
    (tmp_path / "ratings.csv").write_text("userId,movieId,rating,timestamp\n1,16,4.0,1217897793\n")
    assert not MovieLensReader.recognises(tmp_path)
    films = 'movieId,title,genres\n16,"Casino, Le (1995)",Crime|Drama\n'
    films += "17,Babylon 5,(no genres listed)\n"
    (tmp_path / "movies.csv").write_text(films)
    check_all(ReaderChecks(MovieLensReader, tmp_path))
    tables = MovieLensReader().read(tmp_path)
    assert tables.log.events["value"].to_list() == [4.0]
    assert tables.catalog.rows.drop("text").rows() == [
        ("16", "Casino, Le", 1995, ["Crime", "Drama"]),
        ("17", "Babylon 5", None, None),
    ]
