"""The item model of people alike: its equations, and what it makes of people."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from lightrec.api import Key, NotApplicable
from lightrec.ranking.item_models.demographic import SMOOTHING, Demographic

from .test_item_models import USERS, N, evidence

PEOPLE = torch.tensor([[1.0, 0], [0, 1], [1, 1], [-1, 0.5], [0, -2]])
HISTORY = torch.zeros(1, 1, dtype=torch.int64)


def test_the_weights_are_one_step_of_newtons_method():
    model = Demographic(l2=2.0, first=2).fit(replace(evidence(), people=PEOPLE))
    events = [(user, item) for user, own in enumerate(USERS) for item in own[:2]]
    share = np.full(N, SMOOTHING)
    for _, item in events:
        share[item - 1] += 1
    share /= share.sum()
    people = PEOPLE.double().numpy()
    people = people - np.mean([people[user] for user, _ in events], axis=0)
    size = sum(np.outer(people[user], people[user]) for user, _ in events)
    expected = np.zeros((2, N))
    for i in range(N):
        pull = sum(people[user] * ((item == i + 1) - share[i]) for user, item in events)
        expected[:, i] = np.linalg.solve(share[i] * size + 2.0 * np.eye(2), pull)
    np.testing.assert_allclose(model.weights[:, 1:], expected, atol=1e-6)
    logits = np.log(share) + people[3] @ expected
    law = np.exp(logits) / np.exp(logits).sum()
    user = model.scores(HISTORY, torch.tensor([3]))[0]
    np.testing.assert_allclose(user[1:], law, atol=1e-6)
    stranger = model.scores(HISTORY, details={Key.PROFILE: PEOPLE[3:4]})[0]
    assert torch.allclose(user, stranger)
    assert user[0] == 0
    np.testing.assert_allclose(model.scores(HISTORY)[0, 1:], share, atol=1e-6)


def test_settings_are_chosen_by_newcomers_and_attributes_that_tell_nothing_are_refused():
    chance = np.random.default_rng(0)
    side = chance.integers(0, 2, 200)
    told = torch.from_numpy(np.stack([side, 1 - side], 1)).float()
    # Each side has its own three items to begin with; later all have the same.
    users = [[*(chance.permutation(3) + 1 + 3 * s), 7, 8] for s in side]
    model = Demographic()
    found = model.fit(replace(evidence(users, 8), people=told))
    assert found.l2 == min(Demographic.PRECISIONS)
    law = found.scores(HISTORY.expand(2, 1), details={Key.PROFILE: torch.eye(2)})
    assert set(law[0].topk(5).indices.tolist()) == {4, 5, 6, 7, 8}
    assert set(law[1].topk(5).indices.tolist()) == {1, 2, 3, 7, 8}
    noise = torch.from_numpy(chance.normal(size=(200, 4))).float()
    with pytest.raises(NotApplicable, match="do not tell what newcomers choose"):
        Demographic().fit(replace(evidence(users, 8), people=noise))
    with pytest.raises(NotApplicable, match="no attributes"):
        Demographic().fit(evidence(users, 8))
