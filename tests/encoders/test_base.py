"""What was encoded is kept on disk, shared by processes, and never encoded twice."""

import os
import resource
import tempfile
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from lightrec.encoders import base
from tests.processes import apart, free_port

TEXTS = [f"text {number}" for number in range(40)]
name = lambda value: base._hash(value.encode()).digest()  # noqa: E731


def truth(values):
    return torch.tensor([[*map(float, name(value)[:3])] for value in values]).view(-1, 3)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.text(max_size=2), max_size=30), st.integers(1, 4), st.integers(0, 20), st.data())
def test_each_value_is_encoded_once_whatever_lies_on_disk(values, shard, stop, data):
    asked = []

    def compute(some):
        if len(asked) >= stop:
            raise KeyboardInterrupt
        asked.extend(some)
        return truth(some)

    with tempfile.TemporaryDirectory() as cache, pytest.MonkeyPatch.context() as patch:
        patch.setenv("LIGHTREC_CACHE", cache)
        patch.setattr(base, "SHARD", (shard, shard))
        known = st.lists(st.sampled_from(values or [""]), min_size=1)
        for some in data.draw(st.lists(known, max_size=2)):
            path = Path(cache) / "vectors" / "model" / f"{len(some)}.safetensors"
            # As earlier releases wrote.
            keys = torch.tensor([[*name(value)] for value in some], dtype=torch.uint8)
            other = data.draw(st.sampled_from([3, 2]))  # written by something else
            base.to_cache({"keys": keys, "vectors": truth(some)[:, :other].contiguous()}, path)
            if data.draw(st.booleans()):  # damaged
                size = path.stat().st_size
                path.write_bytes(path.read_bytes()[: data.draw(st.integers(0, size - 1))])
        with suppress(KeyboardInterrupt):
            base.through_cache("model", 3, values, compute)
        stop = 1000
        assert torch.equal(base.through_cache("model", 3, values, compute), truth(values))
    assert len(asked) == len({*asked})


def test_a_full_disk_costs_no_vectors(tmp_path, monkeypatch):
    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path))
    _, hard = before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100, hard))
    try:
        found = base.through_cache("model", 3, TEXTS, truth)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert torch.equal(found, truth(TEXTS))
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def encode_together(rank, port, cache):
    os.environ["LIGHTREC_CACHE"], base.SHARD, asked = cache, (4, 4), []
    meet = f"tcp://127.0.0.1:{port}"
    torch.distributed.init_process_group("gloo", meet, rank=rank, world_size=2)
    compute = lambda some: asked.extend(some) or truth(some)  # noqa: E731
    return base.through_cache("model", 3, [*TEXTS, *TEXTS[:3]], compute).tolist(), asked


def test_processes_share_what_is_to_be_encoded(tmp_path):
    port = free_port()
    (first, mine), (second, others) = apart(
        encode_together, *((rank, port, str(tmp_path)) for rank in range(2))
    )
    assert first == second == truth([*TEXTS, *TEXTS[:3]]).tolist()
    assert sorted(mine + others) == sorted(TEXTS)
    assert len(mine) == len(others)


def test_vectors_of_a_large_catalog_are_in_a_file(tmp_path, monkeypatch):
    class Plain(base.Encoder):
        size, fingerprint = 3, "model"

        def encode(self, values):
            return truth(values)

    monkeypatch.setenv("LIGHTREC_CACHE", str(tmp_path))
    catalog = pl.DataFrame({"item": TEXTS, "text": [*TEXTS[:-2], "", None]})
    whole = base.item_vectors(Plain(), catalog)
    monkeypatch.setattr(base, "BLOCK", 7 * 12)
    mapped = base.item_vectors(Plain(), catalog)
    assert torch.equal(mapped, whole)
    assert torch.equal(mapped[1:-2], truth(TEXTS[:-2]))
    assert not mapped[[0, -2, -1]].any()
    mapped += 1  # It may be written to, and without room on the disk is in memory.
    monkeypatch.setattr(base, "_unnamed", lambda _: None)
    assert torch.equal(base.item_vectors(Plain(), catalog), whole)
