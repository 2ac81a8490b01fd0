"""Whether users fitted to a log rank policies as real people do, whose answers are all known.

People who may be learned from are shown random slates once, and a log says what they took. From
this log alone contenders and users are made. The contenders then play with these users, who have no
past, and with real people who are new, in sessions of the same length.
"""

from dataclasses import replace
from itertools import combinations
from typing import Any

import torch
from lightrec_worlds.answered import ANSWERS
from lightrec_worlds.answers import Answers
from lightrec_worlds.beliefs import BeliefPolicy
from lightrec_worlds.loadings import Loadings
from scipy.stats import spearmanr
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import pad
from torchrl.data import TensorSpec

from benchmarks.measure import Cell
from benchmarks.measure.answers import CONTENDERS, World
from lightrec.data.readers.base import Tables
from lightrec.data.readers.canonical import write_tables
from lightrec.evaluation.base import keys_of
from lightrec.evaluation.named_policies import plain_policies
from lightrec.intervals import mean_interval
from lightrec.keys import Column, Key
from lightrec.policies.baselines import GreedyRankerPolicy, RandomPolicy
from lightrec.ranking.continued import numbers_before
from lightrec.simulators.base import Response
from lightrec.simulators.rollout import SessionLog, judge
from lightrec.simulators.user_model import LogStarts, UserModelSimulator


class Fitted(UserModelSimulator):
    """Fitted users, whose declines policies see as they see those of people."""

    def own_specs(self) -> dict[str, TensorSpec]:
        """Announce the answers beside what fitted users announce."""
        return {**super().own_specs(), ANSWERS: self._numbers(self.max_steps * self.slate_size)}

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Answer 1 for what is taken, and 0 for the rest."""
        response = super().respond(state, slate)
        places = state[Key.STEP] * self.slate_size + torch.arange(self.slate_size)
        answers = state[ANSWERS].scatter(1, places, response.value)
        return replace(response, changed={**response.changed, ANSWERS: answers})


def measure(cell: Cell) -> dict[str, Any]:
    """Play all contenders with both."""
    table = Answers.read(cell["log"], cell["items"])
    table = replace(table, values=table.values.gt(0).where(~table.values.isnan(), torch.nan))
    known = table.part("known", cell["share"], cell.seed)
    log = SessionLog(table.catalog.rows[Column.ITEM].to_list(), known.people)
    _, answers = World(cell, known, part="all").asked(RandomPolicy(len(log.items)), log)
    (cell.out / "log").mkdir(parents=True)
    write_tables(Tables(log.log(), known.catalog), cell.out / "log")
    words = [f"--values.{name}={value}" for name, value in cell["world"].items()] + cell.options
    run = cell.run("generic", "--log", str(cell.out / "log"), *cell["words"], *words)
    order = numbers_before(run.data.catalog[Column.ITEM], log.items) + 1
    order = pad(torch.from_numpy(order), (1, 0))  # items are numbered as in the run from here on
    judged = World(cell, replace(table, values=table.values[:, order]), cell["share"])
    starts = LogStarts.from_store(run.data)
    starts.ends, starts.by_history = starts.offsets[:-1], True  # nobody has a past
    users = judged.users % starts.num_users
    fitted = Fitted(run.users_b, starts, len(users), leave_rate=0.0, **cell["world"])
    loadings = Loadings.of(answers[:, order], **cell["model"]).cautious(cell["caution"])
    made: dict[str, Any] = {name: make() for name, make in plain_policies(run).items()}
    made["ranker"] = GreedyRankerPolicy.from_run(run)
    for name in ("fixed list", "likes alone", "answers"):
        belief = BeliefPolicy(fitted.num_items, loadings.weights.shape[1], **CONTENDERS[name])
        made[name] = belief.believing(loadings)
    people, drawn = (
        {name: sessions.reward[0] for name, sessions in judge(made, *where, [cell.seed]).items()}
        for where in ((judged.world, judged.users), (fitted, users))
    )
    means = {name: (float(people[name].mean()), float(drawn[name].mean())) for name in made}
    found: dict[str, Any] = {"spearman": float(spearmanr([*means.values()])[0])}
    for name in made:
        found[f"{name}/people"], found[f"{name}/users"] = means[name]
        found |= keys_of(f"{name}-minus-list", mean_interval(people[name] - people["fixed list"]))
    agree = []  # about the pairs that people tell apart
    for one, two in combinations(made, 2):
        gap, low, high = mean_interval(people[one] - people[two])
        if low > 0 or high < 0:
            agree.append(gap * (means[one][1] - means[two][1]) > 0)
    fit = run.metrics("users_b")
    ahead = fit["ensemble/log_likelihood"] - fit["ensemble/popularity"]
    return found | {"agreed": sum(agree) / len(agree), "apart": len(agree), "ahead": ahead}
