"""A small training of every stage, by name: what devices, precisions and processes are tried on."""
# ruff: noqa: E402

from functools import partial

import pytest
import torch

for package in ("lightrec_lab", "lightrec_rewards", "lightrec_worlds"):
    pytest.importorskip(package, reason="the matrix is over the stages of all packages")

from lightrec_lab.adversarial import AIRL, GAIL
from lightrec_lab.imitation import SQIL
from lightrec_lab.replay import ReplayPolicyModule
from lightrec_lab.towers import GRU, MeanPooling
from lightrec_rewards.limits import ConstrainedReward, NewItems
from lightrec_testing.simulators import TinyWorld
from lightrec_testing.tiny import tiny_starts, tiny_user_model
from lightrec_worlds.greed import Greed
from lightrec_worlds.recsim import InterestEvolution, LongTermSatisfaction
from lightrec_worlds.retention import Retention
from lightrec_worlds.tower import TowerPolicy
from lightrec_worlds.world_data import WorldData

from lightrec.learners.offline import OfflinePolicyModule
from lightrec.learners.on_policy import PolicyModule
from lightrec.nn.towers import CausalTransformer
from lightrec.ranking.losses import SampledSoftmaxLoss
from lightrec.ranking.module import RankingModule
from lightrec.ranking.sequence_data import SequenceData
from lightrec.rewards.accepted import SurplusReward
from lightrec.simulators.user_model import UserModelSimulator
from lightrec.simulators.worlds.far import Far, FarLaws
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import PooledChoice, RecurrentChoice
from lightrec.users.irl import MaxEnt
from lightrec.users.module import ChoiceModule
from tests.learners.training import OFFLINE, ON_POLICY, REPLAY, policy_data

WORLD = {"num_items": 20, "offer_size": 5, "time_budget": 6, "max_steps": 2}
LOSSES = {"softmax": None, "sampled": SampledSoftmaxLoss(64)}
TOWERS = (CausalTransformer, GRU, MeanPooling)
POOLED, RECURRENT = (
    partial(kind, feature_size=4, hidden_size=8) for kind in (PooledChoice, RecurrentChoice)
)


def ranking(folder, batch_size=8, **settings):
    data = SequenceData(str(folder / "data"), max_length=4, batch_size=batch_size)
    tower = partial(CausalTransformer, layers=1, dropout=0.0)
    chosen = {"size": 8, "max_length": 4, "tower": tower, **settings}
    return RankingModule(data.num_items, 0, **chosen), data


def choice(folder, batch_size=16, **settings):
    data = ChoiceData(str(folder / "data"), candidates=4, batch_size=batch_size, history_length=4)
    chosen = {"history_length": 4, "model": POOLED, **settings}
    return ChoiceModule(data.num_items, data.vector_size, **chosen), data


def policy(folder, kind=PolicyModule, **settings):
    data = policy_data(folder, max_steps=2, reward=ConstrainedReward(SurplusReward(), [NewItems()]))
    chosen = {"sessions": 8, "steps": 2, "batch_size": 16, **settings}
    return kind(data.num_items, data.vector_size, **chosen), data


def replay(folder, **settings):
    chosen = {"warm_up": 8, "updates": 2, "capacity": 100, **settings}
    return policy(folder, ReplayPolicyModule, **chosen)


def offline(folder, loss="iql", **settings):
    more = {"behavior": {}, "logged_sessions": 20, "policy": partial(TowerPolicy, hidden=[8])}
    data = WorldData("LongTermSatisfaction", WORLD, 2, judging=4, **more)
    chosen = {"loss": loss, "batch_size": 8, "updates": 2, "n_step": WORLD["max_steps"]}
    return OfflinePolicyModule(data.num_items, data.vector_size, **chosen | settings), data


def imitation(folder, kind=GAIL, **settings):
    shown = {"demonstration_sessions": 4, "demonstration_steps": 4}
    shown |= {"demonstrations": "oracle", "policy": partial(TowerPolicy, hidden=[8])}
    data = WorldData("LongTermSatisfaction", WORLD, 2, judging=4, **shown)
    chosen = {"sessions": 4, "steps": 4, "batch_size": 8}
    sizes = data.num_items, data.vector_size
    if kind is SQIL:
        chosen |= {"loss": "soft-q", "warm_up": 8, "updates": 2, "capacity": 100}
        return ReplayPolicyModule(*sizes, reward=SQIL(), **chosen | settings), data
    reward = kind(updates=2, batch_size=16)
    return PolicyModule(*sizes, reward=reward, **chosen | settings), data


STAGES = {
    **{f"ranking {n}": (ranking, {"loss": loss}) for n, loss in LOSSES.items()},
    **{f"ranking {kind.__name__}": (ranking, {"tower": kind}) for kind in TOWERS},
    "choice pooled": (choice, {}),
    "choice recurrent": (choice, {"model": RECURRENT}),
    "choice mixed": (choice, {"model": [POOLED, RECURRENT], "members": 2}),
    "choice maxent": (choice, {"learner": MaxEnt}),
    **{f"policy {n}": (policy, {"loss": n}) for n in ON_POLICY},
    **{f"replay {n}": (replay, {"loss": n}) for n in REPLAY},
    **{f"offline {n}": (offline, {"loss": n}) for n in OFFLINE},
    **{f"imitation {kind.__name__}": (imitation, {"kind": kind}) for kind in (GAIL, AIRL, SQIL)},
}
"""By name: what makes module and data of a folder, and the settings that it takes."""
WORLDS = {
    "UserModelSimulator": lambda rows, device: UserModelSimulator(
        tiny_user_model(), tiny_starts(), rows, device=device, max_steps=2
    ),
    "TinyWorld": TinyWorld,
    "Far": lambda rows, device: Far(
        rows, laws=FarLaws(0, fit_users=32, fit_steps=20), device=device, max_steps=2
    ),
    "Greed": partial(Greed, slate_size=2, max_steps=2),
    "Retention": partial(Retention, max_steps=2, horizon=4),
    "InterestEvolution": partial(InterestEvolution, max_steps=2),
    "LongTermSatisfaction": partial(LongTermSatisfaction, max_steps=2),
    "Absorbing": partial(Greed, ending="absorbing", max_steps=2),
}
"""What makes sessions of a world or a user model side by side, on a device."""
FAMILIES = ("ranking softmax", "choice pooled", "policy ppo", "offline iql", "replay soft-q")


def make(name, folder, **settings):
    """Make the module and the data of a stage, always the same.

    :param folder: the fixture ``bandit``.
    """
    build, chosen = STAGES[name]
    chosen = {**chosen, **settings}
    learner = chosen.get("learner")
    if isinstance(learner, type):  # a learner is built into its module: a new one for each
        chosen["learner"] = learner()
    torch.manual_seed(0)
    return build(folder, **chosen)
