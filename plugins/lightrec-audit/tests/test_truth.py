"""A learned reward next to the true one."""

import pytest
import torch
from lightrec_audit.truth import spearman_within_sets
from scipy.stats import spearmanr


def test_spearman_is_the_mean_of_scipys_over_sets():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(40, 20, generator=generator)
    score = truth + torch.randn(40, 20, generator=generator)
    score[:, :3] = 0.5  # ties share their mean rank
    expected = [spearmanr(a, b).statistic for a, b in zip(score, truth, strict=True)]
    mean = spearman_within_sets(score, truth)
    assert mean == pytest.approx(sum(expected) / 40, abs=1e-12)
