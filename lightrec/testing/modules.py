"""The contracts of modules that give numbers: encoders, user towers, rewards."""

import pickle
import tempfile
from collections.abc import Callable, Sequence
from operator import index
from pathlib import Path
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor

from lightrec.encoders.base import Encoder, TrainableEncoder
from lightrec.keys import PADDING, Key
from lightrec.learners.playing import LearnableReward
from lightrec.learners.transitions import FEATURES
from lightrec.nn.towers import UserTower
from lightrec.rewards.base import Reward, RewardContext
from lightrec.testing import tiny
from lightrec.testing.contract import DoesNotApply, Faults, promise, run_python
from lightrec.testing.invariants import BatchChecks, HistoryChecks, differences, importable

FEATURE_SIZE = 4
"""Features of a state that rewards which learn are tried on."""
Form = tuple[tuple[int, ...], torch.dtype]

# From short to long, so that an encoder that batches by length leaves this order.
TEXTS = ["", "tea", "a red lamp", "rope for a boat", "a song of tea and rope", "lamp " * 9]
ODD_TEXTS: dict[str, list[str]] = {
    "a text without words": [""],
    "no texts": [],
    "a long text": ["tea", "a very long story of tea and rope " * 500],
    "texts in any script": [
        *("naïve café", "🍵🎣 👩‍👩‍👧", "שלום עולם", "茶とロープ", "a\tb\nc", "𝔱𝔢𝔞", "\u200b")
    ],
}
_ELSEWHERE = """import pickle, sys, torch
encoder, values = pickle.load(open(sys.argv[1], "rb"))
torch.save(encoder.encode(values), sys.argv[1])"""


class EncoderChecks(BatchChecks):
    """The checks of an encoder.

    :param make: builds a fresh encoder, such as its class.
    :param values: what it reads where that is no text: five or more, such as paths of pictures.
    """

    base, inputs, outputs = Encoder, "texts", "vectors"
    hint = (
        "Give the vectors' length as `size`, an int; treat a text without words on its own, for "
        "example by a vector of zeros, return `torch.zeros(0, self.size)` where there are no "
        "texts, cut what is too long, and count what is not known as one unknown word, or as none."
    )

    def __init__(
        self,
        make: Callable[..., Encoder],
        part: str | None = None,
        values: Sequence[Any] | None = None,
    ) -> None:
        super().__init__(make, part)
        self.values = list(TEXTS if values is None else values)
        self.odd = ODD_TEXTS if values is None else {"no values": []}

    def _input(self, part: Encoder) -> list[Any]:
        return list(self.values)

    def _call(self, part: Encoder, texts: list[Any]) -> Tensor:
        return part.encode(texts)

    def _differentiable(self, part: Encoder, texts: list[Any]) -> Tensor:
        if isinstance(part, TrainableEncoder):
            return part(part.tokenize(texts))
        return part.encode(texts)

    def _learned(self, part: Encoder, texts: list[Any]) -> dict[str, Tensor]:
        self._differentiable(part, texts)  # weights may be loaded when they are first needed
        return super()._learned(part, texts)

    def _declared(self, part: Encoder, texts: list[Any]) -> Form:
        return (len(texts), index(part.size)), torch.float32

    def _odd(self, part: Encoder) -> dict[str, list[Any]]:
        return self.odd

    @promise("Check that the texts reach the computation, and that nothing multiplies them by 0.")
    def different_texts(self) -> Faults:
        """Different texts have different vectors."""
        vectors = self.output(self._ready(), self.values[1:])
        if not any(differences(vectors, vectors[:1].expand_as(vectors))):
            yield f"All of {len(self.values) - 1} different texts have the same one."

    @promise(
        "Save or load when first needed all that `encode` uses, and do not use Python's `hash` of "
        "strings, which differs by process; take `zlib.crc32`."
    )
    def another_process(self) -> Faults:
        """An encoder that was pickled gives the same vectors in another process."""
        encoder, error = self._ready(), "ModuleNotFoundError"
        with tempfile.TemporaryDirectory() as folder:
            file = Path(folder, "encoder")
            if importable(type(encoder)):
                file.write_bytes(pickle.dumps((encoder, self.values)))
                error = run_python(_ELSEWHERE, str(file))[1]
            if error.startswith(("ModuleNotFoundError", "AttributeError: Can't get attribute")):
                raise DoesNotApply("The encoder's class cannot be imported in another process.")
            if error:
                yield f"There it raised {error}."
            yield from differences(torch.load(file), self.output(encoder))


class TowerChecks(BatchChecks):
    """The checks of a user tower.

    :param make: builds a fresh tower, such as its class, as a ranker does: with the width 16.
    """

    base, inputs, outputs = UserTower, "histories", "vectors"
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


class RewardChecks(HistoryChecks):
    """The checks of a reward.

    :param make: builds a fresh reward, such as its class.
    :param num_items: number of items N that the reward knows, 8 or more.
    :param context: makes what the reward is bound to. By default that is an ensemble of users and a
        log whose items have ``kind``, ``price`` and ``year``, and whose users have ``age``,
        ``country`` and ``member``.
    """

    base, inputs, outputs = Reward, "transitions", "rewards"
    hint = (
        "Sum over places, index tables with `slate.clamp_min(1)`, mask what came of 0 afterwards, "
        "and leave out what is 0 in the slate."
    )

    def __init__(
        self,
        make: Callable[..., Reward],
        num_items: int = tiny.NUM_ITEMS,
        context: Callable[[], RewardContext] = tiny.kit_context,
        part: str | None = None,
    ) -> None:
        super().__init__(make, part)
        self.num_items, self.context = num_items, context

    def _ready(self) -> Reward:
        reward: Reward = super()._ready()
        if isinstance(reward, LearnableReward):
            # As a learner does, which tells it how large its states and items are.
            vectors = torch.randn(self.num_items + 1, tiny.VECTOR_SIZE)
            reward = reward.fitted_to(FEATURE_SIZE, vectors, slate_size=3).eval()
        reward.bind(self.context())
        return reward

    def _input(self, part: Reward | None) -> TensorDict:
        history = torch.randint(1, self.num_items + 1, (6, 8))
        history = history * (torch.arange(8) >= torch.tensor([0, 1, 2, 3, 4, 8]).unsqueeze(1))
        slate = torch.stack([torch.randperm(self.num_items)[:3] + 1 for _ in range(6)])
        row = torch.arange(6)
        taken = torch.stack([row < 0, row % 2 == 0, row == 2], 1)
        data = {Key.USER: row, Key.HISTORY: history, Key.ACTION: slate, Key.TAKEN: taken}
        rows = TensorDict(data, [6])
        if isinstance(part, LearnableReward):  # which also reads what learners add
            column, seen = row.unsqueeze(1), torch.randn(2, 6, FEATURE_SIZE)
            ends = {FEATURES: seen[1], Key.ABSORBING: column >= 4, "terminated": column == 1}
            rows[FEATURES], rows[Key.ABSORBING] = seen[0], column == 5
            rows[Key.LOG_PROBABILITY] = -3 * torch.rand(6)
            rows["next"] = TensorDict(ends, [6])
        return rows

    def _differentiable(self, part: Reward, transitions: TensorDict) -> Tensor:
        if isinstance(part, LearnableReward):
            learns = getattr(part, "losses", None)  # from demonstrations and what was played
            losses = learns(transitions, transitions.flip(0)) if learns else {}
            steps = [loss for name, loss in losses.items() if name.startswith("loss")]
            return torch.stack(steps).sum() if steps else part(transitions)
        return super()._differentiable(part, transitions)

    def _call(self, part: Reward, transitions: TensorDict) -> Tensor:
        return part(transitions)

    def _declared(self, part: Reward, transitions: TensorDict) -> Form:
        return (len(transitions), 1), torch.float32

    def _odd(self, part: Reward) -> dict[str, TensorDict]:
        declined, empty = self.standard(part), self.standard(part)
        declined[Key.TAKEN] = declined[Key.TAKEN] & False
        empty[Key.ACTION][:, 1:] = PADDING
        empty[Key.ACTION][0] = PADDING
        empty[Key.TAKEN] = empty[Key.TAKEN][:, [1, 0, 2]] & (empty[Key.ACTION] > PADDING)
        return {"a batch in which nothing is accepted": declined, "slates with empty places": empty}

    @promise("Read it with `self.taken(transition)`.")
    def taken_under_next(self) -> Faults:
        """`taken` is read at the root and under `next` alike."""
        rows = self.standard(self.make())
        nested = rows.exclude(Key.TAKEN).set(("next", Key.TAKEN), rows[Key.TAKEN])
        yield from self.differing(rows, nested)


def _histories(x: Tensor, padding: Tensor) -> TensorDict:
    """Make histories of items (B, L, D) that begin with some places (B,) of padding."""
    present = torch.arange(x.shape[1]) >= padding.unsqueeze(1)
    return TensorDict({"x": x, "present": present}, [len(x)])
