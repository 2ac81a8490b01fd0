"""The evaluator of whole sessions: policies in user model B, which neither A nor they have met."""

from collections.abc import Mapping, Sequence

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.evaluation.base import (
    Bars,
    Evaluator,
    Findings,
    Intervals,
    Metrics,
    Section,
    Table,
    interval,
    number,
    spread,
)
from lightrec.evaluation.comparison import RATIOS, compare, transfer_ratios
from lightrec.evaluation.contenders import (
    best_constant_lists,
    chosen_users,
    mixture,
    plain_contenders,
)
from lightrec.evaluation.evidence import CONTENDERS
from lightrec.keys import Key
from lightrec.policies.baselines import ConstantListPolicy, PopularityPolicy
from lightrec.run import Run
from lightrec.simulators.rollout import Contender, RewardFunction, Sessions, judge
from lightrec.simulators.user_model import LogStarts, UserModelSimulator
from lightrec.users.user_model import UserModel

MIXTURES = (0.25, 0.5, 1.0, 2.0, 4.0, 8.0)
"""Weights of user model A's utilities next to the blend's scores, of which the best in A plays."""
CHOOSING = 300
"""Users of A's half with whom that weight is chosen."""
SEARCH = 700
"""What the seeds of searches are moved by, so that no session that is searched in is judged."""
SEEN = 200
"""Steps of a history that contenders may read."""


class SimulatedSessions(Evaluator):
    """Plays whole sessions in user model B, which neither user model A nor the policy has met.

    The policy plays against all that could explain its gain away, see
    :data:`~lightrec.evaluation.evidence.CONTENDERS`. Each refit of B is played, so that intervals
    count what refitting B does. The same contenders play in A: an advantage in B over that in A is
    the transfer ratio. Users who are new to A and to the policy are reported apart as well.

    :param rounds: sessions of each user in each refit of user model B.
    :param max_users: at most so many users, drawn by the seed.
    :param slate_size: places in a slate.
    :param max_steps: steps after which a session is cut.
    :param rounds_at_home: sessions of each user in user model A; 0 does without.
    """

    def __init__(
        self,
        rounds: int = 1,
        max_users: int = 1000,
        slate_size: int = 1,
        max_steps: int = 40,
        rounds_at_home: int = 1,
    ) -> None:
        self.rounds, self.max_users, self.rounds_at_home = rounds, max_users, rounds_at_home
        self.slate_size, self.max_steps = slate_size, max_steps

    def evaluate(self, run: Run, seed: int) -> Findings:
        """Give what the contenders reached, and the policy's paired advantages.

        :returns: metrics ``simulator/…`` in user model B, ``simulator_new/…`` there with new users,
            ``simulator_a/…`` in A, and ``transfer_ratio/…`` where that in A is clearly above 0.
        """
        return findings(self.play(run, seed))

    def play(self, run: Run, seed: int, search: bool = True) -> dict[str, float]:
        """Write the sessions of all contenders as flat keys; ``search`` for two of them, or not."""
        starts, refits = LogStarts.from_store(run.data), run.users_b.refits()
        users = chosen_users(torch.arange(starts.num_users), self.max_users, seed)
        learned = torch.from_numpy(run.users_a.learned_from(starts.num_users))
        contenders = {name: make() for name, make in plain_contenders(run).items()}
        simulators = [self._simulator(run, refit, starts, len(users)) for refit in refits]
        found: dict[str, dict[str, float]] = {ALL: {"refits": len(refits)}}
        if search:
            weight = found[ALL]["mixture/weight"] = self._mixture(run, starts, learned, seed)
            contenders["mixture"] = mixture(run.blend, run.users_a, weight)
            history = starts.history(users, starts.ends[users], run.users_b.history_length)
            liked = ConstantListPolicy.from_user_model(run.users_b, history)
            known = [liked, PopularityPolicy.from_run(run)]
            _, contenders["constant"] = best_constant_lists(
                simulators[0], users, seed * 1000 + SEARCH, known=known
            )
        there, away = self._abroad(run, simulators, users, contenders, seed)
        found[ALL] |= compare(there) | away
        new = ~learned[users]
        found[NEW] = {"users": float(new.sum())}
        if new.sum() > 1:
            found[NEW] |= compare({n: [s.of_users(new) for s in all_] for n, all_ in there.items()})
        if self.rounds_at_home:
            seeds = [seed * 1000 + round_ for round_ in range(self.rounds_at_home)]
            home = self._simulator(run, run.users_a, starts, len(users))
            here = {n: [played] for n, played in judge(contenders, home, users, seeds).items()}
            found |= {HOME: compare(here), "transfer_ratio": transfer_ratios(here, there)}
        return {f"{part}/{key}": value for part, own in found.items() for key, value in own.items()}

    def _abroad(
        self,
        run: Run,
        simulators: Sequence[UserModelSimulator],
        users: Tensor,
        contenders: Mapping[str, Contender],
        seed: int,
    ) -> tuple[dict[str, list[Sessions]], dict[str, float]]:
        """Play in every refit of B: sessions by contender, and days until users come back."""
        judging = run.users_b
        learned: dict[str, RewardFunction] = {
            "reward_a": run.users_a.choice.reward,
            "reward_b": judging.choice.reward,
        }
        if judging.valuing is not None:
            learned["value"] = lambda history, items: judging.value(history, items)[0]
        seeds = [seed * 1000 + round_ for round_ in range(self.rounds)]
        found, away = {}, {}
        for name, contender in contenders.items():
            ends, alone = Returns(judging), {name: contender}
            found[name] = [
                judge(alone, each, users, seeds, rewards=learned, record=ends.round)[name]
                for each in simulators
            ]
            if (days := ends.days()) is not None:
                away[f"{name}/days_away"] = days
        return found, away

    def _mixture(self, run: Run, starts: LogStarts, learned: Tensor, seed: int) -> float:
        """Choose the mixture's weight that is accepted most in user model A, with users of A's."""
        users = chosen_users(learned.nonzero().squeeze(1), CHOOSING, seed)
        simulator = self._simulator(run, run.users_a, starts, len(users))
        mixtures = {str(w): mixture(run.blend, run.users_a, w) for w in MIXTURES}
        found = judge(mixtures, simulator, users, [seed * 1000 + SEARCH])
        return max(MIXTURES, key=lambda weight: float(found[str(weight)].accepted.mean()))

    def _simulator(
        self, run: Run, users: UserModel, starts: LogStarts, count: int
    ) -> UserModelSimulator:
        return UserModelSimulator(
            users,
            starts,
            count,
            slate_size=self.slate_size,
            max_steps=self.max_steps,
            history_length=SEEN,
            repeats=run.data.repeats,
        )


class Returns:
    """Predicts at every session's end when its user comes back, where returns were fitted."""

    def __init__(self, users: UserModel) -> None:
        self.users = users
        self.found: list[tuple[Tensor, Tensor]] = []

    def round(self, seed: int) -> "Returns":
        """Go on with another round of sessions."""
        return self

    @torch.no_grad()
    def __call__(self, state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        """Note the users who end a session in this step."""
        if self.users.returning is None:
            return
        over = following[alive & following["done"].squeeze(1)]
        person = self.users.state(over[Key.HISTORY])
        inputs = person, over[Key.STEP], over[Key.ACCEPTED_TOTAL]
        self.found.append(self.users.returning.restricted(*inputs))

    def days(self) -> float | None:
        """Geometric mean of the days until the next session, none counting beyond the log's span.

        None where more than half of the users are expected after more than that.
        """
        if not self.found:
            return None
        logs, beyond = (torch.cat(values) for values in zip(*self.found, strict=True))
        return None if beyond.mean() > 0.5 else float(logs.mean().exp()) / (24 * 3600)


ALL, NEW, HOME = "simulator", "simulator_new", "simulator_a"
"""Prefixes of metrics: of all users in B, of those new to A and to the policy, of all in A."""
COLUMNS = {
    "accepted": "accepted a session",
    "length": "steps",
    "per_step": "accepted a step",
    "reward_a": "learned reward (A)",
    "reward_b": "learned reward (B)",
    "coverage": "catalog shown",
}
RATIO_TITLES = dict(zip(RATIOS, ("accepted", "per step", "steps"), strict=True))


def findings(metrics: Metrics) -> Findings:
    """Say what the metrics of sessions mean."""
    played = section(metrics)
    return Findings(metrics, [played], verdict(metrics), summary(metrics), played.charts[:1])


def contenders(metrics: Metrics) -> dict[str, str]:
    """Give the titles of those that played in user model B; none where the recipe plays nothing."""
    return {n: t for n, t in CONTENDERS.items() if f"{ALL}/{n}/accepted" in metrics}


def paired(
    metrics: Metrics, prefix: str = ALL, of: str = "accepted"
) -> dict[str, tuple[float, float, float]]:
    """Collect the policy's paired advantages: mean, low, high."""
    found = {
        title: interval(metrics, f"{prefix}/policy-minus-{name}/{of}")
        for name, title in CONTENDERS.items()
    }
    return {title: ends for title, ends in found.items() if ends is not None}


def verdict(metrics: Metrics) -> list[str]:
    """Say whose sessions hold more accepted items."""
    found = []
    for title, ends in paired(metrics).items():
        _, low, high = ends
        outcome = "more" if low > 0 else "fewer" if high < 0 else "no clearly different number of"
        found.append(
            f"In user model B the policy's sessions hold {outcome} accepted items than those of "
            f"{title}: {spread(ends)}."
        )
    return found


def section(metrics: Metrics) -> Section:
    """Report how sessions go in user model B."""
    titles, everyone, new = contenders(metrics), paired(metrics), paired(metrics, NEW)
    charts = (
        Bars(
            {title: metrics[f"{ALL}/{name}/accepted"] for name, title in titles.items()},
            "accepted items a session, user model B",
            "policy",
        ),
        Intervals(
            {f"policy − {title}": ends for title, ends in (new or everyone).items()},
            "difference, new users" if new else "difference, all users",
        ),
    )
    groups = everyone, new, paired(metrics, of="reward_b")
    head = ["", "accepted a session, all users", "new users", "learned reward (B), all users"]
    differences = [
        [f"policy − {title}", *(spread(of.get(title)) for of in groups)] for title in everyone
    ]
    reached = Table.of(metrics, ALL + "/{}/{}", titles, COLUMNS, own="policy")
    return Section(
        "Whole sessions, in user model B",
        "User model B is of another class than A, was fitted on the other half of the users, and "
        f"has item vectors of its own; it was fitted {_times(metrics)}, and every contender plays "
        "in each fit. All contenders meet the same users with the same chance.",
        [reached, Table(head, differences), *_ratios(metrics, titles)],
        charts,
        "The mixture adds user model A's utilities to the blend's scores, with the weight "
        f"{metrics.get('simulator/mixture/weight', 0):g}, which was accepted most in A; the even "
        "mixture adds them to the transformer's scores as they are. The constant list is the best "
        "that a search in B found. New users are those from whom neither A nor the policy learned. "
        "Length and acceptance per step are shown separately, because a longer session alone makes "
        "a larger number. Differences are paired by user; their 95 % intervals count users and "
        "fits of B. The transfer ratio is the advantage in B over that in A, where the policy "
        "learned; there is none where the advantage in A is not clearly above 0.",
    )


def _ratios(metrics: Metrics, titles: Mapping[str, str]) -> list[Table]:
    """Set each advantage in A, in B, and the transfer ratio; no table where A was not played."""
    rows = []
    for name, title in titles.items():
        for key, column in RATIO_TITLES.items():
            end = f"policy-minus-{name}/{key}"
            if f"{HOME}/{end}" in metrics:
                sides = (spread(interval(metrics, f"{place}/{end}")) for place in (HOME, ALL))
                rows.append([f"policy − {title}, {column}", *sides, _ratio(metrics, name, key)])
    head = ["", "in user model A", "in user model B", "transfer ratio"]
    return [Table(head, rows)] if rows else []


def _ratio(metrics: Metrics, name: str, key: str) -> str:
    return spread(interval(metrics, f"transfer_ratio/{name}/{key}"), ".2f")


def summary(metrics: Metrics) -> str:
    """Set how sessions go in user model B for a terminal; nothing where the recipe plays none."""
    titles = contenders(metrics)
    if not titles:
        return ""
    groups = [paired(metrics)]
    head = ["user model B", "accepted", "steps", "per step", "policy’s advantage (95 %)"]
    if new := paired(metrics, NEW):
        groups.append(new)
        head.append(f"with {int(metrics.get(f'{NEW}/users', 0)):,} new users")
    rows = []
    for name, title in titles.items():
        accepted, step, length = (metrics[f"{ALL}/{name}/{key}"] for key in RATIOS)
        shown = [spread(of[title]) if title in of else "" for of in groups]
        rows.append([title, number(accepted), number(length, 2), number(step), *shown])
    note = f"B was fitted {_times(metrics)}; intervals count users and fits."
    lines = [Table(head, rows).text(), note]
    ratios = [
        [f"over {title}", *(_ratio(metrics, name, key) for key in RATIOS[:2])]
        for name, title in titles.items()
        if f"transfer_ratio/{name}/accepted" in metrics
    ]
    if ratios:
        columns = ["transfer ratio: advantage in B over A", "accepted", "per step"]
        lines += ["", Table(columns, ratios).text()]
    elif f"{HOME}/policy/accepted" in metrics:
        lines += ["", "The policy has no advantage in A that is clearly above 0."]
    return "\n".join(lines)


def _times(metrics: Metrics) -> str:
    refits = int(metrics.get("simulator/refits", 1))
    return "once" if refits == 1 else f"{refits} times"


def sensitivity(metrics: Metrics, rows: Sequence[Mapping[str, str]]) -> Section:
    """Say what the result owes to the named assumptions.

    :param metrics: ``sensitivity/CELL/…``.
    :param rows: the cells: ``name`` and ``title``.
    """
    table, drawn = [], {}
    for row in rows:
        advantages = paired(metrics, f"sensitivity/{row['name']}")
        accepted = number(metrics[f"sensitivity/{row['name']}/policy/accepted"])
        table.append([row["title"], accepted, *map(spread, advantages.values())])
        drawn[row["title"]] = advantages[CONTENDERS["blend"]]
    heads = [f"policy − {title}" for title in paired(metrics, f"sensitivity/{rows[0]['name']}")]
    return Section(
        "What the assumptions do",
        "A log without impressions says nothing of how far people look ahead (γ), how often they "
        "choose nothing and how often they leave. Here each named assumption is halved and "
        "doubled: γ by its horizon 1 / (1 − γ), choosing nothing by its odds, leaving by its rate. "
        "Reward and policy are learned anew each time, and judged in user model B under the same "
        "assumption.",
        [Table(["", "policy: accepted", *heads], table)],
        [Intervals(drawn, "policy − greedy by the blend, accepted a session")],
    )
