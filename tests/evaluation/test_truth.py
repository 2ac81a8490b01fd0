"""Within-set Spearman against SciPy's, set by set."""

import pytest
import torch
from scipy.stats import spearmanr

from lightrec.evaluation.truth import spearman_within_sets


def test_it_is_the_mean_of_scipys_over_sets():
    generator = torch.Generator().manual_seed(0)
    truth = torch.randn(40, 20, generator=generator)
    score = truth + torch.randn(40, 20, generator=generator)
    score[:, :3] = 0.5  # ties share their mean rank
    expected = [spearmanr(a, b).statistic for a, b in zip(score, truth, strict=True)]
    found = spearman_within_sets(score, truth)
    assert found == pytest.approx(sum(expected) / 40, abs=1e-12)


def test_sets_in_which_nothing_varies_do_not_count():
    truth = torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0]])
    score = torch.tensor([[3.0, 2.0, 1.0], [7.0, 7.0, 7.0]])
    assert spearman_within_sets(score, truth) == -1
    assert spearman_within_sets(score[1:], truth[1:]) == 0
