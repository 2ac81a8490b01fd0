"""GroupLens's files, by hand, and RecBole's copy of one."""

import pytest
from lightrec_formats.described import described, write_example
from lightrec_video.readers import WatchingSets

from lightrec.errors import DataError


def test_the_copy_of_recbole(lightrec_data):
    tables = WatchingSets().read(lightrec_data / "ml-100k")
    assert (len(tables.log), len(tables.users.rows)) == (100_000, 943)
    items = {row[0]: row[1:] for row in tables.catalog.rows.drop("text").rows()}
    assert items["1"] == ("Toy Story", 1995, ["Animation", "Children's", "Comedy"])
    assert items["1412"][:2] == ("Land Before Time III: The Time of the Great Giving", 1995)
    assert [item for item, row in items.items() if None in row[:2]] == ["267"]


@pytest.mark.parametrize(
    ("title", "read", "year"),
    [
        ("Casino (1995-)", "Casino", 1995),
        ("Casino (1995\u20131999) (V) (mini)", "Casino", 1995),
        ("1984", "1984", None),
        ("Casino (unkonwn)", "Casino", None),
        ("Casino () (1995)", "Casino", 1995),
        ("", None, None),
    ],
)
def test_years_behind_titles(tmp_path, title, read, year):
    for name in ("movielens-100k", "movielens-latest"):
        folder = write_example(described(WatchingSets.descriptions)[name], tmp_path / name)
        for file in {*folder.iterdir()} & {folder / "u.item", folder / "movies.csv"}:
            text = file.read_text()
            for old in ("Tin  Drum, The (Blechtrommel, Die) (1979)", '"Casino, Le (1995)"'):
                text = text.replace(old, title)
            file.write_text(text)
        row = WatchingSets().read(folder).catalog.rows.row(0, named=True)
        assert (row["title"], row["year"]) == (read, year)


def test_a_film_table_and_good_ages_are_needed(tmp_path):
    sets = described(WatchingSets.descriptions)
    folder = write_example(sets["movielens-latest"], tmp_path)
    (folder / "movies.csv").unlink()
    assert not WatchingSets.recognises(folder)
    folder = write_example(sets["movielens-100k"], tmp_path)
    people = folder / "u.user"
    people.write_text(people.read_text().replace("24", "old"))
    with pytest.raises(DataError, match=r"u.user: not as .* 'age' .*\"old\""):
        WatchingSets().read(folder)
    people.write_text("7|24|M\n")
    with pytest.raises(DataError, match=r"u.user: Line 1 has 3 "):
        WatchingSets().read(folder)
