"""Two kinds of people with opposite tastes, who must not be averaged into none."""

import pytest
import torch
from lightrec_lab.irl import TasteMixture
from torch.nn.functional import one_hot

from lightrec.keys import Key
from lightrec.users.choice_model import PooledChoice, with_nothing
from lightrec.users.irl import MaxEnt

ITEMS, STEPS = 6, 8
TASTE = torch.tensor([2.0, 2, 2, -2, -2, -2])
"""Of the first kind; the second one's is the opposite."""


def sessions(number):
    """Choices among all items and nothing, STEPS of each person, and the people's kinds."""
    generator = torch.Generator().manual_seed(0)
    kind = torch.randint(2, (number,), generator=generator)
    values = torch.cat([TASTE * (1 - 2 * kind).unsqueeze(1), torch.zeros(number, 1)], 1)
    slots = torch.multinomial(values.softmax(1), STEPS, replacement=True, generator=generator)
    history = torch.zeros(number, STEPS, STEPS, dtype=torch.int64)
    for step in range(STEPS):
        history[:, step, STEPS - step :] = slots[:, :step] + 1
    return {
        Key.HISTORY: history.flatten(0, 1),
        Key.CANDIDATES: torch.arange(1, ITEMS + 1).expand(number * STEPS, ITEMS),
        Key.CHOICE: slots.flatten(),
        Key.WEIGHT: torch.ones(number * STEPS),
    }, kind


def make():
    model = PooledChoice(ITEMS, ITEMS, STEPS, feature_size=8, hidden_size=16, identity_size=0)
    vectors = one_hot(torch.arange(ITEMS)).float()
    model.set_items(torch.cat([torch.zeros(1, ITEMS), vectors]))
    return model


def train(learner, batch, steps=150):
    torch.manual_seed(1)
    learner.build(make, 0.0)
    optimizer = torch.optim.AdamW(
        [p for p in learner.parameters() if p.requires_grad], 1e-2, weight_decay=1e-2
    )
    for step in range(steps):
        rows = torch.randint(len(batch[Key.CHOICE]), (1024,))
        part = {name: value[rows] for name, value in batch.items()}
        loss = learner.loss(part, step / steps)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        learner.stepped()
    return learner


@pytest.fixture(scope="module")
def learned():
    batch, kind = sessions(500)
    return batch, kind, train(TasteMixture(memory=0), batch)


@pytest.mark.slow
def test_a_mixture_finds_both_tastes_where_one_reward_finds_none(learned):
    batch, _, mixture = learned
    nobody, items = torch.zeros(1, STEPS, dtype=torch.int64), torch.arange(1, ITEMS + 1)[None]
    one = train(MaxEnt(), batch).reward_model().reward(nobody, items)[0]
    first, second = mixture.reward_model().by_kind(nobody, items)[0]
    likes = torch.sign(TASTE)
    spread = (one @ likes / ITEMS).abs()
    kinds = torch.stack([first @ likes, second @ likes]) / ITEMS
    assert spread < 0.3
    assert kinds.min() < -1
    assert kinds.max() > 1


def test_its_utilities_are_log_odds_of_the_mixture(learned):
    batch, _, mixture = learned
    history, items = batch[Key.HISTORY][:16], batch[Key.CANDIDATES][:16]
    law = with_nothing(mixture.utilities(history, items)).softmax(1)
    nobody = torch.zeros_like(history)
    each = [with_nothing(part.utilities(nobody, items)).softmax(1) for part in mixture.parts]
    weights = mixture.gate(history).exp()
    expected = weights[:, :1] * each[0] + weights[:, 1:] * each[1]
    torch.testing.assert_close(law, expected)
