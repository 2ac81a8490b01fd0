"""Value-based learners reach the exact values of a world of tables: cut goes on, ended does not."""

import itertools

import numpy as np
import pytest
import torch
from tensordict.nn import TensorDictModule as Module
from torchrl.modules import QValueActor
from torchrl.objectives import DQNLoss, SoftUpdate

from lightrec.learners.losses.actor_value import CandidateMPOLoss, CandidateSACLoss
from lightrec.learners.losses.slate_q import SlateQLoss
from tests.learners.losses.rows import Slates
from tests.learners.losses.tabular import (
    ALLOWED,
    COLUMNS,
    DISCOUNT,
    STATES,
    Number,
    Table,
    World,
    iterate,
    learned,
    numbers,
)

STEP = 0.25
"""Half the squared error's curvature of two outcomes: one step leads onto their mean."""


def shown(q, state):
    """The values of what may be shown."""
    return q[state, 1:][ALLOWED[state]]


def check(world, found, worth):
    exact = world.values(worth)
    options = world.options[:, 1:]
    assert np.abs(found - exact[:, 1:])[options].max() < 1e-5
    mistaken = world.values(worth, cut_goes_on=False)
    assert np.abs(mistaken - exact)[world.options].max() > 0.1


@pytest.mark.parametrize("double", [False, True])
def test_dqn(double):
    world = World()
    values = Table(barren=0.0)
    network = Module(values, in_keys=["state"], out_keys=["action_value"])
    actor = QValueActor(network, in_keys=["state"], action_space="categorical")
    loss = DQNLoss(actor, action_space="categorical", double_dqn=double)
    loss.make_value_estimator(gamma=DISCOUNT)
    iterate(loss, world.batch(), 120, {"value_network": STEP}, SoftUpdate(loss, tau=0.5).step)
    check(world, learned(values), lambda q, s: shown(q, s).max())


ALPHA = 0.8


def soft(q, state):
    return ALPHA * np.log(np.exp(shown(q, state) / ALPHA).sum())


def test_soft_actor_critic():
    world = World(1)
    actor, first, second = (Table(seed) for seed in range(3))
    loss = CandidateSACLoss(
        actor,
        [first, second],
        alpha_init=ALPHA,
        fixed_alpha=True,
        discount=DISCOUNT,
        loss_function="l2",
    )
    rates = {"networks": STEP, "actor": 0.25}
    iterate(loss, world.batch(), 220, rates, lambda: loss.follow_up(0.5))
    check(world, learned(first), soft)
    check(world, learned(second), soft)
    policy = actor.table.detach().masked_fill(~ALLOWED, -torch.inf).softmax(-1)
    exact = torch.as_tensor(world.values(soft)[:, 1:] / ALPHA).masked_fill(~ALLOWED, -torch.inf)
    torch.testing.assert_close(policy[:-1], exact.softmax(-1)[:-1], atol=1e-5, rtol=0)


@pytest.mark.parametrize("seed", [2, 5])
def test_slate_q(seed):
    world, policy = World(seed, nothing=True), Slates(Table(barren=0.0), Number(), Table(3))
    loss = SlateQLoss(policy, discount=DISCOUNT, loss_function="l2")
    batch = world.batch()
    taken, allowed = batch["action"], ALLOWED[batch["state"].squeeze(-1)]
    batch["clicked_column"] = taken
    others = allowed.double().scatter(1, taken.clamp_min(0), 0.0)
    first = torch.where(taken < 0, others.argmax(1, keepdim=True), taken)
    second = others.scatter(1, first, 0.0)
    batch["action"] = torch.cat([first, second.argmax(1, keepdim=True)], 1)
    rates = {"policy.items": STEP, "policy.nothing": STEP}
    iterate(loss, batch, 120, rates, lambda: loss.follow_up(0.5))

    logits = numbers(3, (STATES, COLUMNS)).numpy()

    def worth(q, state):
        """Look at every slate of two."""
        columns = ALLOWED[state].nonzero().squeeze(-1).tolist()
        slates = [list(pair) for pair in itertools.combinations(columns, 2)]
        strengths = [np.exp(logits[state, slate]) for slate in slates]
        return max(
            (q[state, 0] + strength @ q[state, 1:][slate]) / (1 + strength.sum())
            for slate, strength in zip(slates, strengths, strict=True)
        )

    check(world, learned(policy.items), worth)
    nothing = policy.nothing.table.detach().numpy()
    assert np.abs(nothing - world.values(worth)[:, 0])[:-1].max() < 1e-5


def test_critic_of_mpo():
    world = World(3)
    actor, values = Table(4), Table(barren=0.0)
    loss = CandidateMPOLoss(actor, values, discount=DISCOUNT, loss_function="l2")
    iterate(loss, world.batch(), 120, {"network": STEP}, lambda: loss.follow_up(0.5))
    logits = numbers(4, (STATES, COLUMNS))
    policy = logits.masked_fill(~ALLOWED, -torch.inf).softmax(-1).nan_to_num(0.0).numpy()
    check(world, learned(values), lambda q, s: policy[s] @ q[s, 1:])

    # The same by one linear solve: Q = r + γ P Π Q.
    flow = np.zeros((STATES * COLUMNS, STATES * COLUMNS))
    for s, c, k in np.ndindex(STATES, COLUMNS, 2):
        place = s, c + 1, k
        if not world.terminated[place]:
            to = world.following[place] * COLUMNS + np.arange(COLUMNS)
            flow[s * COLUMNS + c, to] += policy[world.following[place]] / 2
    reward = world.reward[:, 1:].mean(-1).ravel()
    solved = np.linalg.solve(np.eye(len(flow)) - DISCOUNT * flow, reward).reshape(STATES, COLUMNS)
    assert np.abs(learned(values) - solved)[ALLOWED.numpy()].max() < 1e-5
