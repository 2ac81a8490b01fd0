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
from lightrec.run import Run
from lightrec.simulators.base import Response
from lightrec.simulators.rollout import SessionLog, judge
from lightrec.simulators.user_model import LogStarts, UserModelSimulator
from lightrec.users.assessment import maximised


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


def begun(cell: Cell) -> tuple[Run, Tensor, World, list[Any]]:
    """Make a run of a log of known people; give their answers in it, new people, and its steps.

    Items are numbered as in the run, and answers are 1 and 0.
    """
    table = Answers.read(cell["log"], cell["items"])
    table = replace(table, values=table.values.gt(0).where(~table.values.isnan(), torch.nan))
    known = table.part("known", cell["share"], cell.seed)
    log = SessionLog(table.catalog.rows[Column.ITEM].to_list(), known.people)
    _, answers, steps = World(cell, known, part="all").asked(RandomPolicy(len(log.items)), log)
    (cell.out / "log").mkdir(parents=True)
    write_tables(Tables(log.log(), known.catalog), cell.out / "log")
    words = [f"--values.{name}={value}" for name, value in cell["world"].items()] + cell.options
    run = cell.run("generic", "--log", str(cell.out / "log"), *cell["words"], *words)
    order = numbers_before(run.data.catalog[Column.ITEM], log.items) + 1
    order = pad(torch.from_numpy(order), (1, 0))
    table = replace(table, values=table.values[:, order])
    back = order.argsort()  # from the table's numbers to the run's
    for before, _, _ in steps:
        before[Key.ACTION] = back[before[Key.ACTION]]
    return run, answers[:, order], World(cell, table, cell["share"]), steps


def measure(cell: Cell) -> dict[str, Any]:
    """Play all contenders with both."""
    run, answers, judged, _ = begun(cell)
    starts = LogStarts.from_store(run.data)
    starts.ends, starts.by_history = starts.offsets[:-1], True  # nobody has a past
    users = judged.users % starts.num_users
    fitted = Fitted(run.users_b, starts, len(users), leave_rate=0.0, **cell["world"])
    loadings = Loadings.of(answers, **cell["model"]).cautious(cell["caution"])
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


def declines(cell: Cell) -> dict[str, Any]:
    """Foretell new people's answers to random items, one at a time, from those before: nats each.

    The user model reads likes and declines; so does the belief. ``clicks`` knows each item's share
    of likes among known people, ``clicks and mood`` also how much more than such shares somebody
    has liked so far. Then the order of all items by utilities and by rewards, for somebody new,
    against that by new people's answers.
    """
    run, answers, judged, before = begun(cell)
    users, last = run.users_a.requires_grad_(False), answers.shape[1]
    steps = judged.asked(RandomPolicy(last - 1))[2]
    loadings = Loadings.of(answers, **cell["model"]).cautious(cell["caution"])
    belief = BeliefPolicy(last - 1, loadings.weights.shape[1]).believing(loadings)
    share = (answers.nansum(0) + 2 * answers.nanmean()) / ((~answers.isnan()).sum(0) + 2)
    shown, liked, odds, mood = sequences(steps, share)
    _, then, *known = sequences(before, share)
    by_mood = maximised(
        lambda w: nats((w[0] * known[0] + w[1] * known[1] + w[2]).sigmoid(), then).mean(),
        torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64),
    )
    past = pad(shown.where(liked > 0, last), (1, 0))  # declines are items N + 1
    places = [shown[:, place : place + 1] for place in range(len(steps))]
    laws = [users.predict(past[:, : place + 1], item)[0] for place, item in enumerate(places)]
    told = [
        belief.logits(step[0]).gather(1, item) for step, item in zip(steps, places, strict=True)
    ]
    chances = {
        "user model": torch.stack(laws, 1)[:, :, 0].exp().double(),
        "belief": torch.cat(told, 1).clamp(0.02, 0.98).double(),
        "clicks and mood": (by_mood[0] * odds + by_mood[1] * mood + by_mood[2]).sigmoid(),
        "clicks": odds.sigmoid(),
        "one share": answers.nanmean().expand_as(odds).double(),
    }
    own = {name: nats(chance, liked) for name, chance in chances.items()}
    found: dict[str, Any] = {f"{name}/nats": float(each.mean()) for name, each in own.items()}
    for name, each in own.items():
        found |= keys_of(f"user model-minus-{name}", mean_interval(own["user model"] - each))
    nobody, every = torch.zeros(1, 1, dtype=torch.int64), torch.arange(1, last)[None]
    worth = {"utility": users.scores(nobody)[0, 1:], "reward": users.reward(nobody, every)[0]}
    worth["people"] = judged.world.table.values.nanmean(0)[1:]
    for one, two in combinations(worth, 2):
        found[f"{one}-{two}/spearman"] = float(spearmanr(worth[one], worth[two])[0])
    return found


def sequences(steps: list[Any], share: Tensor) -> list[Tensor]:
    """What was shown, whether it was liked, log-odds of its share, and the mood: (P, T) each."""
    shown = torch.cat([step[0][Key.ACTION] for step in steps], 1)
    liked = torch.cat([step[1][Key.TAKEN] for step in steps], 1).double()
    usual = share[shown].double()
    more = pad((liked - usual).cumsum(1)[:, :-1], (1, 0)) / (4 + torch.arange(len(steps)))
    return [shown, liked, usual.logit(), more]


def nats(chance: Tensor, liked: Tensor) -> Tensor:
    """Mean log-likelihoods of each person's answers, (P,)."""
    return (liked * chance.log() + (1 - liked) * (-chance).log1p()).mean(1)
