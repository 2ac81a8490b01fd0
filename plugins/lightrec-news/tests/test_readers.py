"""MIND's and Upworthy's files, by hand and as published."""

import polars as pl
import pytest
from lightrec_news.readers import MindReader, UpworthyReader
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
ARMS = (
    "clickability_test_id,headline,excerpt,impressions,clicks,test_week\n"
    't1,"You, too, will click",Now.,3000,30,201303\n'
    "t1,A plain headline,,1000,30,201303\n"
    "t2,Another,,10,0,201401\n"
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


def test_upworthy(tmp_path):
    path = tmp_path / "arms.csv"
    path.write_text(ARMS)
    check_all(ReaderChecks(UpworthyReader, path))
    tables = find_reader(path).read(path)
    names = ["item", "value", "count", "propensity", "impression", "candidates"]
    assert tables.log.events.select(names).rows() == [
        ("t1-1", 0.01, 3000, 0.75, "t1", ["t1-1", "t1-2"]),
        ("t1-2", 0.03, 1000, 0.25, "t1", ["t1-1", "t1-2"]),
        ("t2-1", 0.0, 10, None, "t2", ["t2-1"]),
    ]
    assert str(tables.log.events["time"][0]) == "2013-01-14 00:00:00+00:00"
    assert tables.catalog.rows["title"][0] == "You, too, will click"
    path.write_text(ARMS.replace("3000", "none"))
    with pytest.raises(DataError, match="Line 2, column 'impressions': 'none' is not a number fr"):
        UpworthyReader().read(path)


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
    assert UpworthyReader.recognises(path)
    events = UpworthyReader().read(path).log.events
    assert events["count"].sum() == 81_024_151
    assert (events["count"] * events["value"]).sum() == pytest.approx(1_231_208)
    assert events["propensity"].null_count() == 4490
    drawn = events.drop_nulls("propensity")
    shares = drawn.group_by("impression").agg(pl.col("propensity").sum())["propensity"]
    assert shares.to_numpy() == pytest.approx(1)
