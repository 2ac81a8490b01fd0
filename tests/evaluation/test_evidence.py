"""What a run recommends by: the policy only where nothing explains its gain away."""

import json

import pytest

from lightrec.evaluation.base import keys_of
from lightrec.evaluation.evidence import RIVALS, Favoured, favoured, favoured_by


def difference(pair, low, prefix="simulator_new"):
    """A difference of new users, with an interval of width 1 from its lower end on."""
    return keys_of(f"{prefix}/{pair}/accepted", (low + 0.5, low, low + 1))


def measured(prefix="simulator_new", **low):
    """A policy one item ahead of everybody, but for the lower ends that are given."""
    lows = {f"policy-minus-{name}": low.get(name.replace("-", "_"), 0.5) for name in RIVALS}
    return {k: v for pair, low in lows.items() for k, v in difference(pair, low, prefix).items()}


def test_a_policy_ahead_of_everybody_is_taken():
    found = favoured(measured(mixture=0.25))
    assert found.by == "policy"
    assert found.reason.endswith(
        "the closest is the mixture chosen in A (+0.750 accepted items a session, 95 % interval "
        "+0.250 to +1.250)."
    )


@pytest.mark.parametrize("part", ["", "ensemble/"])
def test_a_judge_that_knows_less_than_popularity_decides_nothing(part):
    def judged(likelihood):
        known = {"log_likelihood": likelihood, "popularity": -1.3}
        return measured() | {f"choice/b/{part}{name}": value for name, value in known.items()}

    assert favoured(judged(-1.2)).by == "policy"
    found = favoured(judged(-1.35))
    assert found.by == "blend"
    assert "less well than popularity does (-1.350 and -1.300 nats)" in found.reason


@pytest.mark.parametrize(("random", "popularity", "best"), [(2.0, 0.5, "random"), (0, 1.5, "pop")])
def test_a_policy_of_an_unfit_reward_is_not_used(random, popularity, best):
    """Whatever its sessions: by the reward, taking no notice of people pays."""
    earned = {"reward/random": random, "reward/popularity": popularity}
    found = favoured(measured() | earned | {"reward/beginning": 1.0})
    assert found.by == "blend"
    assert f"by it {best}" in found.reason
    assert "more than the policy as it began (1.000)" in found.reason
    mixtures = difference("mixture-minus-blend", 0.25)
    unfit = favoured(measured() | earned | mixtures | {"reward/beginning": 1.0})
    assert unfit.by == "mixture"
    assert unfit.reason.startswith("The reward from which the policy learned is unfit")
    assert favoured(measured() | earned | {"reward/beginning": 2.0}).by == "policy"


@pytest.mark.parametrize("rival", RIVALS)
def test_one_rival_that_is_not_beaten_is_enough(rival):
    found = favoured(measured(**{rival.replace("-", "_"): -0.125}))
    assert found.by == "blend"
    assert f"not clearly better than {RIVALS[rival]} in sessions of new users" in found.reason
    assert "(+0.375 accepted items a session, 95 % interval -0.125 to +0.875)" in found.reason


@pytest.mark.parametrize(
    ("mixture", "even", "by", "why"),
    [
        (0.25, -0.25, "mixture", "The mixture chosen in A is clearly better than the blend"),
        (0.25, 0.125, "mixture", "The mixture chosen in A is clearly better than the blend"),
        (-0.25, 0.0, "blend", "Neither mixture is clearly better than the blend"),
        (None, 0.25, "even-mixture", "The even mixture is clearly better than the blend"),
    ],
)
def test_without_such_a_policy_a_mixture_clearly_better_than_the_blend_is_taken(
    mixture, even, by, why
):
    lows = {"mixture-minus-blend": mixture, "even-mixture-minus-blend": even}
    pairs = [difference(pair, low) for pair, low in lows.items() if low is not None]
    mixtures = {key: value for pair in pairs for key, value in pair.items()}
    found = favoured(measured(popularity=-0.125) | mixtures)
    assert found.by == by
    assert found.reason.startswith("The policy is not clearly better than popularity in sessions")
    assert f"{why} there" in found.reason
    low = max(low for low in (mixture, even) if low is not None)
    assert found.reason.endswith(
        f"({low + 0.5:+.3f} accepted items a session, 95 % interval {low:+.3f} to {low + 1:+.3f})."
    )
    assert favoured(measured() | mixtures).by == "policy"
    assert favoured(mixtures).by == "blend"


def test_only_new_users_count():
    ahead = measured("simulator")
    assert favoured(ahead).by == "blend"
    assert favoured(ahead | measured(blend=-0.5)).by == "blend"
    assert favoured(measured("simulator", blend=-0.5) | measured()).by == "policy"
    assert favoured({"test/ndcg@10": 0.1}).by == "blend"


def test_the_run_says_what_its_last_stage_wrote_of_the_stages_that_are_there(tmp_path):
    assert favoured_by(tmp_path).by == "blend"
    metrics = {"recommend/by": "policy", "recommend/reason": "It was ahead."}
    for stage, inputs in (("policy", {}), ("evaluate", {"policy": "p"})):
        (tmp_path / stage).mkdir()
        made = {"fingerprint": stage[0], "inputs": inputs}
        (tmp_path / stage / "stage.json").write_text(json.dumps(made))
    (tmp_path / "evaluate" / "metrics.json").write_text(json.dumps(metrics))
    assert favoured_by(tmp_path) == Favoured("policy", "It was ahead.")
    another = {"fingerprint": "q", "inputs": {}}
    (tmp_path / "policy" / "stage.json").write_text(json.dumps(another))
    assert favoured_by(tmp_path).by == "blend"
