"""Virtual Taobao: its laws on networks made by hand, its numbers on the published weights."""

from itertools import pairwise

import pytest
import torch
from lightrec_audit.probe import probe
from lightrec_ecommerce.virtual_taobao import (
    ATTRIBUTES,
    PAGE,
    SIZES,
    USER,
    WEIGHTS,
    VirtualTaobao,
    click_rate,
)
from torch import nn
from torchrl.envs.utils import check_env_specs

from lightrec.errors import DataError
from lightrec.keys import Key

ODDS = torch.tensor([0.5, 0.25, 0.25, 0, 0, 0, 0, 0, 0, 0, 0])
"""Probabilities of 0 to 10 clicks."""


def certain(place, size):
    return 50.0 * nn.functional.one_hot(torch.tensor(place), size).float()


@pytest.fixture
def made(tmp_path):
    """Networks whose weights are 0, and whose last layers have biases that say everything."""
    biases = {
        "generator_model.pt": torch.cat([certain(n - 1, n) for n in ATTRIBUTES]),
        "leave_model.pt": certain(3, 101),
        "action_model.pt": torch.cat([ODDS.log().clamp_min(-60), certain(7, 10)]),
    }
    for name, sizes in SIZES.items():
        state = {}
        for layer, (narrow, wide) in enumerate(pairwise(sizes)):
            state[f"{2 * layer}.weight"] = torch.zeros(wide, narrow)
            state[f"{2 * layer}.bias"] = torch.zeros(wide)
        state[f"{2 * layer}.bias"] = biases[name]
        torch.save(state, tmp_path / name)
    return tmp_path


def test_users_clicks_and_ends_follow_their_odds(made):
    check_env_specs(VirtualTaobao(made, 6))
    simulator = VirtualTaobao(made, 4000)
    simulator.set_seed(2)
    steps = simulator.rollout(10, break_when_all_done=True)
    assert steps.shape == (4000, 3)  # all leave at the end of page 3
    assert steps["next", "terminated"][:, -1].all()
    last = torch.tensor(ATTRIBUTES).cumsum(0) - 1
    assert steps[Key.OBSERVATION][..., :USER].sum(-1).eq(11).all()
    assert steps[Key.OBSERVATION][..., last].eq(1).all()
    reward = steps["next", "reward"]
    counts = torch.bincount(reward.flatten().long(), minlength=11)[:3].float()
    expected = 12_000 * ODDS[:3]
    assert ((counts - expected) ** 2 / expected).sum() < 13.8  # χ², 2 degrees of freedom, 99.9 %
    assert counts.sum() == 12_000
    seen = steps["next", Key.OBSERVATION][..., USER:]
    assert torch.equal(seen[..., :1], reward)
    assert seen[..., 1].eq(7).all()
    assert torch.equal(seen[0, :, 2], torch.tensor([1.0, 2.0, 3.0]))
    rates = reward.sum(1) / (3 * PAGE)
    torch.testing.assert_close(click_rate(steps[:, -1]["next"]), rates, rtol=0, atol=1e-6)


def test_what_is_wrong_is_told(made):
    simulator = VirtualTaobao(made, 2)
    with pytest.raises(ValueError, match="between -1 and 1"):
        simulator.step(simulator.reset().set(Key.ACTION, torch.full((2, WEIGHTS), 1.5)))
    torch.save(DataError, made / "leave_model.pt")  # a pickle that names a class
    with pytest.raises(DataError, match=r"leave_model\.pt.*no network of the widths"):
        VirtualTaobao(made, 2)
    (made / "leave_model.pt").unlink()
    with pytest.raises(DataError, match=r"leave_model\.pt is missing"):
        VirtualTaobao(made, 2)


def test_the_probe_finds_the_hole(lightrec_data):
    """One action for everybody is clicked on everywhere: no policy needs to look at the user."""
    settings = {"folder": str(lightrec_data / "virtual-taobao"), "max_steps": 30}
    outcome = probe("VirtualTaobao", [], "free", 1000, 0, settings)
    assert outcome.hole
    # Click rates: reward per step over the ten items of a page.
    assert (outcome.lowest, outcome.highest) == (0, PAGE)
    assert outcome.shares["random"].mean == pytest.approx(0.018, abs=0.002)
    assert outcome.shares["constant"].mean > 0.85
