"""MIND's and Upworthy's files, by hand and as published."""

import polars as pl
import pytest
from lightrec_formats.described import described, write_example
from lightrec_news.readers import NewsSets

from lightrec.data.readers.base import find_reader
from lightrec.errors import DataError


def test_marks_of_clicks_are_needed(tmp_path):
    folder = write_example(described(NewsSets.descriptions)["mind"], tmp_path)
    file = folder / "behaviors.tsv"
    text = file.read_text()
    file.write_text(text.replace("N1-1 N2-0 N3-1", "N1-1 N2 N3-1"))
    with pytest.raises(DataError, match=r"behaviors.tsv: Line 1 has no item and no candidates"):
        find_reader(folder).read(folder)
    file.write_text(text.replace("-1", "").replace("-0", ""))
    with pytest.raises(DataError, match=r"No impression says what was clicked; .* test part"):
        find_reader(folder).read(folder)
    file.write_text(text.replace("11/14/2019", "soon"))
    with pytest.raises(DataError, match=r"behaviors.tsv: .* 'start' .*soon"):
        find_reader(folder).read(folder)


def test_bad_counts_of_upworthy_are_named(tmp_path):
    path = write_example(described(NewsSets.descriptions)["upworthy"], tmp_path)
    path.write_text(path.read_text().replace("3000", "none"))
    with pytest.raises(DataError, match=r"arms.csv: .* 'impressions' .*\"none\""):
        find_reader(path).read(path)


def test_the_published_sample_of_mind(lightrec_data):
    tables = NewsSets().read(lightrec_data / "mind-small-sample" / "MINDsmall_train")
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
