"""A log that Ray Data or Spark has written is prepared as the one that it was made of."""

import shutil

import numpy as np
import polars as pl
import pytest

from lightrec.run import Run
from lightrec.stages.run import run

pytestmark = pytest.mark.slow  # Both engines start processes of their own.


def by_ray(raw, to):
    ray = pytest.importorskip("ray", reason="Ray is a package of its own")
    pytest.importorskip("pandas", reason="Ray Data asks for it")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        log = ray.data.read_csv(str(raw))
        log = log.filter(lambda row: row["user"] and row["item"])
        log.repartition(3).write_parquet(str(to))
    finally:
        ray.shutdown()


def by_spark(raw, to):
    pytest.importorskip("pyspark", reason="Spark is a package of its own")
    if shutil.which("java") is None:
        pytest.skip("there is no Java, which Spark runs on")
    from pyspark.sql import SparkSession

    session = SparkSession.builder.master("local[2]").getOrCreate()
    log = session.read.csv(str(raw), header=True, inferSchema=True)
    log.dropna(subset=["user", "item"]).repartition(3).write.parquet(str(to))
    session.stop()


@pytest.mark.parametrize("engine", [by_ray, by_spark])
def test_what_another_engine_writes_is_prepared_as_the_log_it_was_made_of(engine, tmp_path):
    chance = np.random.default_rng(0)
    log = pl.DataFrame(
        {
            "user": [f"u{n}" for n in chance.integers(40, size=900)],
            "item": [f"i{n}" for n in chance.integers(30, size=900)],
            "time": 1_700_000_000 + chance.permutation(900) * 60,
            "feedback": chance.choice(["view", "cart", "purchase"], 900),
        }
    )
    raw = tmp_path / "raw"
    raw.mkdir()
    for number, part in enumerate(log.iter_slices(300)):
        part.write_csv(raw / f"{number}.csv")
    engine(raw, tmp_path / "written")
    assert len(list((tmp_path / "written").glob("*.parquet"))) > 1
    stores = []
    log.write_csv(tmp_path / "log.csv")
    for name in ("log.csv", "written"):
        done = run("generic", out=tmp_path / f"from-{name}", log=tmp_path / name, until="data")
        stores.append(Run(done).data)
    ours, theirs = stores
    assert len(ours.items) > 600
    for name in ("items", "offsets", "times", "feedback", "parts"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name)), name
    assert ours.catalog.equals(theirs.catalog)
