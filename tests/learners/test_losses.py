"""Losses by hand and by minima that are known; SlateQ on policy looks at what was shown."""

import math

import pytest
import torch
from tensordict import TensorDict
from tensordict.nn import TensorDictModule
from torchrl.objectives import ClipPPOLoss, ValueEstimators

from lightrec.errors import RecipeError
from lightrec.learners.algorithms import Actor
from lightrec.learners.losses import CandidateIQLLoss, LikelihoodLoss, SlateSarsaLoss
from lightrec.learners.on_policy import PolicyModule
from lightrec.learners.transitions import CLICKED_COLUMN, slates_alone
from lightrec.nn.plackett_luce import EMPTY
from lightrec.policies.slate import SlatePolicy
from tests.learners.rows import DISCOUNT, NONE, Level, Rows, Slates, batch, gradients, softmax
from tests.learners.training import fit, policy_data

LOGITS = [[NONE, 1.0, 0.5, -0.5], [NONE, NONE, 0.2, 0.3]]
FIRST = [[NONE, 1.0, 2.0, -1.0], [NONE, NONE, 3.0, 0.5]]
SECOND = [[NONE, 1.5, 1.0, 0.0], [NONE, NONE, 2.0, 1.0]]
BASELINE = [[0.7], [-0.4]]
SLATES = [[2], [3]]


def in_state_0(columns, rewards):
    """Make transitions that all end, from the state 0."""
    rows = TensorDict({"state": torch.zeros(len(columns), 1, dtype=torch.int64)}, [len(columns)])
    rows["features"], rows["action"] = rows["state"], torch.tensor(columns).unsqueeze(1)
    after = rows.select("state", "features")
    after["reward"] = torch.tensor(rewards, dtype=torch.float64).unsqueeze(1)
    after["terminated"] = after["done"] = torch.ones(len(columns), 1, dtype=torch.bool)
    return rows.set("next", after)


@pytest.mark.parametrize(
    ("weighted", "law"), [(False, [0.5, 0.25, 0.25]), (True, [2 / 8, 5 / 8, 1 / 8])]
)
def test_the_most_likely_law_is_that_of_the_log(weighted, law):
    """Column 1 was shown twice, and brought 2 in all; the weights of the others are 5 and 1."""
    actor = Rows([[NONE, *(math.log(share) for share in law)]])
    rows = in_state_0([1, 1, 2, 3], [0.5, 1.5, 5.0, 1.0])
    found = LikelihoodLoss(actor, weighted=weighted)(rows)
    assert gradients(found, "loss_actor", actor)[0] == pytest.approx([0.0] * 4, abs=1e-12)
    likelihoods = [math.log(law[column - 1]) for column in (1, 1, 2, 3)]
    assert found["log_likelihood"].item() == pytest.approx(sum(likelihoods) / 4)


def iql(**settings):
    networks = Rows(LOGITS), [Rows(FIRST), Rows(SECOND)], Level(BASELINE)
    return CandidateIQLLoss(*networks, **{"discount": DISCOUNT, **settings}), networks


def test_iql_by_hand():
    loss, (actor, (_, second), critic) = iql(expectile=0.8, inverse_temperature=2.0, cap=3.0)
    found = loss(batch(SLATES))
    # The lesser of both networks at columns 2 and 3, less the baseline.
    surplus = 1.0 - 0.7, 0.5 + 0.4
    weights = math.exp(2 * 0.3), 3.0
    assert math.exp(2 * 0.9) > 3
    actors = [weights[row] * math.log(softmax(LOGITS[row])[SLATES[row][0]]) for row in (0, 1)]
    assert found["loss_actor"].item() == pytest.approx(-sum(actors) / 2)
    slopes = gradients(found, "loss_actor", actor)[1]
    law = softmax(LOGITS[1])
    assert slopes[2:] == pytest.approx([1.5 * law[2], 1.5 * (law[3] - 1)])
    assert found["loss_value"].item() == pytest.approx(0.8 * sum(u**2 for u in surplus) / 2)
    targets = 1.0 + DISCOUNT * -0.4, 2.0
    values = [(rows[row][SLATES[row][0]], row) for rows in (FIRST, SECOND) for row in (0, 1)]
    squares = [(value - targets[row]) ** 2 for value, row in values]
    assert found["loss_qvalue"].item() == pytest.approx(sum(squares) / 2)
    # Nothing but the value loss moves the critic, and nothing but its own loss the networks.
    assert gradients(found, "loss_value", critic)[0] == pytest.approx([-0.8 * surplus[0]])
    assert gradients(found, "loss_qvalue", second)[0] == pytest.approx([0, 0, 1 - targets[0], 0])


@pytest.mark.parametrize("expectile", [0.5, 0.7, 0.9])
def test_the_value_is_an_expectile(expectile):
    """Of 0 and 1, equally often, the τ-expectile is τ: τ (1 - v) = (1 - τ) v."""
    values, critic = Rows([[NONE, 0.0, 1.0, 5.0]]), Level([[expectile]])
    loss = CandidateIQLLoss(Rows([LOGITS[0]]), [values, values], critic, expectile=expectile)
    found = loss(in_state_0([1, 2], [0.0, 0.0]))
    assert gradients(found, "loss_value", critic)[0] == pytest.approx([0.0], abs=1e-7)
    with pytest.raises(ValueError, match=r"expectile is 1\.0; it must lie between 0 and 1"):
        iql(expectile=1.0)
    with pytest.raises(ValueError, match="cap is"):
        iql(cap=0)


def test_values_and_choices_of_slates_by_hand():
    """Column 2 was taken in state 0, nothing in state 1."""
    items = [[NONE, 1.0, 2.0, -1.0], [NONE, 3.0, NONE, 0.5]]
    choices = [[NONE, 0.3, -0.2, 1.0], [NONE, -0.5, NONE, 0.2]]
    policy = Slates(Rows(items), Rows([[0.4], [-0.2]]), Rows(choices))
    loss = SlateSarsaLoss(policy, Level([[0.7], [0.2]]))
    rows = batch([[1, 2], [3, -1]], clicked_column=[[2], [-1]])
    rows["value_target"] = torch.tensor([[1.5], [-0.5]], dtype=torch.float64)
    found = loss(rows.exclude("next"))
    errors, level_errors = (2.0 - 1.5, -0.2 + 0.5), (0.7 - 1.5, 0.2 + 0.5)
    assert found["loss_qvalue"].item() == pytest.approx(sum(e**2 for e in errors) / 2)
    assert found["loss_value"].item() == pytest.approx(sum(e**2 for e in level_errors) / 2)
    first, second = softmax([0.0, 0.3, -0.2]), softmax([0.0, 0.2])
    likelihood = math.log(first[2]) + math.log(second[0])
    assert found["loss_choice"].item() == pytest.approx(-likelihood / 2)
    expected = [[0, first[1] / 2, (first[2] - 1) / 2, 0], [0, 0, 0, second[1] / 2]]
    for row, by_hand in zip(gradients(found, "loss_choice", policy.choices), expected, strict=True):
        assert row == pytest.approx(by_hand)
    assert gradients(found, "loss_qvalue", policy.items)[0] == pytest.approx([0, 0, errors[0], 0])
    assert gradients(found, "loss_qvalue", policy.nothing)[1] == pytest.approx([errors[1]])


def test_clipped_ppo_over_slates_by_hand():
    """TorchRL's loss under the law of Plackett and Luce; an empty place is certain."""
    policy = Rows([[NONE, 1.0, 0.5, NONE, -0.5], [NONE, NONE, NONE, 0.3, NONE]])
    policy.reads = ("state",)
    critic = TensorDictModule(Level(BASELINE), in_keys=["features"], out_keys=["state_value"])
    loss = ClipPPOLoss(Actor(policy, 2), critic, loss_critic_type="l2", functional=False)
    loss.make_value_estimator(ValueEstimators.TD0, gamma=DISCOUNT)
    law = softmax([NONE, 1.0, 0.5, NONE, -0.5])
    first = math.log(law[2] * law[1] / (law[1] + law[4]))
    data = batch([[2, 1], [3, EMPTY]])
    data["action_log_prob"] = torch.tensor((first + 0.1, 0.0), dtype=torch.float64)
    found = loss(data)
    advantages = 1.0 + DISCOUNT * -0.4 - 0.7, 2.0 + 0.4
    gains = math.exp(-0.1) * advantages[0], advantages[1]
    assert found["loss_objective"].item() == pytest.approx(-sum(gains) / 2)
    assert found["loss_critic"].item() == pytest.approx(sum(a**2 for a in advantages) / 2)
    entropy = -sum(p * math.log(p) for p in law if p)
    assert found["entropy"].item() == pytest.approx(entropy / 2)
    sum(value for key, value in found.items() if key.startswith("loss")).backward()
    assert policy.rows.grad.isfinite().all()


SMALL = {"loss": "slate-sarsa", "critic_hidden": (8,), "sessions": 16, "steps": 4, "batch_size": 32}


def test_losses_are_those_of_a_look_at_all_that_was_offered(bandit):
    module, _ = fit(policy_data(bandit, slate_size=2), PolicyModule, 1, **SMALL)
    module._state = module.ground.train.reset()
    rows = module._estimate(module._play()).exclude("next").flatten()
    assert (rows[CLICKED_COLUMN] >= 0).any()
    alone = module.learner.losses(slates_alone(rows))
    among_all = module.learner.losses(module.with_masks(rows))
    for name, value in among_all.items():
        torch.testing.assert_close(alone[name], value)


def test_the_law_grows_sharper_and_is_kept(bandit, tmp_path, monkeypatch):
    seen, play = [], PolicyModule._play

    def played(module):
        seen.append(module.policy.temperature.item())
        return play(module)

    monkeypatch.setattr(PolicyModule, "_play", played)
    data = policy_data(bandit, slate_size=2)
    module, _ = fit(data, PolicyModule, 3, **SMALL, temperature=(0.8, 0.2))
    assert seen == pytest.approx([0.8, 0.8, 0.4, 0.4, 0.2, 0.2])
    module.policy.save_pretrained(tmp_path)
    assert SlatePolicy.from_pretrained(tmp_path).temperature.item() == pytest.approx(0.2)


def test_a_tuned_encoder_is_refused(bandit):
    data = policy_data(bandit, max_steps=2)
    with pytest.raises(RecipeError, match=r"tune is true.*Set it to false"):
        fit(data, PolicyModule, 1, loss="slate-sarsa", policy={"tune": True})
