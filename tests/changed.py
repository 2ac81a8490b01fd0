"""Copies of a run whose tables and facts are other ones."""

import json
import shutil
from pathlib import Path

import polars as pl

from lightrec.data.files import stamp, write_stamp
from lightrec.data.store import META


def changed(run, copy, facts=None, **tables):
    """Copy a run.

    :param facts: laid over those of its prepared log, mappings key by key.
    :param tables: columns that stand in a table beside or in place of its own.
    """
    data = Path(shutil.copytree(run, copy, symlinks=True)) / "data"
    meta = json.loads((data / META).read_text())
    for name, fact in (facts or {}).items():
        meta[name] = meta[name] | fact if isinstance(fact, dict) else fact
    (data / META).write_text(json.dumps(meta))
    for name, columns in tables.items():
        table = pl.read_parquet(data / f"{name}.parquet")
        table.with_columns(**columns).write_parquet(data / f"{name}.parquet")
    write_stamp(data, stamp(data))  # with the hashes of these files
    return copy
