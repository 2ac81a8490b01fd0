"""Studies in worlds of known truth: which estimator errs by how much, and which is recommended."""

import pytest
import torch
from lightrec_ope.estimators import DM, DR, IPS, SNIPS, BanditLog, expected_rewards, study

ESTIMATORS = {"IPS": IPS(), "SNIPS": SNIPS(), "DM": DM(), "DR": DR()}


def world(n: int) -> BanditLog:
    """Two actions of which each round likes one, and is shown it with probability .8.

    An action earns .8 where it is liked and .2 where it is not. The target shows both evenly, so
    that its value is .5; an action's own mean in the log is .8 · .8 + .2 · .2 = .68.
    """
    chance = torch.Generator().manual_seed(0)
    behavior = 0.2 + 0.6 * torch.eye(2).double()[torch.arange(n) % 2]
    action = behavior.multinomial(1, generator=chance).squeeze(1)
    likely = behavior.gather(1, action[:, None]).squeeze(1)
    reward = (torch.rand(n, generator=chance).double() < likely).double()
    target = torch.full((n, 2), 0.5).double()
    return BanditLog(action, reward, target, likely, None, behavior, behavior)


def item_means(log: BanditLog, rows: torch.Tensor, seed: int) -> BanditLog:
    return expected_rewards(log, torch.zeros(len(rows), 1), penalty=1e-3, seed=seed)


@pytest.mark.slow
def test_a_model_that_misses_what_counts_loses_in_the_world_that_knows_it():
    result = study(world(2_000), ESTIMATORS, item_means, logs=60)
    assert result.truth == pytest.approx(0.5)
    assert result.errors["DM"].bias == pytest.approx(0.18, abs=0.005)
    assert [*result.errors][-1] == "DM"
    assert result.errors["DM"].covered == 0
    assert result.best == next(iter(result.errors)) != "DM"
    for name in ("IPS", "SNIPS", "DR"):
        assert abs(result.errors[name].bias) < 0.01
        assert result.errors[name].covered > 0.85
    # Σ of π² q / p over both actions, less the square of the value.
    of_round = 0.5**2 * (0.8 / 0.8 + 0.2 / 0.2) - 0.25
    assert result.errors["IPS"].deviation == pytest.approx((of_round / 2_000) ** 0.5, rel=0.25)
    assert result.effective[0] == pytest.approx(result.effective[1], rel=0.05)
