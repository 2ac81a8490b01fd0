"""The stage that asks what the result owes to the named assumptions.

Each assumption is halved and doubled, reward and policy are learned again, and the policy is judged
in user model B under the same assumption. Each such cell is a small run folder of its own.
"""

import copy
import json
import math
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from lightrec.api import Run, Stage, UserModel
from lightrec.data.files import STAMP, write_whole
from lightrec.data.store import TRAIN
from lightrec.evaluation.base import Intervals, Metrics, Section, Table, number, spread
from lightrec.evaluation.evidence import RECOMMENDERS
from lightrec.evaluation.session_tables import paired
from lightrec.evaluation.sessions import SimulatedSessions
from lightrec.report.page import page_of, write_metrics
from lightrec.stages.train import train
from lightrec.users.choice_data import ChoiceData
from lightrec.users.irl import fit_continuation

FACTORS = {"half": 0.5, "double": 2.0}
MOST_OFFERS = 50_000
"""Training states that serve to fit a cell's continuation value."""


@dataclass(frozen=True)
class Cell:
    """One set of assumptions.

    :param name: of its metrics, such as ``discount-half``.
    :param title: for the report.
    :param discount: γ.
    :param leave_rate: probability of leaving after a step.
    :param odds_ratio: by how much the odds of choosing nothing are multiplied.
    """

    name: str
    title: str
    discount: float
    leave_rate: float
    odds_ratio: float = 1.0


def cells(
    discount: float, leave_rate: float, nothing_is_logged: bool, leaving_is_fitted: bool = False
) -> Iterator[Cell]:
    """List the assumptions as made, γ = 0, and each one halved and doubled.

    γ is halved and doubled by its horizon 1 / (1 - γ), choosing nothing by its odds, leaving by its
    rate; a rate of 0 stays out.

    :param nothing_is_logged: whether the log tells how often nothing is chosen.
    :param leaving_is_fitted: whether the log shows how users leave.
    """
    yield Cell("as-assumed", "as assumed", discount, leave_rate)
    yield Cell("discount-0", "γ = 0", 0.0, leave_rate)
    if discount > 0:
        for word, factor in FACTORS.items():
            # No horizon is shorter than the present step.
            other = max(0.0, 1 - (1 - discount) / factor)
            title = f"γ {other:.3g} ({word} the horizon)"
            yield Cell(f"discount-{word}", title, other, leave_rate)
    if not nothing_is_logged:
        for word, factor in FACTORS.items():
            title = f"{word} the odds of choosing nothing"
            yield Cell(f"nothing-{word}", title, discount, leave_rate, factor)
    if leave_rate > 0 and not leaving_is_fitted:
        for word, factor in FACTORS.items():
            other = min(1.0, factor * leave_rate)
            yield Cell(f"leaving-{word}", f"leaving {other:.3g} a step", discount, other)


def assume(
    stage: Stage,
    policy: list[str],
    rounds: int = 1,
    max_users: int = 300,
    max_steps: int = 40,
    seed: int = 0,
) -> None:
    """Learn and judge every cell; finished ones stay if the process is killed.

    :param policy: settings given to the policy stage in each cell, after those that the command
        gave to the run's own, such as fewer epochs.
    :param rounds: sessions of each user by which a cell is judged.
    :param max_users: users by whom a cell is judged.
    :param max_steps: steps after which a session is cut.
    :param seed: of the judging.
    """
    sessions = SimulatedSessions(
        rounds=rounds, max_users=max_users, max_steps=max_steps, rounds_at_home=0
    )
    run = Run(stage.run, follow=False)
    run.check_halves()
    stage.prepare_work()
    # Not read from the policy's folder, which may be somebody else's.
    learned = stage.before["policy"]
    learned = replace(learned, overrides=[*learned.overrides, *policy])
    a, b = run.users_a, run.users_b
    rates = float(a.choice.discount), float(a.choice.leave_rate)
    todo = list(cells(*rates, run.data.has_nothing, b.leaving is not None))
    # One fit of B a cell: what refits do to the intervals stands in the run's own table.
    alone = b.replaced(members=b.members[:1], valuing=None, returning=None)
    users, metrics = {"users_a": a, "users_b": alone}, dict[str, float]()
    for place, cell in enumerate(todo, start=1):
        print(f"    [{place}/{len(todo)}] {cell.title}", file=sys.stderr)
        judged = judge_cell(stage, cell, users, learned, sessions, seed)
        for key, value in judged.items():
            metrics[f"sensitivity/{cell.name}/{key.removeprefix('simulator/')}"] = value
    with stage.output(seed) as folder:
        write_metrics(folder, metrics)
        page = page_of(run, [sensitivity(metrics, todo)], [], stages=stage.inputs)
        (folder / "report.html").write_text(page, encoding="utf-8")


def judge_cell(
    stage: Stage,
    cell: Cell,
    users: Mapping[str, UserModel],
    policy: Stage,
    sessions: SimulatedSessions,
    seed: int,
) -> dict[str, float]:
    """Learn reward and policy under a cell's assumptions and judge the policy.

    :param users: both user models of the run, by their stages.
    """
    folder = stage.work / cell.name
    result = folder / "result.json"
    if result.is_file():
        return dict(json.loads(result.read_text())["metrics"])
    folder.mkdir(exist_ok=True)
    for name, model in users.items():
        # A run that was stopped earlier may have left it half-written.
        shutil.rmtree(folder / name, ignore_errors=True)
        assuming(model, cell, stage.run).save_pretrained(folder / name)
        (folder / name / STAMP).write_text(json.dumps({"fingerprint": cell.name}))
    for name in ("data", "ranker"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to((stage.run / name).resolve())
    leaving = ["--data.init_args.leave_rate", str(cell.leave_rate)]
    train(replace(policy, out=folder / "policy", overrides=[*policy.overrides, *leaving]))
    metrics = sessions.play(Run(folder), seed, search=False)
    write_whole(result, json.dumps({"name": cell.name, "title": cell.title, "metrics": metrics}))
    return metrics


def assuming(users: UserModel, cell: Cell, run: Path) -> UserModel:
    """A user model under a cell's assumptions, its values fitted again to a run's log.

    Only the continuation value is fitted. Where declined sets are assumed, the odds of choosing
    nothing shift its utility and no other part of the fitted choices.
    """
    # The models hold their item vectors: only states and offers are asked of the data.
    data = ChoiceData(str(run / "data"), **users.offers)
    members = [copy.deepcopy(member) for member in users.members]
    for member in members:
        member.nothing_shift += math.log(cell.odds_ratio)
        offers = data.batches(TRAIN, limit=MOST_OFFERS)
        fit_continuation(member, offers, discount=cell.discount, leave_rate=cell.leave_rate)
    # A reward that was learned by itself knows nothing of these assumptions.
    return users.replaced(members=members, reward_model=None).eval()


def sensitivity(metrics: Metrics, judged: Sequence[Cell]) -> Section:
    """Say what the result owes to the named assumptions, by metrics ``sensitivity/CELL/…``."""
    table, drawn, heads = [], {}, list[str]()
    for cell in judged:
        advantages = paired(metrics, f"sensitivity/{cell.name}")
        accepted = number(metrics[f"sensitivity/{cell.name}/policy/accepted"])
        table.append([cell.title, accepted, *map(spread, advantages.values())])
        drawn[cell.title] = advantages[RECOMMENDERS["blend"]]
        heads = heads or [f"policy − {title}" for title in advantages]
    return Section(
        "What the assumptions do",
        "A log without impressions says nothing of how far people look ahead (γ), how often they "
        "choose nothing and how often they leave. Here each named assumption is halved and "
        "doubled: γ by its horizon 1 / (1 − γ), choosing nothing by its odds, leaving by its rate. "
        "Reward and policy are learned again each time, and judged in user model B under the same "
        "assumption.",
        [Table(["", "policy: accepted", *heads], table)],
        [Intervals(drawn, "policy − greedy by the blend, accepted a session")],
    )
