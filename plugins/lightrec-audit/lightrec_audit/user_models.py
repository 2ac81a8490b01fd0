"""Evaluators of the user models: of their sessions, and of a learned reward whose truth is known.

Where the log has impressions, a session is played anew from the same history with the same offers.
Where it has none, users choose among all items, as many times as the session did: to have been
fitted to the choice among few others, drawn evenly, leaves that law as it is (McFadden 1978,
"Modelling the choice of residential location").
"""

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import rankdata
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import PADDING, Key, Run, UserModel, noise
from lightrec.data.store import EventStore, pieces
from lightrec.evaluation.base import Evaluator, Findings, Metrics, Section, Sides, Table
from lightrec.simulators.rollout import play
from lightrec.simulators.user_model import LogStarts, UserModelSimulator
from lightrec.simulators.worlds.far_log import HeldOut

LENGTHS = ("1", "2", "3-4", "5-8", "9-16", "17-32", "33+")
"""Bins of session length."""
TOP = (1, 2, 5, 10, 20, 50)
"""Per cent of the items, the most frequently chosen first, whose share of the choices is given."""
TRUTH = {
    "learned": "learned reward",
    "logit": "conditional logit (γ = 0)",
    "popularity": "popularity",
}
"""Titles of what is compared with the truth of a world."""
Choices = list[tuple[Tensor, Tensor]]
"""Sessions, and the items chosen in them, of each step."""


@dataclass(frozen=True)
class SessionStatistics:
    """Lengths and choices of S sessions.

    :param length: (S,) int64 steps of each session.
    :param session: (E,) int64, ascending: whose choice each was.
    :param item: (E,) int64 items chosen, those of a session in their order.
    :param num_items: N.
    :param category: (N + 1,) int64 category of each item, -1 where it is not known; None where the
        items have none.
    """

    length: Tensor
    session: Tensor
    item: Tensor
    num_items: int
    category: Tensor | None = None

    def counts(self) -> dict[str, Tensor]:
        """Count sessions by ``length``, choices by item, and ``transitions`` within sessions.

        :returns: int64: (longest + 1,), ``popularity`` (N + 1,), and of K categories (K, K).
        """
        chosen = self.item.bincount(minlength=self.num_items + 1)
        counted = {"length": self.length.bincount(), "popularity": chosen}
        if self.category is not None:
            kinds, number = self.category[self.item], int(self.category.max()) + 1
            before, after = kinds[:-1], kinds[1:]
            together = (self.session[1:] == self.session[:-1]) & (before >= 0) & (after >= 0)
            pairs = (before * number + after)[together].bincount(minlength=number**2)
            counted["transitions"] = pairs.view(number, number)
        return counted

    @property
    def repeats(self) -> float:
        """The share of choices of an item that was chosen before in its session."""
        pairs = self.session * (self.num_items + 1) + self.item
        return (len(pairs) - len(pairs.unique())) / max(len(pairs), 1)

    def figures(self) -> dict[str, float]:
        """Sum up, by keys in which ``{}`` stands for the side, real or simulated."""
        counts = self.counts()
        sums = {"length/{}": float(self.length.double().mean())}
        bins = torch.bucketize(self.length, torch.tensor([1, 2, 4, 8, 16, 32]))
        shares = bins.bincount(minlength=len(LENGTHS)).double() / len(self.length)
        sums |= {f"length/{{}}/{name}": float(x) for name, x in zip(LENGTHS, shares, strict=True)}
        choices = max(len(self.item), 1)
        ranked = counts["popularity"][1:].sort(descending=True).values.cumsum(0).double() / choices
        for percent in TOP:
            last = max(1, round(self.num_items * percent / 100)) - 1
            sums[f"popularity/{{}}/top-{percent}"] = float(ranked[last])
        sums["repeats/{}"] = self.repeats
        moves = counts.get("transitions")
        if moves is not None and moves.any():
            sums["transitions/same/{}"] = float(moves.diagonal().sum()) / float(moves.sum())
        return sums

    def half(self, which: int) -> "SessionStatistics":
        """Every second session, from the first or the second on."""
        kept = self.session % 2 == which
        session, item = self.session[kept], self.item[kept]
        return replace(self, length=self.length[which::2], session=session, item=item)

    def cut(self, most: Tensor) -> "SessionStatistics":
        """The first choices of every session, at most so many (S,) of each, which are its steps."""
        made = self.session.bincount(minlength=len(most))
        place = torch.arange(len(self.session)) - (made.cumsum(0) - made)[self.session]
        kept = place < most[self.session]
        return replace(self, length=most, session=self.session[kept], item=self.item[kept])


def total_variation(left: Tensor, right: Tensor) -> float:
    """Half the sum of the differences of two shares of counts: 0 if equal, 1 if disjoint."""
    size = max(left.numel(), right.numel())
    one, other = (
        pad(x.flatten().double() / x.sum().clamp_min(1), (0, size - x.numel()))
        for x in (left, right)
    )
    return float((one - other).abs().sum() / 2)


def compare(
    real: SessionStatistics, simulated: SessionStatistics, *, lengths: bool = True
) -> dict[str, float]:
    """Compare simulated sessions with real ones, as flat keys.

    :param lengths: whether the lengths mean the same in both.
    :returns: ``NAME/total_variation`` of ``length``, ``popularity`` and ``transitions``, each with
        ``/real_halves``, the same between two halves of the real sessions, than which no finite
        number of sessions is closer; and the figures of both sides.
    """
    metrics: dict[str, float] = {}
    pairs = {"": (real, simulated), "/real_halves": (real.half(0), real.half(1))}
    for end, (left, right) in pairs.items():
        others = right.counts()
        for name, counts in left.counts().items():
            if name != "transitions" or (counts.any() and others[name].any()):
                metrics[f"{name}/total_variation{end}"] = total_variation(counts, others[name])
    for side, sessions in (("real", real), ("simulated", simulated)):
        metrics |= {key.format(side): value for key, value in sessions.figures().items()}
    return {key: v for key, v in metrics.items() if lengths or not key.startswith("length")}


@dataclass(frozen=True)
class LoggedOffers:
    """A policy that shows a session's own offers again; after its end, others of the log.

    :param offers: (E, C) int64 candidates of the log's events, 0 where there are none.
    :param begins: (S,) int64 positions of the sessions' first offers; ``ends`` after their last.
    """

    offers: Tensor
    begins: Tensor
    ends: Tensor

    def act(
        self, state: TensorDictBase, slate_size: int = 1, deterministic: bool = True
    ) -> TensorDictBase:
        """Write the offer of the step, whatever its size."""
        event = self.begins + state[Key.STEP].squeeze(1).cpu()
        others = (self.offers[:, 0] != PADDING).nonzero().squeeze(1)
        key = noise.mix(noise.mix(state[Key.SESSION], state[Key.STEP]), -4).squeeze(1).cpu()
        event = event.where(event < self.ends, others[noise.below(key, len(others))])
        return state.set(Key.ACTION, self.offers[event].to(state[Key.SESSION].device))


class SimulatedStatistics(Evaluator):
    """Plays logged sessions anew in user model B and compares how they look.

    Transitions are compared between the values of the items' first attribute of words that has no
    more than 40; of several values the first counts.

    :param sessions: at most so many sessions of users on whom B was fitted, drawn by the seed.
    :param max_steps: steps after which a session is cut, simulated or real.
    """

    def __init__(self, sessions: int = 1000, max_steps: int = 40) -> None:
        self.sessions, self.max_steps = sessions, max_steps

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``statistics/…``, see :func:`compare`, and ``sessions/…``, of all in the log."""
        store, users = run.data.without_cold, run.users_b
        begins, ends = self._drawn(store, users.learned_from(store.num_users), seed)
        if not len(begins):
            return Findings({})
        starts = LogStarts(
            torch.from_numpy(store.offsets[store.users_of(begins)]),
            torch.from_numpy(np.array(store.items)),
            known=torch.from_numpy(np.array(store.seen)),
            ends=torch.from_numpy(begins),
            rows=torch.from_numpy(store.users_of(begins)),
        )
        real = _logged(store, begins, ends)
        if store.candidates is None:
            length = real.length
            noted = _chosen_freely(users, starts, length, seed, repeats=store.repeats)
        else:
            simulator = UserModelSimulator(
                users,
                starts,
                len(begins),
                slate_size=store.candidates.shape[1],
                # What is assumed of leaving is no statistic of the log.
                ending="fixed" if users.leaving is None else "leave",
                max_steps=self.max_steps,
                repeats=True,
            )
            offers = torch.from_numpy(np.array(store.candidates, dtype=np.int64))
            logged = LoggedOffers(offers, torch.from_numpy(begins), torch.from_numpy(ends))
            noted = []

            def note(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
                row, place = (following[Key.TAKEN] & alive.unsqueeze(1)).nonzero(as_tuple=True)
                noted.append((row.cpu(), state[Key.ACTION][row, place].cpu()))

            everybody = torch.arange(len(begins))
            length = play(logged, simulator, everybody, seed, record=note)[0].length[0].long()
        session, item = map(torch.cat, zip(*noted, strict=True))
        order = session.argsort(stable=True)
        simulated = replace(real, length=length, session=session[order], item=item[order])
        if store.candidates is not None and users.leaving is None:
            simulated = simulated.cut(real.session.bincount(minlength=len(begins)))
        compared = compare(real, simulated, lengths=users.leaving is not None)
        metrics = {f"statistics/{key}": value for key, value in compared.items()}
        return Findings(metrics | logged_figures(store), [statistics_section(metrics)])

    def _drawn(
        self, store: EventStore, learned: NDArray[np.bool_], seed: int
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Draw sessions of B's users: positions of the first offer, and after the last."""
        begins, ends = store.session_offsets[:-1], store.session_offsets[1:]
        if store.candidates is not None:
            offers = np.flatnonzero(np.asarray(store.candidates[:, 0]) != PADDING)
            first = np.append(offers, len(store))[np.searchsorted(offers, begins)]
            begins, ends = first[first < ends], ends[first < ends]
        of_learned = np.flatnonzero(learned[store.users_of(begins)])
        drawn = np.sort(np.random.default_rng(seed).permutation(of_learned)[: self.sessions])
        return begins[drawn], np.minimum(ends[drawn], begins[drawn] + self.max_steps)


def logged_figures(store: EventStore) -> dict[str, float]:
    """Sum up a log's sessions as those that are played are; with a goal, also the conversion."""
    whole = _logged(store, store.session_offsets[:-1], store.session_offsets[1:])
    count = len(whole.length)
    sums = {"length": float(whole.length.double().mean()), "repeats": whole.repeats}
    sums |= {"accepted": len(whole.item) / count, "accepting": len(whole.session.unique()) / count}
    sums |= {"conversion": store.conversion} if store.goal else {}
    return {f"sessions/{name}": value for name, value in sums.items()}


def _logged(
    store: EventStore, begins: NDArray[np.int64], ends: NDArray[np.int64]
) -> SessionStatistics:
    kinds = store.categories()
    session, events = pieces(begins, ends)
    items = np.asarray(store.items)[events].astype(np.int64)
    chosen = items <= store.num_items
    return SessionStatistics(
        torch.from_numpy(ends - begins),
        torch.from_numpy(session[chosen]),
        torch.from_numpy(items[chosen]),
        store.num_items,
        None if kinds is None else torch.from_numpy(kinds),
    )


@torch.no_grad()
def _chosen_freely(
    users: UserModel, starts: LogStarts, length: Tensor, seed: int, *, repeats: bool
) -> Choices:
    """Let everybody choose among all items, so often (S,)."""
    everybody, items = torch.arange(starts.num_users), torch.arange(users.num_items + 1)
    history = starts.history(everybody, starts.ends, users.history_length)
    may = starts.showable(everybody, starts.ends, users.num_items, repeats=repeats)
    noted = []
    for step in range(int(length.max())):
        rows = (length > step).nonzero().squeeze(1)
        person = starts.rows[rows]
        utilities = [m.utilities(m.state(history[rows]), None, person) for m in users.members]
        laws = [u.where(may[rows], -torch.inf).log_softmax(1) for u in utilities]
        key = noise.mix(noise.mix(torch.tensor(seed), rows), step).unsqueeze(1)
        luck = noise.gumbel(noise.mix(key, items))
        chosen = (torch.stack(laws).logsumexp(0) + luck).argmax(1)
        history[rows] = torch.cat([history[rows, 1:], chosen.unsqueeze(1)], 1)
        may[rows, chosen] &= repeats
        noted.append((rows, chosen))
    return noted


COMPARED = {
    "length": "session length",
    "popularity": "popularity of items",
    "transitions": "transitions between categories",
}
SIDES = {
    "length/{}": "mean steps of a session",
    "repeats/{}": "choices of an item chosen before in the session",
    "transitions/same/{}": "steps that stay within a category",
    **{f"popularity/{{}}/top-{p}": f"choices of the top {p} % of items" for p in (1, 10, 50)},
}


def statistics_section(metrics: Metrics) -> Section:
    """Show how logged sessions look when played again."""
    sides = {"real": "real", "simulated": "simulated"}
    pairs = {"": "simulated − real", "/real_halves": "half − half of real"}
    tables = [
        Table.of(metrics, "statistics/{}/total_variation{}", COMPARED, pairs, "total variation"),
        Table.of(metrics, "statistics/{}", SIDES, sides),
    ]
    panels = {"popularity": ([f"top-{p}" for p in TOP], "share of choices by share of items (%)")}
    if "statistics/length/total_variation" in metrics:
        panels["length"] = ([*LENGTHS], "share of sessions by steps")
    charts = [
        Sides(
            {s: [metrics[f"statistics/{name}/{s}/{tick}"] for tick in ticks] for s in sides},
            [tick.removeprefix("top-") for tick in ticks],
            label,
        )
        for name, (ticks, label) in panels.items()
    ]
    return Section(
        "Simulated and real sessions",
        "Logged sessions are played again in user model B from the same histories, with the "
        "offers of the log where it has any, else with all items. Total variation is 0 for equal "
        "distributions and 1 for disjoint ones; its value between two halves of the real sessions "
        "shows what chance alone does.",
        tables,
        charts,
        "Where the log does not say how users leave, lengths are not compared, and each session "
        "is played for as many choices as it had.",
    )


class KnownTruth(Evaluator):
    """In a world whose truth is known: how a learned reward orders the items of an offer."""

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``truth/<score>/spearman``; nothing where the run's log is a real one."""
        if not (path := run.folder("data") / "truth.safetensors").is_file():
            return Findings({})
        held_out = HeldOut.load(path)
        offers = held_out.history, held_out.candidates
        popularity = torch.from_numpy(run.data.popularity()).float()
        with torch.inference_mode():
            scores = {
                "learned": run.users_a.reward(*offers),
                "logit": run.users_a.utilities(*offers),
                "popularity": popularity[held_out.candidates],
                "value": held_out.value,
            }
        metrics = {
            f"truth/{name}/spearman": spearman_within_sets(score, held_out.reward)
            for name, score in scores.items()
        }
        head = {"spearman": "Spearman"}
        section = Section(
            "The truth, known in this world",
            "Mean within-set Spearman correlation of each score with the true reward, over the "
            "candidates of fresh sessions that no stage has seen.",
            [Table.of(metrics, "truth/{}/{}", TRUTH, head, own="learned reward")],
        )
        said = (f"{name} {metrics[f'truth/{name}/spearman']:.3f}" for name in TRUTH)
        line = "within-set Spearman with the true reward: " + ", ".join(said)
        return Findings(metrics, [section], summary=line)


def spearman_within_sets(score: Tensor, truth: Tensor) -> float:
    """The mean of Spearman's correlation over the sets, rows (S, C), in which both vary.

    Equal values share their mean rank. It is 0 where there is no such set.
    """
    ranks = [rankdata(x.double().numpy(), axis=1) for x in (score, truth)]
    left, right = (r - r.mean(1, keepdims=True) for r in ranks)
    scale = ((left**2).sum(1) * (right**2).sum(1)) ** 0.5
    correlations = (left * right).sum(1)[scale > 0] / scale[scale > 0]
    return float(correlations.mean()) if len(correlations) else 0.0
