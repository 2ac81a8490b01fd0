"""GroupLens's files and RecBole's copy give the same tables."""

import pytest
from lightrec_video.readers import GENRES, MovieLensReader
from polars.testing import assert_frame_equal

from lightrec.errors import DataError
from lightrec.testing import ReaderChecks, check_all


def as_grouplens(recbole, to):
    """Write RecBole's copy of MovieLens-100K the way GroupLens gives the set."""

    def lines(ending):
        text = (recbole / f"ml-100k.{ending}").read_text(encoding="utf-8")
        return [line.split("\t") for line in text.splitlines()[1:]]

    items = []
    for item, title, year, genres in lines("item"):
        flags = ["1" if genre in genres.split(" ") else "0" for genre in GENRES]
        # RecBole misspelt the film without a name.
        name = "unknown" if year == "unkonwn" else f"{title} ({year})"
        items.append("|".join([item, name, "01-Jan-1995", "", "http://address", *flags]))
    logs = ["\t".join(row) for row in lines("inter")]
    users = ["|".join(row) for row in lines("user")]
    for name, rows in (("u.data", logs), ("u.item", items), ("u.user", users)):
        (to / name).write_text("\n".join(rows) + "\n", encoding="latin-1")


def test_both_copies_of_100k_are_one(lightrec_data, tmp_path):
    recbole = lightrec_data / "ml-100k"
    assert MovieLensReader.recognises(recbole)
    as_grouplens(recbole, tmp_path)
    tables, other = MovieLensReader().read(recbole), MovieLensReader().read(tmp_path)
    for one, two in ((tables.catalog, other.catalog), (tables.users, other.users)):
        assert_frame_equal(one.rows, two.rows)
    assert_frame_equal(tables.log.events, other.log.events)
    items = {row[0]: row[1:] for row in tables.catalog.rows.drop("text").rows()}
    assert items["1"] == ("Toy Story", 1995, ["Animation", "Children's", "Comedy"])
    assert items["543"][0] == "Misérables, Les"
    assert items["1412"][:2] == ("Land Before Time III: The Time of the Great Giving", 1995)
    assert [item for item, row in items.items() if None in row[:2]] == ["267"]
    assert items["267"][:2] == (None, None)


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
