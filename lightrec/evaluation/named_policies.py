"""Who plays: policies known by a word, packages' that learn first, and the best constant list.

The best constant list is found by playing alone, in any simulator of items, whatever its laws.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from functools import partial

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec import plugins
from lightrec.blame import blaming, provider
from lightrec.errors import PluginError
from lightrec.keys import PADDING, Key
from lightrec.policies.base import Policy, among_candidates, without_nothing
from lightrec.policies.baselines import (
    ConstantListPolicy,
    GreedyRankerPolicy,
    PopularityPolicy,
    RandomPolicy,
    ScoringPolicy,
)
from lightrec.policies.epsilon_greedy import EpsilonGreedy
from lightrec.policies.mixture import Mixture, utilities
from lightrec.progress import progress_bar
from lightrec.ranking.blend import Blend
from lightrec.run import Run
from lightrec.simulators.base import Simulator
from lightrec.simulators.rollout import ActingPolicy, play
from lightrec.simulators.session_env import SessionEnv
from lightrec.simulators.user_model import LogStarts
from lightrec.simulators.world import Scored, World
from lightrec.users.user_model import UserModel

EPSILON = 0.1
SEARCHED = 8
"""Rounds of play by which a search ranks the items for a constant list."""
LEADERS = 8
"""Items that are tried as the first of the list, where a list could be shown again and again."""
PRIOR = 2.0
"""Showings that an item is taken to have had at the mean of all."""

Makers = dict[str, Callable[[], ActingPolicy]]


class PolicyMaker(ABC):
    """Makes a policy that learns in a simulator before it is compared; packages name it by a word.

    It is itself made without arguments.
    """

    @abstractmethod
    def policy(self, simulator: Simulator, users: Tensor, run: Run | None = None) -> Policy:
        """Make the policy, and let it learn.

        :param simulator: with one session for each user, and ``item_vectors`` where it is a world.
        :param users: (U,) int64.
        :param run: whose policy it is to be; None in a world.
        """


def _with_learners(
    makers: Makers, learns_in: Callable[[], Simulator], users: Tensor, run: Run | None = None
) -> Makers:
    """Policies, and those of packages by words that are free, see :class:`PolicyMaker`."""

    def make(part: plugins.Part) -> Policy:
        maker: PolicyMaker = part.made()
        with blaming(maker, "make its policy"):
            made = maker.policy(learns_in(), users, run)
        if not hasattr(made, "act"):
            raise PluginError(
                f"`policy` of {provider(maker)} gave {made!r:.80}; expected is a policy, "
                "which has a method `act`."
            )
        return made

    parts = plugins.installed().parts["policy_makers"]
    return makers | {w: partial(make, part) for w, part in parts.items() if w not in makers}


def world_policies(world: World) -> Makers:
    """Makers of a world's policies, by their words."""
    makers: Makers = {"random": lambda: RandomPolicy(world.num_items)}
    if type(world).greedy is not World.greedy:
        makers["greedy"] = lambda: Scored(world.greedy)
    makers = _with_learners(makers, lambda: world, torch.arange(world.batch_size[0]))
    return makers | {"oracle": lambda: Scored(world.oracle)}


def run_policies(
    run: Run, learns_in: Callable[[], Simulator], users: Tensor, starts: LogStarts
) -> Makers:
    """Makers of a run's policies, by their words.

    Next to those of :func:`plain_policies`, ``greedy`` goes by the ranker alone, and packages
    have some that learn from sessions of the same users.

    :param learns_in: makes the simulator in which those learn, one session a user side by side.
    :param users: (U,) int64.
    :param starts: of all users.
    """

    def constant() -> ActingPolicy:
        history = starts.history(users, starts.ends[users], run.users_a.history_length)
        return ConstantListPolicy.from_user_model(run.users_a, history)

    makers = plain_policies(run)
    if not run.has("policy"):
        del makers["policy"]
    makers |= {
        "greedy": lambda: GreedyRankerPolicy.from_run(run),
        "constant": constant,
        "epsilon-greedy": lambda: EpsilonGreedy.from_run(run, epsilon=EPSILON, always_drawn=True),
    }
    return _with_learners(makers, learns_in, users, run)


def plain_policies(run: Run) -> Makers:
    """Makers of a run's policies that need neither a search nor sessions to learn from."""
    count = run.data.num_items

    def ranking(history: Tensor) -> Tensor:
        return run.blend.scores(without_nothing(history, count))

    return {
        "policy": lambda: run.policy,
        "blend": lambda: ScoringPolicy(count, ranking),
        "user-model-a": lambda: ScoringPolicy(count, utilities(run.users_a)),
        "even-mixture": lambda: ScoringPolicy(count, Mixture.even(run.blend, run.users_a).scores),
        "popularity": lambda: PopularityPolicy.from_run(run),
        "random": lambda: RandomPolicy(count),
    }


def mixture(blend: Blend, users: UserModel, weight: float) -> ScoringPolicy:
    """Make the policy of the blend's scores plus ``weight`` times a user model's utilities."""
    return ScoringPolicy(users.num_items, Mixture(blend, utilities(users), weight).scores)


def chosen_users(users: Tensor, limit: int, seed: int) -> Tensor:
    """Draw at most ``limit`` of some users (M,), in their order."""
    if len(users) <= limit:
        return users
    generator = torch.Generator().manual_seed(seed)
    return users[torch.randperm(len(users), generator=generator)[:limit].sort().values]


class Earnings:
    """Counts what was shown of N items and what it earned; a recorder of sessions.

    What was accepted earns a step's reward, or all that was shown in equal parts; and in the same
    parts what the session earned from that step on.
    """

    def __init__(self, num_items: int, device: torch.device | None = None) -> None:
        self.shown = torch.zeros(num_items + 1, dtype=torch.float64, device=device)
        self.earned = torch.zeros(2, 2, num_items + 1, dtype=torch.float64, device=device)
        """For a step and for the rest of the session: sums of what was earned, and of squares."""
        self._steps: list[tuple[Tensor, ...]] = []

    def __call__(self, state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        """Note a step."""
        slate, taken = state[Key.ACTION], following[Key.TAKEN]
        alive = alive.unsqueeze(1)
        parts = torch.where(taken.any(1, keepdim=True), taken, slate > PADDING).double()
        parts = parts / parts.sum(1, keepdim=True).clamp_min(1) * alive
        there = ((slate > PADDING) & alive).double()
        self._steps.append((slate, there, parts, following["reward"].double() * alive))

    def close(self) -> None:
        """Count the sessions that were noted since, which are over."""
        slate, there, parts, reward = map(torch.stack, zip(*self._steps, strict=True))
        rest = reward.flip(0).cumsum(0).flip(0)
        self.shown.index_add_(0, slate.flatten(), there.flatten())
        for sums, worth in zip(self.earned, (reward, rest), strict=True):
            earned = (parts * worth).flatten()
            sums[0].index_add_(0, slate.flatten(), earned)
            sums[1].index_add_(0, slate.flatten(), earned.square())
        self._steps.clear()

    def ranking(self, *, whole: bool) -> tuple[Tensor, Tensor]:
        """Each item's mean earning a showing, drawn to that of all, and its standard error.

        :param whole: by what the rest of the session earned, or by the step alone.
        :returns: (N + 1,) float32 each.
        """
        sums, squares = self.earned[int(whole)]
        count = self.shown.sum().clamp_min(1)
        mean = sums.sum() / count
        spread = (squares.sum() / count - mean.square()).clamp_min(0).sqrt()
        showings = self.shown + PRIOR
        return ((sums + PRIOR * mean) / showings).float(), (spread / showings.sqrt()).float()


def best_constant_lists(
    simulator: SessionEnv,
    users: Tensor,
    seed: int,
    *,
    others: Sequence[ActingPolicy] = (),
    leaders: bool = False,
) -> tuple[ActingPolicy, ActingPolicy]:
    """Search the lists for everybody that earn most a step, and most a session.

    Items are ranked by what they earn, in rounds that show them by Thompson sampling without a look
    at the user. The rankings, the other lists, and rankings with another item in front
    then play the same sessions, and the best are taken. What they earn must be measured again, in
    other sessions.

    :param simulator: with one session for each user.
    :param users: (U,) int64.
    :param others: constant lists from elsewhere, such as popularity.
    :param leaders: also try the best items as the first of the list each, where the same list can
        be shown again and again.
    :returns: the best by reward per step and by reward per session, which may be the same.
    """
    earnings = Earnings(simulator.num_items, getattr(simulator, "device", None))
    chance = torch.Generator().manual_seed(seed)

    def drawn(state: TensorDictBase) -> Tensor:
        noises = torch.randn(len(state), len(mean), generator=chance)
        return among_candidates(state, mean + spread * noises.to(mean.device))

    with progress_bar(SEARCHED, "play") as bar:
        bar.set_description("search", refresh=False)
        for turn in range(SEARCHED):
            # By turns for both aims. Before anything is known, all is shown evenly.
            mean, error = earnings.ranking(whole=turn % 2 == 1)
            spread = error if error.any() else torch.ones_like(error)
            play(Scored(drawn), simulator, users, seed + turn, record=earnings)
            earnings.close()
            bar.update()
        tried = [*others]
        for whole in (False, True):
            mean, _ = earnings.ranking(whole=whole)
            tried.append(ConstantListPolicy.from_appeal(mean))
            first = mean[1:].topk(min(LEADERS, simulator.num_items) if leaders else 0).indices + 1
            ahead = (mean.index_fill(0, item, float(mean.max()) + 1) for item in first)
            tried += map(ConstantListPolicy.from_appeal, ahead)
        bar.total = SEARCHED + len(tried)
        earned = []
        for policy in tried:
            sessions, _ = play(policy, simulator, users, seed + SEARCHED)
            reward = sessions.reward.sum()
            earned.append((float(reward / sessions.length.sum()), float(reward)))
            bar.update()
    a_step, a_session = zip(*earned, strict=True)
    return tried[a_step.index(max(a_step))], tried[a_session.index(max(a_session))]
