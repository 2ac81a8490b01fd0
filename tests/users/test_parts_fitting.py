"""Leaving, value and return are found again in logs made by known laws."""

import math

import numpy as np
import polars as pl
import pytest
import torch
from lightrec_testing import tiny
from tensordict import TensorDict

from lightrec.evaluation.sessions import Returns
from lightrec.keys import Key
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import PooledChoice
from lightrec.users.parts import ReturnModel
from lightrec.users.parts_fitting import UserParts
from lightrec.users.user_model import UserModel
from tests.users.stores import prepared

ITEMS = 6
HOUR = 3600


@pytest.fixture(scope="module")
def parts(tmp_path_factory):
    """Of sessions of 1 to 8 slates: who declined leaves with probability .5, who took with .1."""
    rows, rng = [], np.random.default_rng(0)
    for session in range(12_000):
        for step in range(8):
            took = rng.random() < 0.6
            item = int(rng.integers(ITEMS))
            rows.append(
                {
                    "user": f"u{session // 4}",
                    "item": f"i{item}" if took else None,
                    "time": session % 4 * 1000 * HOUR + 10 * step,
                    "feedback": "choice" if took else "skip",
                    "value": item + 0.5 * rng.standard_normal() if took else None,
                    "session": f"s{session}",
                    "candidates": [f"i{item}"],
                }
            )
            if rng.random() < (0.1 if took else 0.5):
                break
    events = pl.DataFrame(rows, infer_schema_length=None)
    store = prepared(events, tmp_path_factory.mktemp("parts") / "data")
    torch.manual_seed(0)
    model = PooledChoice(store.num_items, 1, 2, pools=1, feature_size=2, hidden_size=4)
    data = ChoiceData(str(store.folder), history_length=2)
    return UserParts(model.eval(), data)


def test_leaving_is_not_taken_for_being_cut(parts, tmp_path):
    part, metrics = parts.leaving()
    assert parts.table.longest == 8
    assert metrics["log_likelihood"] > metrics["constant"] + 0.05
    _, state, step, total, accepted = parts._leaving_rows(parts.table.held_out)
    found = part(state, step, total, accepted).sigmoid()
    true = torch.where(accepted.squeeze(1) > 0, 0.1, 0.5)
    assert (found - true).abs().mean() < 0.03
    last = step.squeeze(1) == 7
    assert (found - true)[last].mean().abs() < 0.03
    assert step.max() == 7
    UserModel([parts.model], leaving=part).save_pretrained(tmp_path)
    again = UserModel.load(tmp_path)
    assert torch.equal(again.leaving.levels.weight, part.levels.weight)
    assert again.valuing is again.returning is again.reward_model is None


def test_values_have_their_mean_and_spread(parts):
    part, metrics = parts.value()
    # Of a normal law with the true spread .5.
    entropy = 0.5 + math.log(0.5) + math.log(2 * math.pi) / 2
    assert metrics["log_likelihood"] == pytest.approx(-entropy, abs=0.05)
    assert metrics["constant"] < metrics["log_likelihood"] - 0.8
    items = torch.arange(1, ITEMS + 1)
    features = parts.model.item_features()[0][items]
    mean, deviation = part(torch.zeros(ITEMS, parts.model.state_size), features, items)
    names = parts.store.catalog["item"].to_list()
    assert mean.tolist() == pytest.approx([float(name[1:]) for name in names], abs=0.15)
    assert deviation.tolist() == pytest.approx([0.5] * ITEMS, abs=0.1)


def test_returns_a_fixed_time_apart_are_not_fitted(parts):
    # All sessions of a user begin 1,000 hours apart: there is nothing to learn.
    assert parts.returning() is None


def test_what_is_kept_is_not_chosen_by_the_rows_that_are_reported(parts, monkeypatch):
    """Rows on which leaving looks good and a trial in which it looks bad, and the other way."""
    likelihoods = {False: -0.1, True: -0.9}

    def leaving(trial=False):
        return ReturnModel(0), {"log_likelihood": likelihoods[trial], "constant": -0.5, "rows": 9.0}

    for name in ("value", "returning"):
        monkeypatch.setattr(parts, name, lambda trial=False: None)
    monkeypatch.setattr(parts, "leaving", leaving)
    kept, metrics = parts.fit()
    assert not kept
    assert metrics["leaving/log_likelihood"] == -0.1
    likelihoods = {False: -0.9, True: -0.1}
    kept, metrics = parts.fit()
    assert [*kept] == ["leaving"]
    assert metrics["leaving/log_likelihood"] == -0.9


def test_censored_times_count_as_later_ones():
    # Log-normal times around e², of which those above e³ are only known to be later.
    logs = 2 + torch.randn(20_000)
    part = ReturnModel(0)
    count = (len(logs), 1)
    inputs = torch.zeros(len(logs), 0), torch.ones(count, dtype=torch.int64), torch.zeros(count)
    seconds, seen = logs.clamp(0, 3).exp(), logs < 3
    optimizer = torch.optim.LBFGS(part.parameters(), max_iter=100, line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = -part.log_likelihood(seconds, seen, *inputs).mean()
        value.backward()
        return value

    optimizer.step(loss)
    mean, deviation = part(*inputs)
    assert mean[0].item() == pytest.approx(2, abs=0.05)
    assert deviation[0].item() == pytest.approx(1, abs=0.05)


def test_what_is_always_the_same_in_a_log_says_nothing_elsewhere():
    # In a log of choices alone everything was accepted; in simulated sessions it is not.
    part = ReturnModel(2)
    torch.nn.init.normal_(part.linear.weight)
    state, steps = torch.randn(100, 2), torch.randint(1, 9, (100, 1))
    part.standardise(state, steps, steps.float())
    with torch.no_grad():
        logged, _ = part(state, steps, steps.float())
        simulated, _ = part(state, steps, 0.5 * steps)
        far, farther = (part(state * size, steps, steps.float())[0] for size in (1e3, 1e6))
    assert torch.equal(logged, simulated)
    torch.testing.assert_close(far, farther, atol=0.5, rtol=0)


def test_days_are_the_geometric_mean_over_the_ends_of_sessions():
    users = tiny.tiny_user_model()
    returning = ReturnModel(users.choice.state_size)
    # Two days times 4 to the power of the share accepted.
    returning.linear.bias.data[0] = math.log(2 * 24 * 3600)
    returning.linear.weight.data[0, -1] = math.log(4)
    returns = Returns(users.replaced(returning=returning))
    # Sessions of four slates; the third goes on, and the last ended earlier.
    following = {
        "done": torch.tensor([[True], [True], [False], [True]]),
        Key.STEP: torch.full((4, 1), 4),
        Key.HISTORY: torch.zeros(4, 5, dtype=torch.int64),
        Key.ACCEPTED_TOTAL: torch.tensor([[0.0], [4.0], [1.0], [3.0]]),
    }
    following = TensorDict(following, batch_size=[4])
    returns(following, following, torch.tensor([True, True, True, False]))
    assert returns.days() == pytest.approx(math.sqrt(2 * 8), rel=1e-4)
