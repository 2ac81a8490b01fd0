"""A simulator to play in: a world by its name, or the user models of a run."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec import plugins
from lightrec.blame import blaming
from lightrec.data.catalog import Catalog, Users
from lightrec.data.domain import Domain
from lightrec.data.readers.base import Tables
from lightrec.data.readers.canonical import write_tables
from lightrec.data.sequences import Sequences, with_only
from lightrec.data.store import padded
from lightrec.errors import RecipeError
from lightrec.evaluation.base import Table
from lightrec.evaluation.named_policies import EPSILON, chosen_users, run_policies, world_policies
from lightrec.intervals import mean_interval
from lightrec.keys import PADDING, Column, Key
from lightrec.moved import hint
from lightrec.nn.session import State
from lightrec.policies.base import Policy, ScoredPolicy, among_candidates, without_nothing
from lightrec.policies.baselines import SCORED_AT_ONCE, RandomPolicy
from lightrec.policies.epsilon_greedy import EpsilonGreedy
from lightrec.ranking.continued import numbers_before
from lightrec.ranking.item_models.base import popular
from lightrec.run import Run
from lightrec.settings import make_of, with_settings
from lightrec.simulators.base import Simulator
from lightrec.simulators.rollout import ActingPolicy, SessionLog, Sessions, judge
from lightrec.simulators.session_env import Mode
from lightrec.simulators.user_model import LogStarts, UserModelSimulator
from lightrec.simulators.world import Scored, World

SIDE_BY_SIDE = 1_000
"""Sessions side by side."""


@dataclass(frozen=True, eq=False)
class Simulation:
    """A simulator with all that is needed to play on it; one equals itself alone.

    :param title: the simulator's name.
    :param simulator: of U sessions.
    :param users: (U,) int64.
    :param catalog: the items in the order of their numbers.
    :param people: the user table, where the users have names.
    :param policies: how the policies that are known by a word are made.
    :param build: makes a policy of an installed class with settings; None where none plays.
    :param domain: whose rules the sessions keep.
    :param evidence: (N + 1,) how many events of the log that the users were fitted to are about
        each item; None where there is no such log.
    """

    title: str
    simulator: Simulator
    users: Tensor
    catalog: Catalog
    people: Users | None
    policies: Mapping[str, Callable[[], ActingPolicy]]
    build: Callable[[type[Policy], Mapping[str, Any]], Policy] | None = None
    domain: str = Domain.name
    evidence: Tensor | None = None

    def in_mode(self, mode: Mode) -> "Simulation":
        """The same in a mode of judging; itself where the mode adds nothing to its rules."""
        played = self.simulator.in_mode(mode)
        if played is self.simulator:
            return self
        policies = dict(self.policies)
        if isinstance(played, World):  # an oracle goes by how sessions end
            policies["oracle"] = lambda: Scored(played.oracle)
        return replace(self, simulator=played, policies=policies)

    def policy(self, name: str) -> ActingPolicy:
        """Find a policy: ``random``, ``Habit:strength=2``, or a folder: ``runs/video/policy``.

        A run's own folder stands for its blend, and one slate in ten at random where slates are
        drawn; see :class:`RunPolicy`.

        :raises RecipeError: where there is none, or where it is of another catalog.
        """
        if name in self.policies:
            return self.policies[name]()
        short, settings = with_settings(name)
        if self.build is not None and short in plugins.installed().parts["policies"]:
            kind: type[Policy] = plugins.installed().get("policies", short).load()
            with blaming(kind, f"be made with {settings}"):
                return self.build(kind, settings)
        if (Path(name) / "data").is_dir():
            people = None if self.people is None else self.people.rows[Column.USER]
            served = RunPolicy(Run(name), self.catalog.rows[Column.ITEM], people)
            return EpsilonGreedy(served, EPSILON)
        if (Path(name) / "config.json").is_file():
            saved: Policy = Policy.load(name)
            if saved.num_items != self.simulator.num_items:
                raise RecipeError(
                    f"The policy in {name} knows {saved.num_items} items, the simulator has "
                    f"{self.simulator.num_items}. Take a policy that was learned on its items."
                )
            return saved
        raise RecipeError(
            f"There is no policy {name!r} here. Give {', '.join(self.policies)}, an installed "
            "policy by its short name, the folder of a saved one, such as runs/video/policy, or "
            f"that of a run, such as runs/video.{hint(name)}"
        )

    def play(self, policy: ActingPolicy, sessions: int, seed: int, **how: Any) -> Sessions:
        """Play at least so many sessions of a policy, as rollout's ``judge`` takes the rest."""
        seeds = self.seeds(sessions, seed)
        return judge({"": policy}, self.simulator, self.users, seeds, **how)[""]

    def seeds(self, sessions: int, seed: int) -> list[int]:
        """The seeds of as many rounds as make at least so many sessions."""
        return [seed * 1_000_000 + round_ for round_ in range(-(-sessions // len(self.users)))]

    def write_log(self, policy: str, sessions: int, seed: int, out: Path) -> Sessions:
        """Play at least so many sessions with drawn slates and write them as a canonical log.

        :param out: a folder, which gets ``log.parquet``, ``catalog.parquet``, ``users.parquet``
            where the users have names, and in ``simulation.json`` what they came from: the
            simulator, the behavior policy, the seed.
        """
        names = None if self.people is None else self.people.rows[Column.USER].to_list()
        items = self.catalog.rows[Column.ITEM].to_list()
        log = SessionLog(items, names, self.simulator.day)
        acting = self.policy(policy)
        played = self.play(acting, sessions, seed, deterministic=False, record=log)
        out.mkdir(parents=True, exist_ok=True)
        write_tables(Tables(log.log(), self.catalog, self.people), out)
        facts = {
            "simulator": self.title,
            "behavior_policy": policy,
            "sessions": played.reward.numel(),
            "slate_size": self.simulator.slate_size,
            "ending": self.simulator.ending,
            "seed": seed,
            "lightrec": version("lightrec"),
        }
        (out / "simulation.json").write_text(json.dumps(facts, indent=2) + "\n")
        return played


def simulation(
    what: str, sessions: int, seed: int, settings: Mapping[str, Any], model: str = "users_b"
) -> Simulation:
    """Set a simulator up.

    :param what: a run folder, or the short name of an installed simulator.
    :param sessions: at most so many side by side.
    :param seed: of the users drawn from a run's log.
    :param model: which user model of a run: ``users_a`` or ``users_b``.
    :raises RecipeError: where a setting is not known, or a simulator needs more than a name, or
        shows no items.
    """
    count = min(sessions, SIDE_BY_SIDE)
    if Path(what).is_dir():
        return _of_run(Run(what).holding(model), count, seed, settings, model)
    kind = plugins.installed().get("simulators", what).load()
    simulator = make_of(kind, settings, batch_size=count)
    if not isinstance(simulator, Simulator):
        raise RecipeError(
            f"The actions of {what} are no slates, and policies that show items cannot play it. "
            "`lightrec probe` may, or take another simulator."
        )
    plain = {"random": lambda: RandomPolicy(simulator.num_items)}
    return Simulation(
        what,
        simulator,
        torch.arange(count),
        simulator.catalog(),
        simulator.people() if isinstance(simulator, World) else None,
        world_policies(simulator) if isinstance(simulator, World) else plain,
        lambda kind, settings: kind.from_world(simulator, **settings),
    )


def _of_run(run: Run, count: int, seed: int, settings: Mapping[str, Any], model: str) -> Simulation:
    run.check("data", "ranker", "users_a", model, *(["policy"] if run.has("policy") else []))
    run.check_halves()
    store = run.data
    starts = LogStarts.from_store(store)
    users = chosen_users(torch.arange(starts.num_users), count, seed)

    def played(model: str) -> UserModelSimulator:
        made: UserModelSimulator = make_of(
            UserModelSimulator,
            {"repeats": store.repeats, **settings},
            user_model=getattr(run, model),
            starts=starts,
            batch_size=len(users),
            popularity=torch.from_numpy(store.popularity()),
        )
        return made

    policies = run_policies(run, lambda: played("users_a"), users, starts)
    return Simulation(
        f"user model of {run.name}/{model}",
        played(model),
        users,
        Catalog(store.catalog, types=store.item_kinds),
        Users(store.users, types=store.user_kinds),
        policies,
        lambda kind, settings: kind.from_run(run, **settings),
        run.domain.name,
        torch.from_numpy(store.popularity()),
    )


def table(played: Mapping[str, Sessions]) -> str:
    """Set what was reached as a table for a terminal; returns with 95 % intervals over sessions."""
    rows = []
    for name, sessions in played.items():
        mean, _, high = mean_interval(sessions.reward.flatten())
        accepted, length = float(sessions.accepted.mean()), float(sessions.length.mean())
        rate = float(sessions.reward.sum() / sessions.length.sum())
        values = (mean, high - mean, accepted, length, rate, sessions.coverage)
        rows.append([name, *(f"{value:.4g}" for value in values)])
    columns = ("return", "±", "accepted", "length", "reward/step", "coverage")
    return Table(["policy", *columns], rows).text()


class RunPolicy(ScoredPolicy):
    """Shows what a run recommends to the people of its log: what `lightrec recommend` lists.

    A history is a person's events in the log, up to those with which this version of the run was
    made, and then what the session adds. People without any history are shown what is popular.

    :param run: whose blend ranks.
    :param items: names of the items 1 to N, as in the run's log.
    :param people: names of the users by their number; None where nobody is known.
    :raises RecipeError: where the run's log names none of the items.
    """

    def __init__(self, run: Run, items: pl.Series, people: pl.Series | None = None) -> None:
        super().__init__(len(items))
        self.store, self.blend = run.data, run.blend
        self.log, self.popularity = Sequences.chosen(self.store), popular(self.store)
        self._edges = self.log.offsets[:-1], self.log.offsets[1:]
        numbers = torch.from_numpy(numbers_before(items, self.store.catalog[Column.ITEM]) + 1)
        if not numbers.any():
            raise RecipeError(
                f"The log of {run.path} names none of the {len(items):,} items that are to be "
                f"shown, such as {items[0]!r}. Take a run that was made from a log of theirs."
            )
        self.items = pad(numbers, (1, 0))
        """(N + 1,) int64: the items' numbers in the run, 0 where it does not know one."""
        self.rows = None if people is None else numbers_before(people, self.store.user_ids)
        """The people's rows in the run's user table, -1 where it does not know somebody."""

    @torch.no_grad()
    def logits(self, state: State) -> Tensor:
        """The blend's scores of a state's columns."""
        histories = state[Key.HISTORY].split(SCORED_AT_ONCE)
        users = state[Key.USER].split(SCORED_AT_ONCE)
        scores = torch.cat([self._scores(*each) for each in zip(histories, users, strict=True)])
        return among_candidates(state, scores)

    def _scores(self, session: Tensor, users: Tensor) -> Tensor:
        """Score all items after what sessions (B, L) add to the users' own events: (B, N + 1)."""
        rows = np.full(len(users), -1) if self.rows is None else self.rows[users.numpy()]
        begins, ends = (np.where(rows < 0, 0, edge[rows]) for edge in self._edges)
        logged = {Key.HISTORY: padded(self.log.items, begins, ends)}
        logged |= self.log.details(begins, ends)
        # Of what was taken in this session neither the feedback nor the time is known.
        added = self.items[without_nothing(session, self.num_items)]
        details = {
            name: torch.cat([torch.from_numpy(values), added * (name == Key.HISTORY)], 1)
            for name, values in logged.items()
        }
        details = with_only(details, details[Key.HISTORY] > PADDING)
        history = details[Key.HISTORY]
        who = None if (rows < 0).any() else torch.from_numpy(rows)
        scores = self.blend.scores(history, who, details=details)
        unknown = self.popularity.counts.clamp_min(0).log1p().expand_as(scores)
        scores = torch.where(history.any(1, keepdim=True), scores, unknown)
        if not self.store.repeats:
            scores = scores.scatter(1, history, -torch.inf)
        return scores[:, self.items].masked_fill(self.items == PADDING, -torch.inf)
