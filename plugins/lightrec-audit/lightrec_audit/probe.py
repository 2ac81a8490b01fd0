"""Probing simulators, worlds and user models for what no real user would do.

The rule. Let the share of a policy be its reward per step on the scale where the lowest reward
that a step gave is 0 and the highest 1. A simulator has a hole where a constant action for
everybody has more than ten times the share of random actions, with the lower end of its interval,
and has half of the highest reward or more, or earns a session no less than the best policy or
oracle next to it. No list of a real shop is taken by half of all people whenever it is shown.

Users who were fitted to a log have a hole, too, where the constant action begins with an item that
no event of the log is about, and has more than twice the share of random actions: the model goes
beyond what the log bears out, and policies that learn in it will follow.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.api import PADDING, Column, Section, Table
from lightrec.evaluation.named_policies import best_constant_lists
from lightrec.evaluation.simulation import Simulation
from lightrec.intervals import Interval
from lightrec.progress import progress_bar
from lightrec.simulators.rollout import ActingPolicy, Sessions
from lightrec.simulators.session_env import Mode
from lightrec_audit.judge import ORACLE, earned, function_interval, give, per_user

TIMES, HALF = 10.0, 0.5
"""Multiple of the share of random actions, and share of the highest, that are suspicious."""
UNSEEN_TIMES = 2.0
"""The suspicious multiple of what begins with an item of which the log says nothing."""
RANDOM, CONSTANT = "random", "constant"
LASTING, UNREPEATED = "constant, by session", "constant, no repeats"
"""The list that earns most a session, if it is another one; the constant list without repeats."""
LISTS = ("constant", "popularity")
"""Policies of a simulation that look at nobody."""
NAMED = 3
"""Items of a list that are named."""
RATE, RETURN = "reward_per_step", "returns"
Earned = Mapping[str, Interval]


@dataclass(frozen=True)
class Probe:
    """The verdict of a probe, and what it rests on.

    :param action: what is constant, in words, such as ``list of items``.
    :param earned: by policy, see :func:`~lightrec_audit.judge.earned`.
    :param shares: reward per step on the scale of the lowest and the highest reward of a step.
    :param lowest: reward that any step of any policy gave; ``highest`` likewise.
    :param hole: whether the rule says that there is one.
    :param pays_for_repeats: whether the same list over and over earns more a step than without
        repeats; None where a list cannot be shown over and over.
    :param verdict: all this in whole sentences.
    """

    simulator: str
    mode: str
    action: str
    earned: Mapping[str, Earned]
    shares: Earned
    lowest: float
    highest: float
    hole: bool
    pays_for_repeats: bool | None
    verdict: str

    def markdown(self) -> str:
        """Set the verdict and what it is made of."""
        head = ["policy", "reward/step", "share of the range", "length", "return"]
        rows = [
            [name, *map(give, (e[RATE], self.shares[name], e["length"], e[RETURN]))]
            for name, e in self.earned.items()
        ]
        return Section(
            f"Probe of {self.simulator} in mode {self.mode}",
            self.verdict,
            [Table(head, rows)],
            note=f"Rewards of a step lie between {self.lowest:.3g} and {self.highest:.3g}.",
        ).markdown(1)


def probe(on: Simulation, policies: Sequence[str], mode: Mode, sessions: int, seed: int) -> Probe:
    """Search the best constant list of a simulator and judge by the rule.

    :param policies: learned ones, which stand next to it; a world's oracle does in any case.
    :param sessions: at least so many of each policy, after the search.
    :raises RecipeError: where a policy is not known, or cannot play.
    """
    there = on.in_mode(mode)
    learned = [*policies, *([ORACLE] if ORACLE in there.policies else [])]
    players: dict[str, ActingPolicy] = {name: there.policy(name) for name in (RANDOM, *learned)}
    again = there.simulator.repeats and there.simulator.offer_size is None
    players[CONSTANT], lasting = best_constant_lists(
        there.simulator,
        there.users,
        seed * 1_000_000 + 500_000,  # its sessions are not those of the measurement
        others=[there.policy(name) for name in LISTS if name in there.policies],
        leaders=again,
    )
    if lasting is not players[CONSTANT]:
        players[LASTING] = lasting
    played = [(name, player, there) for name, player in players.items()]
    if again:
        played.append((UNREPEATED, players[CONSTANT], on.in_mode("no-repeats")))
    bounds: list[Tensor] = []

    def note(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        if alive.any():
            bounds.append(torch.stack(following["reward"][alive].aminmax()))

    made: dict[str, Sessions] = {}
    bar = progress_bar(len(played), "play", iterable=played)
    for name, player, where in bar:
        bar.set_description(name, refresh=False)
        record = None if name == UNREPEATED else note
        made[name] = where.play(player, sessions, seed, record=record)
    ends = torch.stack(bounds)
    action = "list of items" if there.simulator.slate_size > 1 or not again else "item"
    reached = float(ends.min()), float(ends.max())
    begins, unseen = list[str](), False
    if (appeal := getattr(players[CONSTANT], "appeal", None)) is not None:  # it has an order
        first = appeal[PADDING + 1 :].topk(min(NAMED, on.simulator.num_items)).indices
        begins = [str(on.catalog.rows[Column.ITEM][int(place)]) for place in first]
        unseen = on.evidence is not None and not on.evidence[PADDING + 1 + first[0]]
    return judge_probe(on.title, mode, action, made, reached, learned, begins, unseen=unseen)


def judge_probe(
    simulator: str,
    mode: str,
    action: str,
    sessions: Mapping[str, Sessions],
    bounds: tuple[float, float],
    learned: Sequence[str] = (),
    begins: Sequence[str] = (),
    *,
    unseen: bool = False,
) -> Probe:
    """Apply the rule to what was played.

    :param sessions: of ``random``, ``constant`` and others, on the same users.
    :param bounds: the lowest and the highest reward that a step gave, or can give.
    :param learned: policies that look at users: policies, an oracle.
    :param begins: names of the items with which the constant list begins.
    :param unseen: whether the log that the users were fitted to says nothing of the first of them.
    """
    lowest, highest = bounds
    span = max(highest - lowest, 1e-12)
    made = {name: earned(each) for name, each in sessions.items()}
    shares = {
        name: Interval(*((end - lowest) / span for end in each[RATE]))
        for name, each in made.items()
    }
    returns = {name: each[RETURN].mean for name, each in made.items()}
    much = shares[CONSTANT].low > TIMES * shares[RANDOM].mean
    best = max(learned, key=returns.__getitem__, default=None)
    constant = max(returns[name] for name in (CONSTANT, LASTING) if name in made)
    level = best is not None and constant >= returns[best]
    beyond = unseen and shares[CONSTANT].low > UNSEEN_TIMES * shares[RANDOM].mean
    hole = beyond or (much and (shares[CONSTANT].mean >= HALF or level))
    said = [_hole(action, made, shares, highest) if hole else _cleared(action, made, best)]
    if best is not None and level:
        said.append(
            f"A constant {action} earns {constant:.3g} a session, no less than {best} "
            f"({returns[best]:.3g}), which looks at users."
        )
    if hole and begins:
        said.append(f"The list begins with {', '.join(begins)}.")
    if beyond:
        said.append(
            f"The log that these users were fitted to says nothing of {begins[0]}: what it earns "
            "here is not borne out."
        )
    if hole:
        said.append("Returns in this simulator prove nothing about personalisation.")
    repeats = None
    if UNREPEATED in sessions:
        users = per_user(sessions[CONSTANT], sessions[UNREPEATED])
        repeats = function_interval(lambda m: m[0] / m[1] - m[2] / m[3], users).low > 0
        pays = "this simulator pays for repeats, so judge in the mode no-repeats as well"
        said.append(
            f"The same list over and over earns {made[CONSTANT][RATE].mean:.3g} a step, and "
            f"without repeats {made[UNREPEATED][RATE].mean:.3g}: "
            f"{pays if repeats else 'repeats do not pay'}."
        )
    verdict = " ".join(said)
    return Probe(simulator, mode, action, made, shares, lowest, highest, hole, repeats, verdict)


def _hole(action: str, made: Mapping[str, Earned], shares: Earned, highest: float) -> str:
    times = shares[CONSTANT].mean / max(shares[RANDOM].mean, 1e-12)
    less = f"{times:.0f} times less" if times < 1e6 else "nothing"
    return (
        f"A single constant {action} for everybody reaches {shares[CONSTANT].mean:.3f} of the "
        f"highest reward of a step ({made[CONSTANT][RATE].mean:.3g} of {highest:.3g}); "
        f"random reaches {shares[RANDOM].mean:.3f}, {less}."
    )


def _cleared(action: str, made: Mapping[str, Earned], best: str | None) -> str:
    rate = {name: f"{each[RATE].mean:.3g}" for name, each in made.items()}
    others = f"random {rate[RANDOM]}" + (f" and {best} {rate[best]}" if best is not None else "")
    return (
        f"No hole was found: the best constant {action} that was found earns {rate[CONSTANT]} a "
        f"step, {others}. A search that finds nothing is no proof that there is nothing."
    )
