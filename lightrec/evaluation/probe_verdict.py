"""Whether a simulator pays for behaviour that no real user would reward: a rule and its verdict.

The rule. Let the share of a contender be its reward per step on the scale where the lowest reward
that a step gave is 0 and the highest 1. A simulator has a hole where a constant action for
everybody (a list, one item, a vector of weights)

1. has more than ten times the share of random actions, with the lower end of its interval, and
2. has half of the highest reward or more, or earns a session no less than the best policy or oracle
   beside it.

A real shop may well have a popular item that does ten times as well as a random one; it has none
that half of all people take whenever it is shown. And a policy that is no better than one list for
everybody, where items differ that much, has learned nothing of anybody. Where rewards are never far
from each other, as with ratings, the first part cannot be fulfilled: there the verdict says only
what was seen.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch

from lightrec.evaluation.judging import Earned, earned, per_user
from lightrec.intervals import Interval, function_interval
from lightrec.simulators.rollout import Sessions

TIMES = 10.0
"""How many times the share of random actions is suspicious."""
HALF = 0.5
"""Which share of the highest reward is suspicious."""
RANDOM, CONSTANT = "random", "constant"
"""Names of contenders: drawn evenly; the constant action that earns most a step."""
LASTING, UNREPEATED = "constant, by session", "constant, no repeats"
"""The list that earns most a session, if it is another one; the constant list without repeats."""


@dataclass(frozen=True)
class Probe:
    """What a probe found.

    :param simulator: its name.
    :param mode: of judging.
    :param action: what is constant, in words, such as ``list of items``.
    :param earned: by contender, with 95 % intervals by user.
    :param shares: reward per step on the scale of the lowest and the highest reward of a step.
    :param lowest: reward that any step of any contender gave.
    :param highest: likewise.
    :param hole: whether the rule says that there is one.
    :param pays_for_repeats: whether the same list over and over earns more a step than without
        repeats; None where a list cannot be shown over and over.
    :param verdict: all this in whole sentences.
    """

    simulator: str
    mode: str
    action: str
    earned: Mapping[str, Earned]
    shares: Mapping[str, Interval]
    lowest: float
    highest: float
    hole: bool
    pays_for_repeats: bool | None
    verdict: str


def judge_probe(
    simulator: str,
    mode: str,
    action: str,
    sessions: Mapping[str, Sessions],
    bounds: tuple[float, float],
    learned: Sequence[str] = (),
) -> Probe:
    """Apply the rule to what was played.

    :param sessions: of ``random``, ``constant`` and others, on the same users.
    :param bounds: the lowest and the highest reward that a step gave, or can give.
    :param learned: contenders that look at users: policies, an oracle.
    """
    lowest, highest = bounds
    span = max(highest - lowest, 1e-12)
    made = {name: earned(each) for name, each in sessions.items()}
    shares = {
        name: Interval(*((end - lowest) / span for end in each.reward_per_step))
        for name, each in made.items()
    }
    much = shares[CONSTANT].low > TIMES * shares[RANDOM].mean
    best = max(learned, key=lambda name: made[name].returns.mean, default=None)
    constant = max(made[name].returns.mean for name in (CONSTANT, LASTING) if name in made)
    level = best is not None and constant >= made[best].returns.mean
    hole = much and (shares[CONSTANT].mean >= HALF or level)
    said = [_hole(action, made, shares, highest) if hole else _cleared(action, made, best)]
    if level:
        said.append(
            f"A constant {action} earns {constant:.3g} a session, no less than {best} "
            f"({made[best or ''].returns.mean:.3g}), which looks at users."
        )
    if hole:
        said.append("Returns in this simulator prove nothing about personalisation.")
    repeats = None
    if UNREPEATED in sessions:
        repeats = _gain(sessions[CONSTANT], sessions[UNREPEATED]).low > 0
        said.append(_of_repeats(made, pays=repeats))
    verdict = " ".join(said)
    return Probe(simulator, mode, action, made, shares, lowest, highest, hole, repeats, verdict)


def _gain(own: Sessions, other: Sessions) -> Interval:
    users = torch.cat([per_user(own), per_user(other)], 1)
    return function_interval(lambda mean: mean[0] / mean[1] - mean[2] / mean[3], users)


def _hole(
    action: str, made: Mapping[str, Earned], shares: Mapping[str, Interval], highest: float
) -> str:
    times = shares[CONSTANT].mean / max(shares[RANDOM].mean, 1e-12)
    less = f"{times:.0f} times less" if times < 1e6 else "nothing"
    return (
        f"A single constant {action} for everybody reaches {shares[CONSTANT].mean:.3f} of the "
        f"highest reward of a step ({made[CONSTANT].reward_per_step.mean:.3g} of {highest:.3g}); "
        f"random reaches {shares[RANDOM].mean:.3f}, {less}."
    )


def _cleared(action: str, made: Mapping[str, Earned], best: str | None) -> str:
    rate = {name: f"{each.reward_per_step.mean:.3g}" for name, each in made.items()}
    others = f"random {rate[RANDOM]}" + (f" and {best} {rate[best]}" if best is not None else "")
    return (
        f"No hole was found: the best constant {action} that was found earns {rate[CONSTANT]} a "
        f"step, {others}. A search that finds nothing is no proof that there is nothing."
    )


def _of_repeats(made: Mapping[str, Earned], *, pays: bool) -> str:
    same, other = (made[name].reward_per_step.mean for name in (CONSTANT, UNREPEATED))
    text = f"The same list over and over earns {same:.3g} a step, and without repeats {other:.3g}"
    if pays:
        return f"{text}: this simulator pays for repeats, so judge in the mode no-repeats as well."
    return f"{text}: repeats do not pay."
