"""What may not be shown says nothing: a mask and an offer of the rest are the same to learners."""

import pytest
import torch
from tensordict import TensorDict

from lightrec.keys import Key
from lightrec.learners.transitions import CLICKED_COLUMN, FEATURES, STEPS_AHEAD
from lightrec.nn.session import perceptron
from lightrec.policies.candidate import CandidatePolicy
from lightrec.ranking.ranker import Ranker
from tests.learners.training import OFFLINE, ON_POLICY, REPLAY

ITEMS, ROWS = 6, 8
LEARNERS = ON_POLICY | REPLAY | {f"{name} from a log": kind for name, kind in OFFLINE.items()}
LOSSES = [*((loss, 1) for loss in LEARNERS), *([("slate-q", 2)] if REPLAY else [])]
"""With their sizes of slates."""
ALLOWED = [[1, 3, 4], [2, 3, 6]]
"""Columns of states and of next states."""
NOTHING = [0, 0, 0]


def learner_of(loss, size, strange=0.0):
    """Every item has a score of its own; those that are never allowed are strange."""
    torch.manual_seed(0)
    ranker = Ranker(ITEMS, size=4)
    torch.nn.init.normal_(ranker.items.ids)
    policy = CandidatePolicy(ranker, size=4, hidden=8)
    policy.item_vectors[5] += strange
    torch.nn.init.normal_(policy.query_network[-1].weight)
    policy = LEARNERS[loss].wrap(policy, size, (8,))
    critic = perceptron([policy.feature_size, 8, 1])
    others = torch.nn.ModuleDict(LEARNERS[loss].networks(policy, (8,)))
    more = {"slate_size": size, "discount": 0.9, "tau": 0.1, "settings": {}}
    learner = LEARNERS[loss](policy, critic, others, **more)
    with torch.no_grad():  # target networks like any other, away from the learned ones
        for number, parameter in enumerate(learner.parameters()):
            parameter.add_(0.1 * (-1) ** number)
    return learner


def rows(policy, offers, following=ALLOWED[1]):
    """Show the first of what is allowed, and accept it in every other row."""
    torch.manual_seed(1)

    def state(allowed):
        found = TensorDict(
            {
                Key.USER_VECTOR: torch.randn(ROWS, 4),
                Key.STEP: torch.arange(ROWS).unsqueeze(1),
                Key.ACCEPTED_TOTAL: torch.rand(ROWS, 1),
            },
            [ROWS],
        )
        found[FEATURES] = policy.session_features(found)
        if offers:
            found[Key.CANDIDATES] = torch.tensor(allowed).expand(ROWS, -1)
        else:
            mask = torch.zeros(ROWS, ITEMS + 1, dtype=torch.bool)
            mask[:, allowed] = allowed != NOTHING
            found[Key.MASK] = mask
        return found

    batch, batch["next"] = state(ALLOWED[0]), state(following)
    size = getattr(policy, "slate_size", 1)
    columns = [0, 1, 2] if offers else ALLOWED[0]
    shown = torch.tensor(columns[:size]).expand(ROWS, -1)
    accepted = torch.arange(ROWS).unsqueeze(1) % 2 == 0
    batch[Key.ACTION], batch[Key.LOG_PROBABILITY] = shown, torch.zeros(ROWS)
    batch[CLICKED_COLUMN] = torch.where(accepted, shown[:, :1], -1)
    batch["next", "reward"] = batch["advantage"] = batch["value_target"] = accepted.float()
    batch[STEPS_AHEAD] = torch.ones(ROWS, 1, dtype=torch.int64)
    batch["next", "done"] = batch["next", "terminated"] = torch.arange(ROWS).unsqueeze(1) > 5
    return batch


def losses(learner, offers=False, **more):
    torch.manual_seed(2)
    outcome = learner.losses(rows(learner.policy, offers, **more))
    return {name: value for name, value in outcome.items() if name.startswith("loss")}


@pytest.mark.parametrize(("loss", "size"), LOSSES)
def test_what_may_not_be_shown_says_nothing(loss, size):
    """A mask is an offer of the rest, and losses are finite where nothing is left to show."""
    learner = learner_of(loss, size)
    masked, offered = losses(learner), losses(learner, offers=True)
    strange = losses(learner_of(loss, size, strange=100.0))
    assert masked
    for name, value in masked.items():
        torch.testing.assert_close(offered[name], value)
        torch.testing.assert_close(strange[name], value)
    for offers in (False, True):
        barren = losses(learner, offers, following=NOTHING)
        assert all(value.isfinite().all() for value in barren.values())
