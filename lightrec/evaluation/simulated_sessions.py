"""The evaluators of whole sessions: policies in user model B, and rewards against a known truth."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.data.store import EventStore
from lightrec.evaluation.base import Evaluator
from lightrec.evaluation.comparison import compare, transfer_ratios
from lightrec.evaluation.constants import best_constant_lists
from lightrec.evaluation.correlation import spearman_within_sets
from lightrec.keys import Key
from lightrec.policies.base import Policy, without_nothing
from lightrec.policies.baselines import (
    ConstantListPolicy,
    PopularityPolicy,
    RandomPolicy,
    Scores,
    ScoringPolicy,
)
from lightrec.ranking.blend import Blend
from lightrec.simulators.rollout import Contender, RewardFunction, Sessions, judge
from lightrec.simulators.starts import LogStarts
from lightrec.simulators.user_model import UserModelSimulator
from lightrec.simulators.worlds.far_log import HeldOut
from lightrec.users.user_model import UserModel

MIXTURES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Weights of user model A's utilities next to the blend's scores, of which the best in A plays."""
CHOOSING = 300
"""Users of A's half with whom that weight is chosen."""
SEARCH = 700
"""What the seeds of searches are moved by, so that no session that is searched in is judged."""
SEEN = 200
"""Steps of a history that contenders may read."""


@dataclass(frozen=True)
class Played:
    """What sessions need of a run.

    :param store: the log.
    :param blend: what ranks the next event.
    :param policy: what learned in user model A.
    :param users_a: user model A, in which the policy learned.
    :param users_b: user model B, which judges.
    :param refits: of user model B, each of them a user model that is played.
    """

    store: EventStore
    blend: Blend
    policy: Policy
    users_a: UserModel
    users_b: UserModel
    refits: Sequence[UserModel]

    @classmethod
    def of(cls, run: Path) -> "Played":
        """Load a run's parts.

        :raises RunError: where a stage is not finished.
        """
        judge = UserModel.load(run / "users_b")
        return cls(
            EventStore.open(run / "data"),
            Blend.load(run / "ranker"),
            Policy.load(run / "policy"),
            UserModel.load(run / "users_a"),
            judge,
            judge.refits(),
        )


class SimulatedSessions(Evaluator):
    """Plays whole sessions in user model B, which neither user model A nor the policy has met.

    The policy plays against all that could explain its gain away: greedy by the blend, greedy by
    user model A, a mixture of both that is chosen in A, and an even mixture of A and the
    ranker's transformer, for which nothing was chosen; and against popularity, the best constant
    list that B's own search finds, and random. Each refit of B is played, so that
    intervals count what refitting B does. The same contenders play in A, where the policy learned:
    an advantage in B over that in A is the transfer ratio. Users from whom A did not learn, and
    whom the policy never met, are reported apart as well.

    :param rounds: sessions of each user in each refit of user model B.
    :param max_users: at most so many users, drawn by the seed.
    :param slate_size: places in a slate.
    :param max_steps: steps after which a session is cut.
    :param max_candidates: show only so many items, the most frequent ones; None for all.
    :param rounds_at_home: sessions of each user in user model A; 0 does without.
    """

    def __init__(
        self,
        rounds: int = 1,
        max_users: int = 1000,
        slate_size: int = 1,
        max_steps: int = 40,
        max_candidates: int | None = None,
        rounds_at_home: int = 1,
    ) -> None:
        self.rounds, self.max_users, self.rounds_at_home = rounds, max_users, rounds_at_home
        self.slate_size, self.max_steps = slate_size, max_steps
        self.max_candidates = max_candidates

    def evaluate(self, run: Path, work: Path, seed: int) -> dict[str, float]:
        """Give what the contenders reached, and the policy's paired advantages.

        :returns: ``simulator/…`` in user model B, ``simulator_new/…`` there with the users who are
            new to A and to the policy, ``simulator_a/…`` in A, and
            ``transfer_ratio/<contender>/accepted``, ``/per_step`` and ``/length``: the advantage in
            B over that in A, left out where that is not clearly above 0.
        """
        return self.play(Played.of(run), seed)

    def play(self, parts: Played, seed: int, search: bool = True) -> dict[str, float]:
        """Play the sessions of all contenders and write them as flat keys.

        :param search: whether those play too that have to be searched for.
        """
        starts = LogStarts.from_store(parts.store)
        users = chosen_users(torch.arange(starts.num_users), self.max_users, seed)
        contenders = plain_contenders(parts)
        found: dict[str, float] = {"simulator/refits": len(parts.refits)}
        if search:
            weight = self._mixture(parts, starts, seed)
            found["simulator/mixture/weight"] = weight
            contenders["mixture"] = mixture(parts, weight)
            contenders["constant"] = self._constant(parts, starts, users, seed)
        there, away = self._abroad(parts, starts, users, contenders, seed)
        found |= {f"simulator/{key}": v for key, v in (compare(there) | away).items()}
        new = ~torch.from_numpy(parts.users_a.learned_from(starts.num_users))[users]
        found["simulator_new/users"] = float(new.sum())
        if new.sum() > 1:
            apart = {n: [s.of_users(new) for s in refits] for n, refits in there.items()}
            found |= {f"simulator_new/{key}": v for key, v in compare(apart).items()}
        if not self.rounds_at_home:
            return found
        seeds = [seed * 1000 + round_ for round_ in range(self.rounds_at_home)]
        here = judge(
            contenders, self._simulator(parts, parts.users_a, starts, len(users)), users, seeds
        )
        lone = {name: [sessions] for name, sessions in here.items()}
        found |= {f"simulator_a/{key}": v for key, v in compare(lone).items()}
        ratios = transfer_ratios(here, there)
        return found | {f"transfer_ratio/{key}": value for key, value in ratios.items()}

    def _abroad(
        self,
        parts: Played,
        starts: LogStarts,
        users: Tensor,
        contenders: Mapping[str, Contender],
        seed: int,
    ) -> tuple[dict[str, list[Sessions]], dict[str, float]]:
        """Play in every refit of B: sessions by contender, and days until users come back."""
        learned: dict[str, RewardFunction] = {
            "reward_a": parts.users_a.choice.reward,
            "reward_b": parts.users_b.choice.reward,
        }
        judging = parts.users_b
        if judging.valuing is not None:
            learned["value"] = lambda history, items: judging.value(history, items)[0]
        seeds = [seed * 1000 + round_ for round_ in range(self.rounds)]
        found: dict[str, list[Sessions]] = {name: [] for name in contenders}
        ends = {name: Returns(judging) for name in contenders}
        for refit in parts.refits:
            simulator = self._simulator(parts, refit, starts, len(users))
            for name, contender in contenders.items():
                found[name].append(
                    judge(
                        {name: contender},
                        simulator,
                        users,
                        seeds,
                        rewards=learned,
                        record=None if judging.returning is None else ends[name].round,
                    )[name]
                )
        away = {name: e.days() for name, e in ends.items() if judging.returning is not None}
        days = {f"{name}/days_away": found for name, found in away.items() if found is not None}
        return found, days

    def _mixture(self, parts: Played, starts: LogStarts, seed: int) -> float:
        """Choose the mixture's weight that is accepted most in user model A, with users of A's."""
        own = torch.from_numpy(parts.users_a.learned_from(starts.num_users)).nonzero().squeeze(1)
        users = chosen_users(own, CHOOSING, seed)
        simulator = self._simulator(parts, parts.users_a, starts, len(users))
        mixtures = {str(weight): mixture(parts, weight) for weight in MIXTURES}
        found = judge(mixtures, simulator, users, [seed * 1000 + SEARCH])
        return max(MIXTURES, key=lambda weight: float(found[str(weight)].accepted.mean()))

    def _constant(self, parts: Played, starts: LogStarts, users: Tensor, seed: int) -> Contender:
        """Search the list for everybody that is accepted most a session in user model B."""
        counts = torch.from_numpy(parts.store.popularity())
        history = starts.history(users, starts.ends_of(users), parts.users_b.choice.history_length)
        known = {
            "accepted": ConstantListPolicy.from_user_model(parts.users_b, history),
            "popularity": PopularityPolicy.from_counts(counts),
        }
        simulator = self._simulator(parts, parts.refits[0], starts, len(users))
        _, found = best_constant_lists(simulator, users, seed * 1000 + SEARCH, known=known)
        return found

    def _simulator(
        self, parts: Played, users: UserModel, starts: LogStarts, count: int
    ) -> UserModelSimulator:
        return UserModelSimulator(
            users,
            starts,
            count,
            slate_size=self.slate_size,
            max_steps=self.max_steps,
            history_length=SEEN,
            max_candidates=self.max_candidates,
            popularity=torch.from_numpy(parts.store.popularity()),
            repeats=parts.store.repeats,
        )


def plain_contenders(parts: Played) -> dict[str, Contender]:
    """Make those who play without a search before, by name."""
    count = parts.store.num_items
    return {
        "policy": parts.policy,
        "blend": ScoringPolicy(count, ranking(parts.blend)),
        "user-model-a": ScoringPolicy(count, utilities(parts.users_a)),
        "even-mixture": even_mixture(parts),
        "popularity": PopularityPolicy.from_counts(torch.from_numpy(parts.store.popularity())),
        "random": RandomPolicy(count),
    }


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


def even_mixture(parts: Played) -> ScoringPolicy:
    """Make the policy of the transformer's scores plus user model A's utilities, weighed alike.

    It reads as much of a history as A does. Nothing in it was learned or chosen, and a policy that
    is itself such a mixture has to beat it.
    """
    transformer = Blend(parts.blend.ranker).freeze()
    return _sum(parts, ranking(transformer, parts.users_a.choice.history_length), 1.0)


def mixture(parts: Played, weight: float) -> ScoringPolicy:
    """Make the policy of the blend's scores plus ``weight`` times user model A's utilities."""
    return _sum(parts, ranking(parts.blend), weight)


def _sum(parts: Played, ranked: Scores, weight: float) -> ScoringPolicy:
    wanted = utilities(parts.users_a)
    return ScoringPolicy(
        parts.store.num_items, lambda history: ranked(history) + weight * wanted(history)
    )


class Returns:
    """Predicts at every session's end when its user comes back.

    :param users: whose returns were fitted.
    """

    def __init__(self, users: UserModel) -> None:
        self.users = users
        self.found: list[tuple[Tensor, Tensor]] = []

    def round(self, seed: int) -> "Returns":
        """Go on with another round of sessions."""
        return self

    @torch.no_grad()
    def __call__(self, state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        """Note the users who end a session in this step."""
        assert self.users.returning is not None
        over = following[alive & following["done"].squeeze(1)]
        person = self.users.state(over[Key.HISTORY])
        inputs = person, over[Key.STEP], over[Key.ACCEPTED_TOTAL]
        self.found.append(self.users.returning.restricted(*inputs))

    def days(self) -> float | None:
        """Geometric mean of the days until the next session, none counting beyond the log's span.

        None where more than half of the users are expected after more than that: the mean would
        say how long the log is.
        """
        logs, beyond = (torch.cat(values) for values in zip(*self.found, strict=True))
        return None if beyond.mean() > 0.5 else float(logs.mean().exp()) / (24 * 3600)


class KnownTruth(Evaluator):
    """In a world whose truth is known: how a learned reward orders the items of an offer."""

    def evaluate(self, run: Path, work: Path, seed: int) -> dict[str, float]:
        """Give ``truth/<score>/spearman``; nothing where the run's log is a real one."""
        path = run / "data" / "truth.safetensors"
        if not path.is_file():
            return {}
        held_out = HeldOut.load(path)
        store = EventStore.open(run / "data")
        users = UserModel.load(run / "users_a")
        popularity = torch.from_numpy(store.popularity()).float()
        with torch.inference_mode():
            scores = {
                "learned": users.reward(held_out.history, held_out.candidates),
                "logit": users.utilities(held_out.history, held_out.candidates),
                "popularity": popularity[held_out.candidates],
                "value": held_out.value,
            }
        return {
            f"truth/{name}/spearman": spearman_within_sets(score, held_out.reward)
            for name, score in scores.items()
        }


def chosen_users(users: Tensor, limit: int, seed: int) -> Tensor:
    """Draw at most ``limit`` of some users (M,), in their order."""
    if len(users) <= limit:
        return users
    generator = torch.Generator().manual_seed(seed)
    return users[torch.randperm(len(users), generator=generator)[:limit].sort().values]
