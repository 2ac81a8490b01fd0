"""Last.fm's files, from a small folder in the encodings of the real one, and from that."""

from lightrec_formats.described import described, write_example
from lightrec_music.readers import ListeningSets

from lightrec.data.readers.base import find_reader


def test_encodings_and_files_that_may_be_missing(tmp_path):
    folder = write_example(described(ListeningSets.descriptions)["lastfm-2k"], tmp_path)
    words = folder / "tags.dat"
    words.write_bytes(words.read_text().encode("latin-1"))
    file = folder / "user_artists.dat"
    tags = find_reader(file).read(file).catalog.rows["tags"].to_list()
    assert tags == [["post-rock", "islande été"], None]
    words.unlink()
    (folder / "user_friends.dat").unlink()
    tables = find_reader(folder).read(folder)
    assert tables.catalog.rows.columns == ["item", "title", "text"]
    assert tables.users is None


def test_the_real_set(lightrec_data):
    folder = lightrec_data / "hetrec2011-lastfm-2k"
    tables = find_reader(folder).read(folder)
    assert len(tables.log) == 92_834
    assert len(tables.catalog.rows) == 17_632
    assert len(tables.users.rows) == 1_892
    # The set's readme counts 25,434 pairs, and 12,717 friendships, which go both ways.
    assert tables.users.rows["friends"].list.len().sum() == 25_434
    gaga = tables.catalog.rows.filter(item="89").row(0, named=True)
    assert (gaga["title"], gaga["tags"][:2]) == ("Lady Gaga", ["pop", "dance"])
