"""The benchmark's protocol, which runs without lightrec, against lightrec's own evaluation."""

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.logs import export
from benchmarks.peers import protocol
from lightrec.data.sequences import Sequences
from lightrec.data.store import TEST, VALIDATION, EventStore
from lightrec.keys import Key
from lightrec.ranking import metrics as ranking
from lightrec.ranking.evaluation_events import EvaluationEvents


@given(st.integers(0, 2**32 - 1), st.integers(1, 12), st.integers(2, 40), st.integers(1, 5))
def test_ranks_and_metrics_are_lightrecs(seed, rows, num_items, levels):
    generator = np.random.default_rng(seed)
    scores = generator.integers(0, levels, (rows, num_items)).astype(np.float32)  # many ties
    target = generator.integers(0, num_items, rows)
    seen = [generator.integers(0, num_items, generator.integers(0, num_items)) for _ in target]
    ranks = protocol.mean_ranks(scores, target, seen)
    padded = torch.from_numpy(protocol.last(seen, num_items, padding=0, shift=1))
    columns = torch.cat([torch.zeros(rows, 1), torch.from_numpy(scores)], dim=1)
    expected = ranking.mean_ranks(columns, torch.from_numpy(target) + 1, padded)
    assert ranks.tolist() == expected.tolist()
    values = ranking.event_metrics(expected)
    for name, value in protocol.ranking_metrics(ranks).items():
        assert value == pytest.approx(float(values[name].mean()), abs=1e-12)


@pytest.mark.parametrize(("name", "part"), [("validation", VALIDATION), ("test", TEST)])
def test_an_exported_split_asks_what_lightrec_asks(tiny_run: Path, tmp_path, name, part):
    store = EventStore(tiny_run / "data")
    export(tiny_run / "data", tmp_path / "split.npz")
    split = protocol.Split(tmp_path / "split.npz")
    table = np.random.default_rng(0).random((store.num_users, store.num_items + 1))
    events = EvaluationEvents(Sequences.all_events(store), part, 50, 7, None, 0)
    scores = torch.from_numpy(table)
    expected = ranking.evaluate_scores(lambda batch: scores[batch[Key.USER]], events).metrics()
    found = split.judge(lambda users, histories: table[users, 1:], name)
    assert found == {n: pytest.approx(expected[n], abs=1e-12) for n in ("ndcg@10", "recall@10")}
