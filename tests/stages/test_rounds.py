"""The closed loop: a run shows to the people of a world, their day is logged, and it is updated."""

import polars as pl
import pytest

from lightrec.__main__ import main as lightrec
from lightrec.keys import Column
from lightrec.run import Run
from lightrec.testing.tiny import FAST

PEOPLE, ITEMS = "40", 60
WORLD = ["--set", f"num_items={ITEMS}", "drift=0.2", "slate_size=5"]
QUICK = [f"--ranker.{word.removeprefix('--')}" for word in FAST["ranker"]]


def simulated(out, policy, day, *settings):
    words = ["simulate", "Tastes", "--sessions", PEOPLE, "--policy", policy, "--seed", str(day)]
    assert lightrec([*words, *WORLD, f"day={day}", *settings, "--out", str(out)]) == 0
    return pl.read_parquet(out / "log.parquet")


def loop(folder):
    """Two rounds; gives the run and the days' logs."""
    run = folder / "run"
    days = [simulated(folder / "day-0", "random", 0, "max_steps=6")]
    words = ["run", "generic", "--repeats", "--log", str(folder / "day-0"), "--until", "ranker"]
    assert lightrec([*words, "--values.text_encoder", "null", *QUICK, "--out", str(run)]) == 0
    for day in (1, 2):
        days.append(simulated(folder / f"day-{day}", str(run), day))
        assert lightrec(["update", str(run), "--log", str(folder / f"day-{day}")]) == 0
    return run, days


@pytest.mark.slow
def test_two_rounds_are_shown_logged_and_learned(tmp_path):
    run, days = loop(tmp_path)
    assert Run(run).version == 3
    assert len(Run(run).data) == sum(day.height for day in days)
    people = set(days[0][Column.USER])
    assert people == set(days[2][Column.USER])
    dates = [set(day[Column.TIME].dt.date()) for day in days]
    assert [len(each) for each in dates] == [1, 1, 1]
    assert dates[0] < {*dates[0], *dates[1]}
    sessions = pl.concat([day.select(Column.SESSION, Column.USER) for day in days]).unique()
    assert sessions[Column.SESSION].n_unique() == 3 * int(PEOPLE)
