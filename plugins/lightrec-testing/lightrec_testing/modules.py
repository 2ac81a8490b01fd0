"""The contracts of modules that read histories: user towers and rewards."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NoReturn

import polars as pl
import torch
from tensordict import TensorDict
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import FEATURES, PADDING, Key, Reward, RewardContext, UserTower
from lightrec_testing import tiny
from lightrec_testing.contract import ContractError, DoesNotApply, Faults, Note, promise
from lightrec_testing.invariants import BatchChecks, HistoryChecks, differences, drawn_histories

READ = (Key.USER, Key.HISTORY, Key.ACTION, Key.STEP, Key.ACCEPTED_TOTAL, Key.TAKEN, Key.VALUE)
"""Keys of transitions, of which checks say which ones a reward depends on."""
FEATURE_SIZE = 4
"""Features of a state that rewards which learn are tried on."""
Form = tuple[tuple[int, ...], torch.dtype]


class TowerChecks(BatchChecks):
    """The checks of a user tower.

    :param make: builds a fresh tower, such as its class, as a ranker does: with the width 16.
    """

    inputs, outputs = "histories", "vectors"
    passes = ("size",)

    def _ready(self) -> UserTower:
        tower = self.make(16)
        # Far from the start, where much is zero or the identity.
        for parameter in tower.parameters():
            parameter.data = parameter.data + 0.3 * torch.randn_like(parameter)
        return tower.eval()

    def _input(self, part: UserTower | None) -> TensorDict:
        return _histories(torch.randn(5, 7, 16), torch.tensor([0, 1, 2, 3, 7]))

    def _call(self, part: UserTower, histories: TensorDict) -> Tensor:
        # What stands at padding is meaningless, but must be finite: NaN and infinity survive this.
        return part(histories["x"], histories["present"]) * histories["present"].unsqueeze(-1)

    def _declared(self, part: UserTower, histories: TensorDict) -> Form:
        return histories["x"].shape, histories["x"].dtype

    def _learned(self, part: UserTower, histories: TensorDict) -> dict[str, Tensor]:
        return {**super()._learned(part, histories), "the input": histories["x"].requires_grad_()}

    def changed(self, places: slice) -> TensorDict:
        """Make the standard histories, with other items in some places."""
        histories = self.standard()
        histories["x"][:, places].normal_()
        return histories

    @promise(
        "Mask attention causally, run recurrences forwards, pool over the past alone, and let the "
        "length of the batch not enter."
    )
    def future(self) -> Faults:
        """A place's vector does not depend on later places, nor on whether there are any."""
        yield from self.differing(None, self.changed(slice(4, None)), lambda v: v[:, :4])
        x = self.standard()["x"]
        long, short = (_histories(some, torch.zeros(5)) for some in (x, x[:, :1]))
        yield from self.differing(long, short, lambda v: v[:, :1])

    @promise("Check that places are mixed along dimension 1, and that the mask does not hide all.")
    def past(self) -> Faults:
        """A place's vector depends on the places before it."""
        if not any(self.differing(None, self.changed(slice(5, 6)), lambda v: v[:, -1])):
            yield "The last vector stayed the same when the item before it changed."

    @promise(
        "Mask with `present`, since zeros at padding are not enough where biases are added; count "
        "places by their differences or from the first item, and start states there."
    )
    def padding(self) -> Faults:
        """Neither what stands at padding on the left changes a vector, nor how much there is."""
        histories = self.standard()
        present = histories["present"]
        other = torch.where(present.unsqueeze(-1), histories["x"], torch.randn(5, 7, 16))
        yield from self.differing(None, histories.clone().set("x", other))
        x, lead = torch.cat([torch.randn(5, 7, 16), other], 1), 7 + (~present).sum(1)
        yield from self.differing(None, _histories(x, lead), lambda v: v[:, -7:])

    @promise("Give from `last_only` what `forward` gives in the last place, or leave it out.")
    def last_only(self) -> Faults:
        """The last vectors alone are those that stand last among all."""
        self.must_be_steady()
        tower, histories = self._ready(), self.standard()
        last = tower.last_only(histories["x"], histories["present"]) * histories["present"][:, -1:]
        yield from differences(self.output(tower, histories)[:, -1], last)


@dataclass(eq=False)
class RewardChecks(HistoryChecks):
    """The checks of a reward.

    :param make: builds a fresh reward, such as its class.
    :param num_items: number of items N that the reward knows, 8 or more.
    :param context: makes what the reward is bound to. By default that is an ensemble of users and a
        log whose items have ``kind``, ``price`` and ``year``, and whose users have ``age``,
        ``country`` and ``member``.
    """

    inputs, outputs = "transitions", "rewards"
    sample = "context"
    hint = (
        "Sum over places, index tables with `slate.clamp_min(1)`, mask what came of 0 afterwards, "
        "and leave out what is 0 in the slate."
    )

    num_items: int = tiny.NUM_ITEMS
    context: Callable[[], RewardContext] = tiny.kit_context

    def _ready(self) -> Reward:
        reward: Reward = super()._ready()
        learner: Any = reward
        if _learns(reward):
            # As a learner does, which tells it how large its states and items are.
            vectors = torch.randn(self.num_items + 1, tiny.VECTOR_SIZE)
            reward = learner.fitted_to(FEATURE_SIZE, vectors, slate_size=3).eval()
        reward.bind(self.context())
        return reward

    def _input(self, part: Reward | None) -> TensorDict:
        history = drawn_histories(self.num_items)
        slate = torch.stack([torch.randperm(self.num_items)[:3] + 1 for _ in range(6)])
        row = torch.arange(6)
        step = (row % 3).unsqueeze(1)
        data = {Key.USER: row, Key.HISTORY: history, Key.ACTION: slate, Key.STEP: step}
        rows = TensorDict({**data, Key.ACCEPTED_TOTAL: (step + 1).float(), "next": {}}, [6])
        _answer(rows, torch.stack([row < 0, row % 2 == 0, row == 2], 1))
        if _learns(part):  # which also reads what learners add
            column, seen = row.unsqueeze(1), torch.randn(2, 6, FEATURE_SIZE)
            ends = {FEATURES: seen[1], Key.ABSORBING: column >= 4, "terminated": column == 1}
            rows[FEATURES], rows[Key.ABSORBING] = seen[0], column == 5
            rows[Key.LOG_PROBABILITY] = -3 * torch.rand(6)
            rows["next"].update(ends)
        return rows

    def _differentiable(self, part: Reward, transitions: TensorDict) -> Tensor:
        if _learns(part):
            learns = getattr(part, "losses", None)  # from demonstrations and what was played
            losses = learns(transitions, transitions.flip(0)) if learns else {}
            steps = [loss for name, loss in losses.items() if name.startswith("loss")]
            return torch.stack(steps).sum() if steps else part(transitions)
        return super()._differentiable(part, transitions)

    def _call(self, part: Reward, transitions: TensorDict) -> Tensor:
        try:
            return part(transitions)
        except KeyError as error:
            if "TensorDict" not in str(error):
                raise
            after = ", ".join(transitions["next"].keys()) or "nothing"
            raise ContractError(
                "A reward reads what every transition has, as docs/how-to/rewards.md lists it.",
                f"It asks for {str(error).split()[1]}, and there are "
                f"{', '.join(transitions.exclude('next').keys())}, and under `next` {after}",
                "Read these, and by `transition.get(key, None)` what only some simulators give.",
            ) from error

    def _declared(self, part: Reward, transitions: TensorDict) -> Form:
        return (len(transitions), 1), torch.float32

    def _odd(self, part: Reward) -> dict[str, TensorDict]:
        declined, empty = self.standard(part), self.standard(part)
        _answer(declined, declined[Key.TAKEN] & False)
        empty[Key.ACTION][:, 1:] = PADDING
        empty[Key.ACTION][0] = PADDING
        _answer(empty, empty[Key.TAKEN][:, [1, 0, 2]] & (empty[Key.ACTION] > PADDING))
        return {"a batch in which nothing is accepted": declined, "slates with empty places": empty}

    @promise("Read it with `self.taken(transition)`.")
    def taken_under_next(self) -> Faults:
        """`taken` is read at the root and under `next` alike."""
        rows = self.standard(self.make())
        for alone in (rows.exclude(Key.TAKEN), rows.exclude(("next", Key.TAKEN))):
            yield from self.differing(rows, alone)
        others, shown = {key: rows.clone() for key in READ}, rows.clone()
        for key in READ[:-1]:
            others[key][key] = rows[key].roll(1, 0)
        others[READ[-1]]["next", Key.VALUE].mul_(2)
        _answer(others[Key.TAKEN], rows[Key.TAKEN].roll(1, 0))
        shown[Key.ACTION] = torch.where(rows[Key.TAKEN], rows[Key.ACTION], PADDING)
        others["what is only shown"] = shown
        if depends := [what for what in others if any(self.differing(rows, others[what]))]:
            yield Note(f"It depends on {', '.join(depends)}.")

    @promise("The attribute of item number n is in row n - 1: put one for padding before them.")
    def renumbered(self) -> Faults:
        """A reward by attributes stays as it is where items have other numbers."""
        self.must_be_steady()
        context, rows = Reordered(self.context()), self.standard(reward := self.make())
        reward.bind(context)
        if not context.asked or next(reward.parameters(), None) is not None:
            raise DoesNotApply("It reads no attribute of items, or learns what items are worth.")
        moved = rows.clone()
        for key in (Key.HISTORY, Key.ACTION):
            moved[key] = context.numbers[rows[key]]
        yield from differences(self.output(self._ready(), rows), self.output(reward, moved))


class Reordered(RewardContext):
    """A run whose items stand in another order, for rewards that read nothing but attributes."""

    def __init__(self, whole: RewardContext) -> None:
        super().__init__(discount=whole.discount, fitted_ends=whole.fitted_ends)
        self.whole, self.asked, self.numbers = whole, False, torch.zeros(0)

    def _numbered(self) -> NoReturn:
        raise DoesNotApply("It goes by a user model or a log, in which items keep their numbers.")

    users = store = property(_numbered)

    def item_attribute(self, name: str) -> pl.Series:
        """An attribute of the items in their other order."""
        values, self.asked = self.whole.item_attribute(name), True
        order = torch.arange(len(values)).flip(0)
        self.numbers = pad(order.argsort() + 1, (1, 0))
        return values.gather(order.numpy())

    def user_attribute(self, name: str) -> pl.Series:
        """An attribute of the users."""
        return self.whole.user_attribute(name)


def _answer(rows: TensorDict, taken: Tensor) -> None:
    """Write which items (B, K) were taken, at the root and under `next`, and their values there."""
    rows[Key.TAKEN] = rows["next", Key.TAKEN] = taken
    rows["next", Key.VALUE] = taken * (1 + 0.5 * torch.arange(taken.shape[1]))


def _learns(reward: Any) -> bool:
    """Whether a reward learns as it is played; most do not, and need no Lightning."""
    playing = sys.modules.get("lightrec.learners.playing")
    return playing is not None and isinstance(reward, playing.LearnableReward)


def _histories(x: Tensor, padding: Tensor) -> TensorDict:
    """Make histories of items (B, L, D) that begin with some places (B,) of padding."""
    present = torch.arange(x.shape[1]) >= padding.unsqueeze(1)
    return TensorDict({"x": x, "present": present}, [len(x)])
