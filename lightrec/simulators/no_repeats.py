"""A simulator in which nothing is shown twice in a session, made of any simulator of items."""

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import Bounded, TensorSpec

from lightrec.keys import PADDING, Key
from lightrec.simulators.base import Simulator
from lightrec.simulators.wrapped import Wrapped


class NoRepeats(Wrapped):
    """A simulator that takes what was shown in a session out of its mask or its offers.

    Users, laws and chance are the simulator's. A session is cut where nothing is left to show. The
    state has one key more where offers are made: ``seen`` (B, max_steps · K) int64, what was shown,
    0 for steps to come. An offer that shrinks stays as long as it was, filled up with 0.

    :param base: the simulator.
    """

    base: Simulator

    def __init__(self, base: Simulator) -> None:
        specs: dict[str, TensorSpec] = {}
        if base.offer_size is not None:
            shape = (*base.batch_size, base.max_steps * base.slate_size)
            specs[Key.SEEN] = Bounded(
                0, base.num_items, shape, dtype=torch.int64, device=base.device
            )
        super().__init__(base, specs)
        self.repeats = False

    def first_state(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin as the simulator does, nothing shown yet."""
        state = super().first_state(rows, session)
        if self.offer_size is not None:
            places = self.max_steps * self.slate_size
            state[Key.SEEN] = session.new_zeros(len(session), places)
        return state

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        following = self.base._step(tensordict)
        slate = tensordict[Key.ACTION]
        if self.offer_size is None:
            none_shown = torch.zeros_like(slate, dtype=torch.bool)
            following[Key.MASK] = mask = following[Key.MASK].scatter(1, slate, none_shown)
            left = mask.any(1, keepdim=True)
        else:
            columns = torch.arange(self.slate_size, device=slate.device)
            places = tensordict[Key.STEP] * self.slate_size + columns
            following[Key.SEEN] = seen = tensordict[Key.SEEN].scatter(1, places, slate)
            following[Key.CANDIDATES] = offer = self._without(following[Key.CANDIDATES], seen)
            left = offer[:, :1] > PADDING
        over = following["truncated"] | (~left & ~following["terminated"])
        return following.update({"truncated": over, "done": over | following["terminated"]})

    def _without(self, candidates: Tensor, seen: Tensor) -> Tensor:
        """Take items out of offers (B, C) and fill these up on the right."""
        known = torch.zeros(
            len(seen), self.num_items + 1, dtype=torch.bool, device=seen.device
        ).scatter_(1, seen, True)
        left = candidates.masked_fill(known.gather(1, candidates), PADDING)
        order = (left == PADDING).to(torch.int8).sort(dim=1, stable=True).indices
        return left.gather(1, order)
