"""A policy of headlines, replayed on randomised trials."""

import pytest
import torch
from lightrec_news.trials import Trials

from benchmarks.headlines_run import replay, replayed

TRIALS = Trials(
    texts=torch.tensor([[1, 2, 0], [3, 4, 5]]),
    shown=torch.tensor([[100.0, 100, 0], [200, 200, 200]]),
    clicked=torch.tensor([[10.0, 2, 0], [2, 4, 6]]),
)


def test_the_click_rate_is_that_of_the_headlines_that_are_chosen():
    best = torch.tensor([[1.0, 0, 9], [0, 0, 1]])  # what is no arm is not chosen
    # 200 visitors of the first trial at .1, and 600 of the second at .03.
    assert replayed(TRIALS, best).mean().item() == pytest.approx((200 * 0.1 + 600 * 0.03) / 800)
    chance = (200 * 0.06 + 600 * 0.02) / 800
    assert replayed(TRIALS, None).mean().item() == pytest.approx(chance)
    equal = torch.tensor([[0.0, 0, 0], [1, 1, 0]])
    assert replayed(TRIALS, equal).mean().item() == pytest.approx((12 + 600 * 0.015) / 800)


def test_the_fixed_rule_is_chosen_on_other_trials():
    texts = ["a longer one", "b 1", "c", "d?", "e is the longest"]
    parts = {"train": TRIALS, "validation": TRIALS, "test": TRIALS}
    found = replay(parts, texts, {"ridge": torch.zeros(2, 3)}, 0)
    assert found["replay/best rule"] == "longest"
    assert found["replay/rule"] == pytest.approx((200 * 0.1 + 600 * 0.03) / 800)
    assert found["replay/ridge-minus-chance"] == pytest.approx(0)
