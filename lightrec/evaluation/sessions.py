"""The evaluator of whole sessions: policies in user model B, which neither A nor they have seen."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.data.store import EventStore
from lightrec.evaluation.base import Evaluator, Findings, keys_of
from lightrec.evaluation.evidence import MIXTURES
from lightrec.evaluation.named_policies import (
    best_constant_lists,
    chosen_users,
    mixture,
    plain_policies,
)
from lightrec.evaluation.session_tables import ALL, HOME, NEW, RATIOS, findings
from lightrec.intervals import mean_interval, ratio_interval
from lightrec.keys import Key
from lightrec.policies.baselines import ConstantListPolicy, PopularityPolicy
from lightrec.progress import progress_bar
from lightrec.run import Run
from lightrec.simulators.rollout import (
    ActingPolicy,
    Refits,
    RewardFunction,
    Sessions,
    judge,
    together,
)
from lightrec.simulators.user_model import LogStarts, UserModelSimulator
from lightrec.users.user_model import UserModel

WEIGHTS = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Weights of user model A's utilities next to the blend's scores, of which the best in A plays."""
CHOOSING_USERS = 300
"""Users of A's half with whom that weight is chosen."""
SEARCH_SEEDS = 700
"""What the seeds of searches are moved by, so that no session that is searched in is judged."""
READ_STEPS = 200
"""Steps of a history that policies may read."""


@dataclass
class SimulatedSessions(Evaluator):
    """Plays whole sessions in user model B, which neither user model A nor the policy has seen.

    The policy plays against all that could explain its gain away, see
    :data:`~lightrec.evaluation.evidence.RECOMMENDERS`. Each refit of B is played, so that intervals
    count what refitting B does. The same policies play in A: an advantage in B over that in A is
    the transfer ratio. Users who are new to A and to the policy are reported apart as well.

    :param rounds: sessions of each user in each refit of user model B.
    :param max_users: at most so many users, drawn by the seed.
    :param slate_size: places in a slate.
    :param max_steps: steps after which a session is cut.
    :param rounds_at_home: sessions of each user in user model A; 0 does without.
    """

    rounds: int = 1
    max_users: int = 1000
    slate_size: int = 1
    max_steps: int = 40
    rounds_at_home: int = 1

    def evaluate(self, run: Run, seed: int) -> Findings:
        """The policies' results, and the policy's and the mixtures' paired advantages.

        :returns: metrics ``simulator/…`` in user model B, ``simulator_new/…`` there with new users,
            ``simulator_a/…`` in A, ``transfer_ratio/…`` where that in A is clearly above 0, and
            ``sessions/…`` of all in the log; nothing where the run has no user models.
        """
        if not run.has("users_b"):
            return Findings({})
        return findings(self.play(run, seed) | logged_figures(run.data.without_cold))

    def play(self, run: Run, seed: int, search: bool = True) -> dict[str, float]:
        """Write the sessions of all policies as flat keys; ``search`` for two of them, or not."""
        starts, refits = LogStarts.from_store(run.data), run.users_b.refits()
        users = chosen_users(torch.arange(starts.num_users), self.max_users, seed)
        learned = torch.from_numpy(run.users_a.learned_from(starts.num_users))
        policies = {name: make() for name, make in plain_policies(run).items()}
        simulators = [self._simulator(run, refit, starts, len(users)) for refit in refits]
        metrics: dict[str, dict[str, float]] = {ALL: {"refits": len(refits)}}
        if search:
            weight = metrics[ALL]["mixture/weight"] = self._mixture(run, starts, learned, seed)
            policies["mixture"] = mixture(run.blend, run.users_a, weight)
            history = starts.history(users, starts.ends[users], run.users_b.history_length)
            liked = ConstantListPolicy.from_user_model(run.users_b, history)
            lists = [liked, PopularityPolicy.from_run(run)]
            _, policies["constant"] = best_constant_lists(
                simulators[0], users, seed * 1000 + SEARCH_SEEDS, others=lists
            )
        there, away = self._in_refits(run, simulators, users, policies, seed)
        metrics[ALL] |= compare(there) | away
        new = ~learned[users]
        metrics[NEW] = {"users": float(new.sum())}
        if new.sum() > 1:
            metrics[NEW] |= compare(
                {n: [s.of_users(new) for s in all_] for n, all_ in there.items()}
            )
        if self.rounds_at_home:
            seeds = [seed * 1000 + round_ for round_ in range(self.rounds_at_home)]
            home = self._simulator(run, run.users_a, starts, len(users))
            here = {
                name: [judge({name: policy}, home, users, seeds)[name]]
                for name, policy in _each(policies, "in user model A")
            }
            metrics |= {HOME: compare(here), "transfer_ratio": transfer_ratios(here, there)}
        return {
            f"{part}/{key}": value
            for part, values in metrics.items()
            for key, value in values.items()
        }

    def _in_refits(
        self,
        run: Run,
        simulators: Sequence[UserModelSimulator],
        users: Tensor,
        policies: Mapping[str, ActingPolicy],
        seed: int,
    ) -> tuple[dict[str, list[Sessions]], dict[str, float]]:
        """Play in every refit of B: sessions by policy, and days until users come back."""
        judging = run.users_b
        learned: dict[str, RewardFunction] = {
            "reward_a": run.users_a.choice.reward,
            "reward_b": judging.choice.reward,
        }
        if judging.valuing is not None:
            learned["value"] = lambda history, items: judging.value(history, items)[0]
        seeds = [seed * 1000 + round_ for round_ in range(self.rounds)]
        played, away = {}, {}
        for name, policy in _each(policies, "in user model B"):
            ends, alone = Returns(judging), {name: policy}
            played[name] = [
                judge(alone, each, users, seeds, rewards=learned, record=ends)[name]
                for each in simulators
            ]
            if (days := ends.days()) is not None:
                away[f"{name}/days_away"] = days
        return played, away

    def _mixture(self, run: Run, starts: LogStarts, learned: Tensor, seed: int) -> float:
        """Choose the mixture's weight that is accepted most in user model A, with users of A's."""
        users = chosen_users(learned.nonzero().squeeze(1), CHOOSING_USERS, seed)
        simulator = self._simulator(run, run.users_a, starts, len(users))
        mixtures = {str(w): mixture(run.blend, run.users_a, w) for w in WEIGHTS}
        judged = judge(mixtures, simulator, users, [seed * 1000 + SEARCH_SEEDS])
        return max(WEIGHTS, key=lambda weight: float(judged[str(weight)].accepted.mean()))

    def _simulator(
        self, run: Run, users: UserModel, starts: LogStarts, count: int
    ) -> UserModelSimulator:
        return UserModelSimulator(
            users,
            starts,
            count,
            slate_size=self.slate_size,
            max_steps=self.max_steps,
            history_length=READ_STEPS,
            repeats=run.data.repeats,
        )


def _each(policies: Mapping[str, ActingPolicy], where: str) -> Iterable[tuple[str, ActingPolicy]]:
    return progress_bar(len(policies), "policy", desc=where, iterable=policies.items())


class Returns:
    """Predicts at every session's end when its user comes back, where returns were fitted."""

    def __init__(self, users: UserModel) -> None:
        self.users = users
        self.ends: list[tuple[Tensor, Tensor]] = []

    @torch.no_grad()
    def __call__(self, state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        """Note the users who end a session in this step."""
        if self.users.returning is None:
            return
        over = following[alive & following["done"].squeeze(1)]
        person = self.users.state(over[Key.HISTORY])
        inputs = person, over[Key.STEP], over[Key.ACCEPTED_TOTAL]
        self.ends.append(self.users.returning.restricted(*inputs))

    def days(self) -> float | None:
        """Geometric mean of the days until the next session, none counting beyond the log's span.

        None where more than half of the users are expected after more than that.
        """
        if not self.ends:
            return None
        logs, beyond = (torch.cat(values) for values in zip(*self.ends, strict=True))
        return None if beyond.mean() > 0.5 else float(logs.mean().exp()) / (24 * 3600)


def logged_figures(store: EventStore) -> dict[str, float]:
    """Sum up a log's sessions as those that are played are; with a goal, also the conversion."""
    items, count = np.asarray(store.items), len(store.session_offsets) - 1
    chosen = np.flatnonzero(items <= store.num_items)
    session = store.sessions_of(chosen)
    pairs = session * (store.num_items + 1) + items[chosen]
    sums = {
        "length": len(store) / count,
        "accepted": len(pairs) / count,
        "accepting": len(np.unique(session)) / count,
        "repeats": 1 - len(np.unique(pairs)) / max(len(pairs), 1),
    }
    sums |= {"conversion": store.conversion} if store.goal else {}
    return {f"sessions/{name}": value for name, value in sums.items()}


def compare(sessions: Mapping[str, Refits]) -> dict[str, float]:
    """Write the policies' metrics and their paired advantages as flat keys.

    All intervals are 95 % ones over users.

    :param sessions: by policy, one entry for each refit of the simulator.
    :returns: ``policy/accepted`` and so on, ``policy-minus-random/accepted`` with ``/low`` and
        ``/high``: the mean over users of the difference in the user's own mean over seeds, with an
        interval that counts users and, where there are several, refits. Of mixtures that played
        with a blend, ``mixture-minus-blend/accepted``.
    """
    metrics: dict[str, float] = {}
    for name, refits in sessions.items():
        metrics |= {f"{name}/{key}": value for key, value in together(refits).metrics().items()}
    for name, gained in _advantages(sessions).items():
        for key, values in gained.items():
            metrics |= keys_of(f"policy-minus-{name}/{key}", mean_interval(values))
    for name in MIXTURES:
        if {name, "blend"} <= sessions.keys():
            pair = {each: sessions[each] for each in (name, "blend")}
            ahead = _advantages(pair, name)["blend"]["accepted"]
            metrics |= keys_of(f"{name}-minus-blend/accepted", mean_interval(ahead))
    return metrics


def transfer_ratios(here: Mapping[str, Refits], there: Mapping[str, Refits]) -> dict[str, float]:
    """Divide the policy's advantages in one simulator by those in another, where it learned.

    :param here: by policy, where the policy learned, which has no refits.
    :param there: the same on the same users, in each refit of a simulator where it did not.
    :returns: ``greedy/accepted`` and so on with ``/low`` and ``/high``, the advantage there over
        that here; without those whose advantage here is not clearly above 0.
    """
    ratios: dict[str, float] = {}
    away = _advantages(there)
    for name, home in _advantages(here).items():
        for key in RATIOS:
            ratio = ratio_interval(away[name][key], home[key][0], paired=True)
            ratios |= {} if ratio is None else keys_of(f"{name}/{key}", ratio)
    return ratios


def _advantages(sessions: Mapping[str, Refits], of: str = "policy") -> dict[str, dict[str, Tensor]]:
    """One's advantage in each refit, by user ``(J, U)``, other policy and metric."""
    means: dict[str, dict[str, Tensor]] = {}
    for name, refits in sessions.items():
        each = [played.user_means() for played in refits]
        means[name] = {key: torch.stack([one[key] for one in each]) for key in each[0]}
    mine = means.pop(of)
    return {name: {key: mine[key] - theirs[key] for key in mine} for name, theirs in means.items()}
