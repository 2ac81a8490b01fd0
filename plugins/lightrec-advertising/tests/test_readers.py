"""Two trials, by hand and as published."""

import polars as pl
import pytest
from lightrec_advertising.readers import AdSmartReader, HillstromReader
from lightrec_testing import ReaderChecks, check_all

from lightrec.data.readers.base import find_reader
from lightrec.errors import DataError

HILLSTROM = (
    "recency,history_segment,history,mens,womens,zip_code,newbie,channel,segment,visit,spend\n"
    "10,2) $100 - $200,142.44,1,0,Rural,0,Phone,Womens E-Mail,1,0\n"
    "6,3) $200 - $350,329.08,1,1,Urban,1,Web,No E-Mail,0,0\n"
    "7,2) $100 - $200,180.65,0,1,Urban,1,Web,Mens E-Mail,1,29.99\n"
)
ADSMART = (
    "AuctionID,Experiment,Date,Hour,Device,PlatformOS,Browser,Yes,No\n"
    "a1,exposed,7/10/2020,8,Generic Smartphone,6,Chrome Mobile,1,0\n"
    "a2,control,7/7/2020,10,Generic Smartphone,6,Chrome Mobile,0,0\n"
)


@pytest.fixture
def trial(tmp_path):
    path = tmp_path / "trial.csv"
    path.write_text(HILLSTROM)
    return path


def test_hillstrom(trial):
    check_all(ReaderChecks(HillstromReader, trial))
    events = find_reader(trial).read(trial).log.events
    assert events.select("user", "item", "feedback", "value").rows() == [
        ("1", "Womens E-Mail", "visit", 1),
        ("2", "No E-Mail", "visit", 0),
        ("3", "Mens E-Mail", "visit", 1),
        ("1", "Womens E-Mail", "spend", 0),
        ("2", "No E-Mail", "spend", 0),
        ("3", "Mens E-Mail", "spend", 29.99),
    ]
    assert events["propensity"].to_list() == [1 / 3] * 6
    assert events["candidates"][0].to_list() == ["Mens E-Mail", "No E-Mail", "Womens E-Mail"]


def test_adsmart(trial):
    trial.write_text(ADSMART)
    check_all(ReaderChecks(AdSmartReader, trial))
    events = find_reader(trial).read(trial).log.events
    assert events.select("user", "item", "feedback", "value", "propensity").rows() == [
        ("a1", "exposed", "yes", 1, 0.5),
        ("a2", "control", "yes", 0, 0.5),
        ("a1", "exposed", "no", 0, 0.5),
        ("a2", "control", "no", 0, 0.5),
    ]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("29.99", "much", "Line 4, column 'spend': 'much' is not a number from 0"),
        ("Mens E-Mail,1,29", "No E-Mail,1,29", "has the arms 'No E-Mail', 'Womens E-Mail'"),
    ],
)
def test_what_is_wrong_is_said(trial, old, new, message):
    trial.write_text(HILLSTROM.replace(old, new))
    with pytest.raises(DataError, match=message):
        HillstromReader().read(trial)


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
