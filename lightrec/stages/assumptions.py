"""The stage that asks what the result owes to the named assumptions.

Each assumption is halved and doubled, reward and policy are learned anew, and the policy is judged
in user model B under the same assumption. Each such cell is a small run folder of its own.
"""

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lightrec.data.run_folder import STAMP
from lightrec.data.store import EventStore
from lightrec.evaluation.sessions import SimulatedSessions
from lightrec.report.page import write_assumptions
from lightrec.run import Run
from lightrec.stages.functions import settings
from lightrec.stages.stage import Stage
from lightrec.stages.train import train
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import ChoiceModel
from lightrec.users.irl.two_step import with_assumptions
from lightrec.users.module import offers
from lightrec.users.user_model import UserModel

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
    :param leaving_is_fitted: whether the log told how users leave.
    """
    yield Cell("as-assumed", "as assumed", discount, leave_rate)
    yield Cell("discount-0", "γ = 0", 0.0, leave_rate)
    if discount > 0:
        for word, horizon in (("half", 0.5), ("double", 2.0)):
            # No horizon is shorter than the present step.
            other = max(0.0, 1 - (1 - discount) / horizon)
            title = f"γ {other:.3g} ({word} the horizon)"
            yield Cell(f"discount-{word}", title, other, leave_rate)
    if not nothing_is_logged:
        for word, ratio in (("half", 0.5), ("double", 2.0)):
            title = f"{word} the odds of choosing nothing"
            yield Cell(f"nothing-{word}", title, discount, leave_rate, ratio)
    if leave_rate > 0 and not leaving_is_fitted:
        for word, factor in (("half", 0.5), ("double", 2.0)):
            other = min(1.0, factor * leave_rate)
            yield Cell(f"leaving-{word}", f"leaving {other:.3g} a step", discount, other)


def assume(
    policy: list[str],
    rounds: int = 1,
    max_users: int = 300,
    max_steps: int = 40,
    seed: int = 0,
    run_policy: list[str] | None = None,
) -> None:
    """State the settings of the stage; it is run by :func:`assumptions_stage`.

    :param policy: settings given to the policy stage in each cell, such as fewer epochs.
    :param rounds: sessions of each user by which a cell is judged.
    :param max_users: users by whom a cell is judged.
    :param max_steps: steps after which a session is cut.
    :param seed: of the judging.
    :param run_policy: settings that the command gave to the run's own policy stage, which each cell
        is given, too; ``lightrec run`` fills this in.
    """


def assumptions_stage(stage: Stage) -> None:
    """Learn and judge every cell; finished ones are kept if the process is killed."""
    chosen = settings(stage, assume)
    Run(stage.run).check_halves()
    stage.prepare_work()
    store = EventStore.open(stage.run / "data")
    reward = UserModel.load(stage.run / "users_a")
    judge = UserModel.load(stage.run / "users_b")
    found = []
    todo = list(
        cells(
            float(reward.choice.discount),
            reward.leave_rate,
            store.has_nothing,
            judge.leaving is not None,
        )
    )
    for number, cell in enumerate(todo, start=1):
        print(f"    [{number}/{len(todo)}] {cell.title}", file=sys.stderr)
        found.append(judge_cell(stage, cell, reward, judge, store, chosen))
    with stage.output(chosen["seed"]) as folder:
        write_assumptions(Run(stage.run), folder, found, stage.inputs())


def judge_cell(
    stage: Stage,
    cell: Cell,
    reward: UserModel,
    judge: UserModel,
    store: EventStore,
    chosen: dict[str, Any],
) -> dict[str, object]:
    """Learn reward and policy under a cell's assumptions and judge the policy."""
    folder = stage.work / cell.name
    result = folder / "result.json"
    if result.is_file():
        done: dict[str, object] = json.loads(result.read_text())
        return done
    folder.mkdir(exist_ok=True)
    # One fit of B a cell: what refits do to the intervals stands in the run's own table.
    one = judge.replaced(members=judge.members[:1], valuing=None, returning=None)
    for name, users in (("users_a", reward), ("users_b", one)):
        # A run that was stopped earlier may have left it half-written.
        shutil.rmtree(folder / name, ignore_errors=True)
        assuming(users, cell, stage.run).save_pretrained(folder / name)
        (folder / name / STAMP).write_text(json.dumps({"fingerprint": cell.name}))
    for name in ("data", "ranker"):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to((stage.run / name).resolve())
    overrides = [
        *(chosen["run_policy"] or []),
        *chosen["policy"],
        *("--data.init_args.leave_rate", str(cell.leave_rate)),
    ]
    train(Stage("policy", stage.recipe.with_name("policy.yaml"), folder / "policy", overrides))
    names = ("rounds", "max_users", "max_steps")
    sessions = SimulatedSessions(**{name: chosen[name] for name in names}, rounds_at_home=0)
    metrics = sessions.play(Run(folder), chosen["seed"], search=False)
    found: dict[str, object] = {"name": cell.name, "title": cell.title, "metrics": metrics}
    partial = folder / "result.partial"
    partial.write_text(json.dumps(found))
    os.replace(partial, result)
    return found


def assuming(users: UserModel, cell: Cell, run: Path) -> UserModel:
    """Give a user model under a cell's assumptions, its continuation values fitted anew.

    :param run: the run folder, whose log is read.
    """
    # The models hold their item vectors: only states and offers are asked of the data.
    data = ChoiceData(str(run / "data"), **users.offers)

    def anew(member: ChoiceModel) -> ChoiceModel:
        return with_assumptions(
            member,
            offers(data, limit=MOST_OFFERS),
            discount=cell.discount,
            leave_rate=cell.leave_rate,
            nothing_odds_ratio=cell.odds_ratio,
        )

    # A reward that was learned by itself knows nothing of these assumptions.
    return users.replaced(members=[anew(m) for m in users.members], reward_model=None).eval()
