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
    assert_frame_equal(tables.log.events, other.log.events)
    assert_frame_equal(tables.catalog.rows, other.catalog.rows)
    assert_frame_equal(tables.users.rows, other.users.rows)
    items = {row["item"]: row for row in tables.catalog.rows.iter_rows(named=True)}
    assert items["1"]["title"] == "Toy Story"
    assert items["1"]["year"] == 1995
    assert items["1"]["genres"] == ["Animation", "Children's", "Comedy"]
    assert items["543"]["title"] == "Misérables, Les"
    land = "Land Before Time III: The Time of the Great Giving"
    assert (items["1412"]["title"], items["1412"]["year"]) == (land, 1995)
    unnamed = [row["item"] for row in items.values() if row["title"] is None]
    assert unnamed == ["267"]
    assert [row["item"] for row in items.values() if row["year"] is None] == ["267"]


@pytest.fixture
def small(tmp_path):
    flags = "|".join(str(int(genre in ("Comedy", "War"))) for genre in GENRES)
    none = "|".join(str(int(genre == "unknown")) for genre in GENRES)
    (tmp_path / "u.data").write_text("7\t2\t4\t881250949\n7\t1\t5\t881250949\n")
    films = f"1|Tin  Drum, The (Blechtrommel, Die) (1979)|d||u|{flags}\n2|unknown||||{none}\n"
    (tmp_path / "u.item").write_text(films)
    (tmp_path / "u.user").write_text("7|24|M|technician|85711\n")
    return tmp_path


def test_100k(small):
    for path in (small, small / "u.data"):
        check_all(ReaderChecks(MovieLensReader, path))
        tables = MovieLensReader().read(path)
        assert tables.catalog.rows.drop("text").rows() == [
            ("1", "Tin Drum, The (Blechtrommel, Die)", 1979, ["Comedy", "War"]),
            ("2", None, None, None),
        ]
        assert tables.users.rows.rows() == [("7", 24, "M", "technician", "85711")]
        assert tables.log.events["item"].to_list() == ["2", "1"]
        assert str(tables.log.events["time"][0]) == "1997-12-04 15:55:49+00:00"


def test_1m(tmp_path):
    (tmp_path / "ratings.dat").write_text("1::1193::4.5::978300760\n1::661::3::978302109\n")
    films = (
        "661::James and the Giant Peach (1996)::Animation|Children's\n1193::Été: x (TV) (1975)::\n"
    )
    (tmp_path / "movies.dat").write_bytes(films.encode("latin-1"))
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


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("u.data", "7\t2\t4\t881250949\n7\t1\tgood\t1\n", "Line 2, column 'value': 'good' is not"),
        ("u.data", "", "u.data: The file is empty"),
        ("u.item", "1|Name (1990)\n", "u.item: Line 1 has 2 fields where 24 are expected"),
        ("u.user", "7|24|M\n", "u.user: Line 1 has 3 fields where 5 are expected"),
        ("u.user", "7|old|M|technician|1\n", "u.user: Line 1, column 'age': 'old' is not a whole"),
    ],
)
def test_problems_are_named(small, name, text, message):
    (small / name).write_text(text)
    with pytest.raises(DataError, match=message):
        MovieLensReader().read(small)


def test_what_is_not_its_own(tmp_path):
    assert not MovieLensReader.recognises(tmp_path)
    (tmp_path / "shop.inter").write_text("user_id:token\titem_id:token\n")
    assert not MovieLensReader.recognises(tmp_path)
    (tmp_path / "shop.item").write_text("item_id:token\tprice:float\n")
    assert not MovieLensReader.recognises(tmp_path / "shop")
