"""Two trials as published."""

import polars as pl
import pytest

from lightrec.data.readers.base import find_reader


def test_the_published_trials(lightrec_data):
    path = lightrec_data / "hillstrom-email" / "hillstrom.csv"
    log = find_reader(path).read_log(path).events.filter(feedback="spend")
    assert log.height == 64_000
    means = dict(log.group_by("item").agg(pl.col("value").mean()).iter_rows())
    expected = {"Mens E-Mail": 1.4226, "Womens E-Mail": 1.0772, "No E-Mail": 0.6528}
    assert means == pytest.approx(expected, abs=1e-4)
    path = lightrec_data / "adsmart-ab" / "AdSmartABdata.csv"
    log = find_reader(path).read_log(path).events
    assert log.height == 2 * 8077
    counts = dict(log.group_by("feedback").agg(pl.col("value").sum()).iter_rows())
    assert counts == {"yes": 572, "no": 671}
