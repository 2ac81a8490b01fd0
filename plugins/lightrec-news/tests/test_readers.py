"""MIND's and Upworthy's files, by hand and as published."""

import polars as pl
import pytest
from lightrec_formats.described import described, write_example
from lightrec_news.readers import MindReader, NewsSets
from lightrec_testing import ReaderChecks, check_all

from lightrec.data.readers.base import find_reader
from lightrec.errors import DataError

BEHAVIORS = (
    "1\tU1\t11/9/2019 12:00:01 AM\tN7 N8\tN1-1 N2-0 N3-1\n"
    "2\tU2\t11/9/2019 2:14:46 PM\t\tN2-0 N1-0\n"
    "3\tU1\t11/14/2019 11:50:13 PM\tN7 N8\tN3-1\n"
)
NEWS = (
    'N1\tnews\tlocal\tA "grand" opening\tMusic played.\thttps://x\t[]\t[]\n'
    "N8\tsports\trunning\tMan wins marathon\t\thttps://y\t[]\t[]\n"
)


def test_mind(tmp_path):
    (tmp_path / "behaviors.tsv").write_text(BEHAVIORS)
    (tmp_path / "news.tsv").write_text(NEWS)
    check_all(ReaderChecks(MindReader, tmp_path))
    assert isinstance(find_reader(tmp_path), MindReader)
    tables = MindReader().read(tmp_path / "behaviors.tsv")
    rows = tables.log.events.with_columns(pl.col("time").dt.strftime("%d %T"))
    assert rows.select("user", "item", "time", "impression", "candidates").rows() == [
        ("U1", "N7", "09 00:00:00", None, None),
        ("U1", "N8", "09 00:00:00", None, None),
        ("U1", "N1", "09 00:00:01", "1", ["N1", "N2", "N3"]),
        ("U1", "N3", "09 00:00:01", "1", ["N1", "N2", "N3"]),
        ("U2", None, "09 14:14:46", "2", ["N2", "N1"]),
        ("U1", "N3", "14 23:50:13", "3", ["N3"]),
    ]
    assert rows["feedback"].unique().to_list() == ["click"]
    assert rows["position"].is_null().all(), "MIND shuffles the articles of an impression"
    items = tables.catalog.rows.select("item", "title", "category", "abstract")
    assert items.rows() == [
        ("N1", 'A "grand" opening', "news", "Music played."),
        ("N8", "Man wins marathon", "sports", None),
    ]


def test_bad_counts_of_upworthy_are_named(tmp_path):
    path = write_example(described(NewsSets.descriptions)["upworthy"], tmp_path)
    path.write_text(path.read_text().replace("3000", "none"))
    with pytest.raises(DataError, match=r"arms.csv: .* 'impressions' .*\"none\""):
        find_reader(path).read(path)


def test_the_published_sample_of_mind(lightrec_data):
    tables = MindReader().read(lightrec_data / "mind-small-sample" / "MINDsmall_train")
    shown = tables.log.events.drop_nulls("impression")
    assert shown["impression"].n_unique() == 5000
    assert shown["item"].count() == 7542
    assert shown["user"].n_unique() == 4637
    offered = shown["candidates"].explode().unique()
    assert offered.is_in(tables.catalog.rows["item"].implode()).sum() == 284


def test_the_archive_of_upworthy(lightrec_data):
    path = lightrec_data / "upworthy-exploratory" / "upworthy_clean.parquet"
    events = find_reader(path).read(path).log.events
    assert events["count"].sum() == 81_024_151
    assert (events["count"] * events["value"]).sum() == pytest.approx(1_231_208)
    assert events["propensity"].null_count() == 4490
    drawn = events.drop_nulls("propensity")
    shares = drawn.group_by("impression").agg(pl.col("propensity").sum())["propensity"]
    assert shares.to_numpy() == pytest.approx(1)
