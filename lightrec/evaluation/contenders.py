"""Who plays: the contenders known by a word, bandits among them, which learn first."""

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from lightrec.policies.bandits import Learned, LinearBandit, LinUCB, ThompsonSampling
from lightrec.policies.base import Policy, with_biases, without_nothing
from lightrec.policies.baselines import (
    ConstantListPolicy,
    GreedyRankerPolicy,
    PopularityPolicy,
    RandomPolicy,
    Scores,
    ScoringPolicy,
)
from lightrec.policies.epsilon_greedy import EpsilonGreedy
from lightrec.ranking.blend import Blend
from lightrec.run import Run
from lightrec.simulators.base import Simulator
from lightrec.simulators.rollout import Contender, play
from lightrec.simulators.scored import Greedy, Oracle, best_constant
from lightrec.simulators.user_model import LogStarts
from lightrec.simulators.world import World
from lightrec.users.user_model import UserModel

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
        return _taught(EpsilonGreedy(bandit, EPSILON, always_drawn=True), bandit, world, users)

    makers: Makers = {"random": lambda: RandomPolicy(world.num_items)}
    if type(world).greedy is not World.greedy:
        makers["greedy"] = lambda: Greedy(world)
    makers |= {"constant": constant, "epsilon-greedy": epsilon, **linear}
    return makers | {"oracle": lambda: Oracle(world)}


def run_contenders(
    run: Run, learns_in: Callable[[], Simulator], users: Tensor, starts: LogStarts
) -> Makers:
    """Give what makes a run's contenders, by their words.

    Next to those of :func:`plain_contenders`, ``greedy`` shows what the ranker alone scores
    highest; ``epsilon-greedy`` shows one slate in ten at random, else the same; ``linucb`` and
    ``thompson`` learn on the ranker's item vectors, from sessions of the same users.

    :param learns_in: makes the simulator in which bandits learn, one session a user side by side:
        that of user model A, if they are to be judged in B.
    :param users: (U,) int64.
    :param starts: of all users.
    """

    def greedy() -> GreedyRankerPolicy:
        return GreedyRankerPolicy(run.ranker)

    def constant() -> Contender:
        history = starts.history(users, starts.ends_of(users), run.users_a.history_length)
        return ConstantListPolicy.from_user_model(run.users_a, history)

    def vectors() -> Tensor:
        return with_biases(run.ranker).detach()

    makers = plain_contenders(run)
    if not run.has("policy"):
        del makers["policy"]
    return makers | {
        "greedy": greedy,
        "constant": constant,
        "epsilon-greedy": lambda: EpsilonGreedy(greedy(), EPSILON, always_drawn=True),
        **_bandits(vectors, learns_in, users, {}),
    }


def plain_contenders(run: Run) -> Makers:
    """Give what makes a run's contenders that need neither a search nor sessions to learn from."""
    count = run.data.num_items
    return {
        "policy": lambda: run.policy,
        "blend": lambda: ScoringPolicy(count, ranking(run.blend)),
        "user-model-a": lambda: ScoringPolicy(count, utilities(run.users_a)),
        "even-mixture": lambda: even_mixture(run.blend, run.users_a),
        "popularity": lambda: PopularityPolicy.from_appeal(torch.from_numpy(run.data.popularity())),
        "random": lambda: RandomPolicy(count),
    }


def _bandits(
    vectors: Callable[[], Tensor],
    learns_in: Callable[[], Simulator],
    users: Tensor,
    settings: Mapping[str, Any],
) -> Makers:
    def learned(kind: type[LinearBandit]) -> Contender:
        bandit = kind.from_vectors(vectors(), **settings)
        return _taught(bandit, bandit, learns_in(), users)

    return {"linucb": lambda: learned(LinUCB), "thompson": lambda: learned(ThompsonSampling)}


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


def ranking(blend: Blend, length: int | None = None) -> Scores:
    """Make what scores all items as the next one; it reads no declined slates.

    :param length: how many of a history's last items are read; None for all.
    """
    count = blend.ranker.num_items
    return lambda history: blend.scores(without_nothing(history, count)[:, -(length or 0) :])


def utilities(users: UserModel) -> Scores:
    """Make what scores all items by a user model's utilities.

    It reads declined slates only where the model learned from them, as every policy on it does.
    """

    @torch.no_grad()
    def scores(history: Tensor) -> Tensor:
        if not users.records_nothing:
            history = without_nothing(history, users.num_items)
        return users.scores(history)

    return scores


def even_mixture(blend: Blend, users: UserModel) -> ScoringPolicy:
    """Make the policy of the transformer's scores plus a user model's utilities, weighed alike.

    It reads as much of a history as the user model does. Nothing in it was learned or chosen, and a
    policy that is itself such a mixture has to beat it.
    """
    transformer = Blend(blend.ranker).freeze()
    return _sum(ranking(transformer, users.choice.history_length), users, 1.0)


def mixture(blend: Blend, users: UserModel, weight: float) -> ScoringPolicy:
    """Make the policy of the blend's scores plus ``weight`` times a user model's utilities."""
    return _sum(ranking(blend), users, weight)


def _sum(ranked: Scores, users: UserModel, weight: float) -> ScoringPolicy:
    liked = utilities(users)
    return ScoringPolicy(users.num_items, lambda history: ranked(history) + weight * liked(history))


def chosen_users(users: Tensor, limit: int, seed: int) -> Tensor:
    """Draw at most ``limit`` of some users (M,), in their order."""
    if len(users) <= limit:
        return users
    generator = torch.Generator().manual_seed(seed)
    return users[torch.randperm(len(users), generator=generator)[:limit].sort().values]
