"""Lists in shards: stopped, shared, and made again where something changed."""

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from filelock import FileLock
from lightrec_export.export import export

from lightrec.__main__ import main
from lightrec.run import Run

pytest.importorskip("onnxscript", reason="exports are written by it")


@pytest.fixture(scope="module")
def exported(tiny_run, tmp_path_factory):
    out = tmp_path_factory.mktemp("exports") / "whole"
    export(Run(tiny_run), out, what="ranker", histories=True)
    return out


def people(folder, start, count):
    """A file of people with histories of one to three items."""
    rows = [{"user": f"u{n}", "history": ["1", "2", "none"][: 1 + n % 3]} for n in range(count)]
    schema = pa.schema({"user": pa.string(), "history": pa.list_(pa.string())})
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.Table.from_pylist(rows, schema), folder / f"{start}.parquet")


def test_shards_go_on_are_shared_and_follow_what_they_are_made_from(exported, tmp_path, capsys):
    shards, out = tmp_path / "people", tmp_path / "lists"
    people(shards / "monday", 0, 5)
    people(shards / "tuesday", 5, 7)
    people(shards / "tuesday", 12, 0)  # an engine's empty part

    def made(*more):
        capsys.readouterr()
        assert main(["batch", str(exported), str(shards), "--out", str(out), "-k", "3", *more]) == 0
        return int(capsys.readouterr().out.split("lists for ")[1].split()[0])

    (out / "tuesday").mkdir(parents=True)
    with FileLock(out / "tuesday" / ".5.parquet.lock"):  # somebody else is at it
        assert made() == 5
    assert made() == 7
    assert made() == 0
    whole = tmp_path / "whole.parquet"
    assert main(["batch", str(exported), str(shards), "--out", str(whole), "-k", "3"]) == 0
    parts = [out / "monday/0.parquet", out / "tuesday/5.parquet"]
    assert (
        pa.concat_tables(map(pq.read_table, parts)).to_pylist() == pq.read_table(whole).to_pylist()
    )
    people(shards / "monday", 0, 6)
    assert made() == 6
    assert made("-k", "4") == 13
