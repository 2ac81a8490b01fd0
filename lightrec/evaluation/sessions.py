"""The evaluator of whole sessions: policies in user model B, which neither A nor they have met.

The second half of the file says what the metrics mean, in sections, tables and sentences.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.evaluation.base import (
    Answers,
    Bars,
    Evaluator,
    Findings,
    Intervals,
    Metrics,
    Section,
    Table,
    interval,
    keys_of,
    number,
    spread,
)
from lightrec.evaluation.evidence import MIXTURES, RECOMMENDERS, favoured
from lightrec.evaluation.named_policies import (
    best_constant_lists,
    chosen_users,
    mixture,
    plain_policies,
)
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
ALL, NEW, HOME = "simulator", "simulator_new", "simulator_a"
"""Prefixes of metrics: of all users in B, of those new to A and to the policy, of all in A."""
COLUMNS = {
    "accepted": "accepted a session",
    "length": "steps",
    "per_step": "click rate (accepted a step)",
    "accepting": "sessions with an accept",
    "reward_a": "learned reward (A)",
    "reward_b": "learned reward (B)",
    "coverage": "catalog shown",
}
RATIOS = {"accepted": "accepted", "per_step": "per step", "length": "steps"}
"""The metrics whose advantages are followed from one simulator to another, with their titles."""
SESSIONS = {
    "length": "steps",
    "accepted": "choices",
    "accepting": "sessions with a choice",
    "conversion": "conversion",
    "repeats": "repeats",
}
SIDES = {"sessions": "log", f"{HOME}/blend": "user model A", f"{ALL}/blend": "user model B"}
"""Prefixes of what is said of the log's sessions and of the user models'."""


@dataclass
class SimulatedSessions(Evaluator):
    """Plays whole sessions in user model B, which neither user model A nor the policy has met.

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
            ``simulator_a/…`` in A, and ``transfer_ratio/…`` where that in A is clearly above 0.
        """
        return findings(self.play(run, seed))

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
            ahead = _advantages(sessions, name)["blend"]["accepted"]
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


def findings(metrics: Metrics) -> Findings:
    """Say what the metrics of sessions mean."""
    played = section(metrics)
    everyone, new = paired(metrics), paired(metrics, NEW)
    ahead = {f"policy − {title}": ends for title, ends in (new or everyone).items()}
    label = f"difference in accepted items a session, {'new' if new else 'all'} users"
    return Findings(
        metrics,
        [played],
        summary=summary(metrics),
        headline=[Intervals(ahead, label)] if ahead else played.charts,
        answers=answers(metrics),
    )


def played(metrics: Metrics) -> dict[str, str]:
    """The titles of those that played in user model B; none where the recipe plays nothing."""
    return {n: t for n, t in RECOMMENDERS.items() if f"{ALL}/{n}/accepted" in metrics}


def paired(
    metrics: Metrics, prefix: str = ALL, of: str = "accepted"
) -> dict[str, tuple[float, float, float]]:
    """Collect the policy's paired advantages: mean, low, high."""
    return {
        title: ends
        for name, title in RECOMMENDERS.items()
        if (ends := interval(metrics, f"{prefix}/policy-minus-{name}/{of}"))
    }


def answers(metrics: Metrics) -> Answers | None:
    """Compare the policy with its closest rival, and with popularity; None without a policy."""
    prefix = NEW if paired(metrics, NEW) else ALL
    if not (ahead := paired(metrics, prefix)):
        return None
    closest = min(ahead, key=lambda title: ahead[title][1])
    reached = {t: metrics.get(f"{prefix}/{n}/accepted") for n, t in RECOMMENDERS.items()}
    shown = [
        f"{title} {number(reached[title], 2)}, a difference of {spread(ahead[title])}"
        for title in dict.fromkeys((closest, RECOMMENDERS["popularity"]))
        if title in ahead
    ]
    whose = "new" if prefix == NEW else "all"
    return Answers(
        favoured(metrics).reason,
        f"With {whose} users the policy is accepted {number(reached['policy'], 2)} times a "
        f"session; {'; '.join(shown)}.",
        "Sessions are simulated: user model B stands in for people. It is of another class than "
        f"the model in which the policy learned, knows other users, and was fitted "
        f"{_times(metrics)}; intervals count users and fits.",
    )


def section(metrics: Metrics) -> Section:
    """Report how sessions go in user model B."""
    titles, everyone, new = played(metrics), paired(metrics), paired(metrics, NEW)
    charts = (
        Bars(
            {title: metrics[f"{ALL}/{name}/accepted"] for name, title in titles.items()},
            "accepted items a session, user model B",
            "policy",
        ),
    )
    groups = everyone, new, paired(metrics, of="reward_b")
    head = ["", "accepted a session, all users", "new users", "learned reward (B), all users"]
    differences = [
        [f"policy − {title}", *(spread(of.get(title)) for of in groups)] for title in everyone
    ]
    for name in MIXTURES:
        both = (interval(metrics, f"{part}/{name}-minus-blend/accepted") for part in (ALL, NEW))
        title = f"{RECOMMENDERS[name]} − {RECOMMENDERS['blend']}"
        differences += [[title, *map(spread, both), spread(None)]] if name in titles else []
    reached = Table.of(metrics, ALL + "/{}/{}", titles, COLUMNS, own="policy")
    return Section(
        "Whole sessions, in user model B",
        "User model B is of another class than A, was fitted on the other half of the users, and "
        f"has item vectors of its own; it was fitted {_times(metrics)}, and every policy plays "
        "in each fit. All policies meet the same users with the same chance."
        f"{unfit_rewards(metrics)}",
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


def against_log(metrics: Metrics) -> Section | None:
    """Set the sessions of both user models beside the log's; None where they were not played."""
    if "sessions/length" not in metrics or f"{ALL}/blend/length" not in metrics:
        return None
    return Section(
        "The log's sessions and the user models'",
        f"{unlike(metrics) or 'None of these differs by more than half.'} What rests on a row in "
        "which the user models are unlike the log deserves the least belief.",
        [Table.of(metrics, "{1}/{0}", SESSIONS, SIDES)],
        note="A session is a visit: events of a user without a gap above half an hour, or those "
        "that the log itself puts together; in a user model, the slates that the blend shows until "
        "the user leaves or is cut. A step is an event, or a slate, whether anything is taken of "
        "it or not. Conversion is the share of sessions with an event of the goal: user models "
        "know no kinds of events, so that they have none, and a session with a choice is no "
        "conversion. Repeats are the share of choices of an item chosen before in the session.",
    )


def unlike(metrics: Metrics) -> str:
    """Say in what a user model's sessions are more than half as much again, or less; or nothing."""
    differing = []
    for name, title in SESSIONS.items():
        real, *models = [metrics[f"{s}/{name}"] for s in SIDES if f"{s}/{name}" in metrics] or [0.0]
        if any(not 2 * real <= 3 * model <= 4.5 * real for model in models):
            shown = " and ".join(map(number, models))
            differing.append(f"{title} ({shown} against {number(real)} in the log)")
    begin = "Sessions of the user models are unlike the log's"
    return f"{begin}: {', '.join(differing)}." if differing and "sessions/length" in metrics else ""


def unfit_rewards(metrics: Metrics) -> str:
    """Say which learned rewards are unfit to judge sessions by; empty where none is."""
    misleading = []
    for key in ("reward_a", "reward_b"):
        earned = {name: metrics.get(f"{ALL}/{name}/{key}") for name in played(metrics)}
        sums = {name: value for name, value in earned.items() if value is not None}
        if sums and (best := max(sums, key=sums.__getitem__)) in ("random", "popularity"):
            misleading.append(f"the {COLUMNS[key]}, by which {best} is best")
    return f" Unfit to judge sessions by is {', and '.join(misleading)}." if misleading else ""


def _ratios(metrics: Metrics, titles: Mapping[str, str]) -> list[Table]:
    """Set each advantage in A, in B, and the transfer ratio; no table where A was not played."""
    rows = []
    for name, title in titles.items():
        for key, column in RATIOS.items():
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
    if not (titles := played(metrics)):
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
        [f"over {title}", *(_ratio(metrics, name, key) for key in ("accepted", "per_step"))]
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
