"""The contenders that `lightrec simulate` knows by a word; bandits among them learn first."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from lightrec.policies.bandits import Learned, LinearBandit, LinUCB, ThompsonSampling
from lightrec.policies.base import Policy, with_biases
from lightrec.policies.baselines import ConstantListPolicy, GreedyEncoderPolicy, RandomPolicy
from lightrec.policies.epsilon_greedy import Drawn, EpsilonGreedy
from lightrec.ranking.ranker import Ranker
from lightrec.simulators.base import Simulator
from lightrec.simulators.constant import best_constant
from lightrec.simulators.oracle import Greedy, Oracle
from lightrec.simulators.rollout import Contender, play
from lightrec.simulators.world import World

ROUNDS = 10
"""Rounds of sessions in which a bandit learns, one session of every user each."""
SEED = 800_000_009
"""Of the first of these rounds: sessions that no contender is judged by."""
EPSILON = 0.1

Makers = dict[str, Callable[[], Contender]]


def world_contenders(world: World, learned: Learned = "click") -> Makers:
    """Give what makes a world's contenders, by their words.

    :param learned: what bandits learn from.
    """

    def constant() -> Contender:
        return ConstantListPolicy.from_appeal(best_constant(world).appeal)

    settings: dict[str, Any] = {
        # Where there is an observation, it holds what may be known of users.
        "observation_size": world.observation_size,
        "history_length": 0 if world.observation_size else world.history_length,
        "learned": learned,
    }
    users = torch.arange(world.batch_size[0])
    linear = _bandits(lambda: world.item_vectors, lambda: world, users, settings)

    def epsilon() -> Contender:
        """The linear model of the others: one slate in ten is drawn evenly."""
        bandit = LinUCB.from_vectors(world.item_vectors, alpha=0.0, **settings)
        exploring = EpsilonGreedy.around(bandit, EPSILON)
        return Drawn(_taught(exploring, bandit, world, users))

    makers: Makers = {"random": lambda: RandomPolicy(world.num_items)}
    if type(world).greedy is not World.greedy:
        makers["greedy"] = lambda: Greedy(world)
    makers |= {"constant": constant, "epsilon-greedy": epsilon, **linear}
    return makers | {"oracle": lambda: Oracle(world)}


def run_contenders(
    ranker: Callable[[], Ranker], learns_in: Callable[[], Simulator], users: Tensor
) -> Makers:
    """Give what makes the contenders of a run that explore, by their words.

    ``epsilon-greedy`` shows one slate in ten at random, else the encoder's; ``linucb`` and
    ``thompson`` learn on the encoder's item vectors, from sessions of the same users.

    :param ranker: gives the trained encoder.
    :param learns_in: makes the simulator in which bandits learn, one session a user side by side:
        that of user model A, if they are to be judged in B.
    :param users: (U,) int64.
    """

    def epsilon() -> Contender:
        return Drawn(EpsilonGreedy.around(GreedyEncoderPolicy.from_ranker(ranker()), EPSILON))

    def vectors() -> Tensor:
        return with_biases(ranker()).detach()

    return {"epsilon-greedy": epsilon, **_bandits(vectors, learns_in, users, {})}


def _bandits(
    vectors: Callable[[], Tensor],
    learns_in: Callable[[], Simulator],
    users: Tensor,
    settings: Mapping[str, Any],
) -> Makers:
    def upper() -> Contender:
        bandit = LinUCB.from_vectors(vectors(), **settings)
        return _taught(bandit, bandit, learns_in(), users)

    def thompson() -> Contender:
        bandit = ThompsonSampling.from_vectors(vectors(), **settings)
        return _taught(bandit, bandit, learns_in(), users)

    return {"linucb": upper, "thompson": thompson}


def _taught(shown: Policy, bandit: LinearBandit, simulator: Simulator, users: Tensor) -> Policy:
    """Let a bandit learn from what is shown by itself, or by a policy that explores around it."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        for round_ in range(ROUNDS):
            play(
                shown,
                simulator,
                users,
                SEED + round_,
                deterministic=shown is bandit,
                record=bandit.learn,
            )
    return shown
