"""Noise in histories and false users."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from lightrec_audit.robustness import attacked, noisy

from lightrec.keys import Key
from lightrec.ranking.item_models.base import Evidence
from lightrec.run import Run


def test_noise_replaces_a_share_of_what_was_met_by_any_items():
    history = torch.randint(1, 51, (200, 60), generator=torch.Generator().manual_seed(0))
    history[:, :10] = 0
    batch = {Key.HISTORY: history, Key.USER: torch.arange(200)}

    def read(share, seed=0):
        return noisy(lambda noised: noised[Key.HISTORY], share, 50, seed)(batch)

    assert torch.equal(read(0.0), history)
    assert not read(1.0)[:, :10].any()
    for share in (0.1, 0.5, 1.0):
        # One in fifty replacements is by the item itself.
        changed = (read(share) != history)[:, 10:].double().mean()
        assert changed == pytest.approx(share * 49 / 50, abs=0.015)
    assert not torch.equal(read(0.5), read(0.5, seed=1))


def test_false_users_promote_items_of_the_less_popular_half(tiny_run):
    run = Run(tiny_run)
    evidence = Evidence.of(run.data, run.ranker.items.vectors)
    whole = evidence.log.items.copy()
    planted, items = attacked(evidence, 0.1, 3, 0)
    assert np.array_equal(evidence.log.items, whole)
    counts, after = evidence.counts(), planted.counts()
    users = int((np.diff(evidence.log.offsets) > 0).sum())
    false = len(planted.log.offsets) - len(evidence.log.offsets)
    assert false == round(0.1 * users)
    assert len(items) == 3
    assert counts[items].max() <= counts[1:].median()
    # Each of them chose every promoted item once, and nothing twice.
    for begin, end in pairwise(planted.log.offsets[-false - 1 :]):
        chosen = planted.log.items[begin:end]
        assert set(items.tolist()) <= set(chosen.tolist())
        assert len(set(chosen.tolist())) == len(chosen)
    assert torch.equal(after[items] - counts[items], torch.full((3,), float(false)))
