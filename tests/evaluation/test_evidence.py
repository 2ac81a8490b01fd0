"""What a run recommends by: the policy only where nothing explains its gain away."""

import json

import pytest

from lightrec.evaluation.evidence import RIVALS, Favoured, favoured, favoured_by


def measured(prefix="simulator_new", **low):
    """A policy one item ahead of everybody, but for the lower ends that are given."""
    found = {}
    for name in RIVALS:
        key = f"{prefix}/policy-minus-{name}/accepted"
        least = low.get(name.replace("-", "_"), 0.5)
        found |= {key: least + 0.5, f"{key}/low": least, f"{key}/high": least + 1}
    return found


def test_a_policy_ahead_of_everybody_is_taken():
    found = favoured(measured(mixture=0.25))
    assert found.by == "policy"
    assert "the closest is the mixture chosen in A (+0.750, 95 % interval +0.250" in found.reason


@pytest.mark.parametrize("rival", RIVALS)
def test_one_rival_that_is_not_beaten_is_enough(rival):
    found = favoured(measured(**{rival.replace("-", "_"): -0.125}))
    assert found.by == "blend"
    assert f"not clearly better than {RIVALS[rival]} in sessions of new users" in found.reason
    assert "(+0.375 accepted items a session, 95 % interval -0.125 to +0.875)" in found.reason


def test_only_new_users_count():
    ahead = measured("simulator")
    assert favoured(ahead).by == "blend"
    assert favoured(ahead | measured(blend=-0.5)).by == "blend"
    assert favoured(measured("simulator", blend=-0.5) | measured()).by == "policy"


def test_without_sessions_nothing_speaks_for_a_policy(tmp_path):
    assert favoured({"test/ndcg@10": 0.1}).by == "blend"
    assert favoured_by(tmp_path).by == "blend"


def test_the_run_says_what_its_last_stage_wrote_of_the_stages_that_are_there(tmp_path):
    told = {"recommend/by": "policy", "recommend/reason": "It was ahead."}
    for stage, inputs in (("policy", {}), ("evaluate", {"policy": "p"})):
        (tmp_path / stage).mkdir()
        made = {"fingerprint": stage[0], "inputs": inputs}
        (tmp_path / stage / "stage.json").write_text(json.dumps(made))
    (tmp_path / "evaluate" / "metrics.json").write_text(json.dumps(told))
    assert favoured_by(tmp_path) == Favoured("policy", "It was ahead.")
    another = {"fingerprint": "q", "inputs": {}}
    (tmp_path / "policy" / "stage.json").write_text(json.dumps(another))
    assert favoured_by(tmp_path).by == "blend"
