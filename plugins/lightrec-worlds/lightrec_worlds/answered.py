"""`AnsweredWorld`: people whose answers are known play, so that nobody is simulated."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import polars as pl
import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import TensorSpec

from lightrec.api import Catalog, Column, Key, Response, Users, World, noise
from lightrec.simulators.base import State
from lightrec_worlds.answers import Answers, Part
from lightrec_worlds.loadings import Loadings

ANSWERS = "answers"
"""(B, ``max_steps`` · K) float32: answers to the items of the key ``seen``, in its order."""


class AnsweredWorld(World):
    """Real people, each asked in a session of given length what is known that they answered.

    Nothing is drawn: an item is taken where its answer is above 0, and every answer, a decline's
    too, is paid as it is. What a person never answered is not shown to them, and nothing is shown
    twice in a session. **Nobody leaves**: the tables say nothing of leaving or coming back.

    Policies see the ``history`` of what was taken, ``seen`` and ``answers``, which hold what was
    declined as well, and items as ``item_vectors`` (N + 1, ``size`` + 1): mean answer and loadings
    of a factor model of the people who may be learned from, see
    :class:`~lightrec_worlds.loadings.Loadings`.

    :param batch_size: sessions B. User u, as ``fix`` is given, is person u modulo their number;
        other sessions are those of people drawn evenly.
    :param log: answers, or a file of them, see :meth:`~lightrec_worlds.answers.Answers.read`.
    :param items: a table of the items.
    :param likes: an answer of at least so much is a like, worth 1, and a smaller one a decline,
        worth 0; None: answers are worth what they say.
    :param part: people who play: ``known`` ones, of whom one may learn, ``new`` ones, or ``all``.
    :param share: of the people, who are known.
    :param split: seed of the draw of known people.
    :param size: factors of the items' vectors.
    :param caution: factor on the noise of the factor model: above 1 where answers say less than it
        has it, such as yes and no, which are not normal.
    :param even: whether the factor model has the same noise for all items.
    :param settings: of :class:`~lightrec.simulators.base.Simulator`.
    """

    endings = ("fixed",)  # type: ignore[assignment]
    changes_mask = True

    def __init__(
        self,
        batch_size: int,
        *,
        log: str | Answers,
        items: str | None = None,
        likes: float | None = None,
        part: Part = "new",
        share: float = 0.5,
        split: int = 0,
        size: int = 8,
        caution: float = 1.0,
        even: bool = False,
        max_steps: int = 20,
        **settings: Any,
    ) -> None:
        table = log if isinstance(log, Answers) else Answers.read(log, items)
        if likes is not None:
            liked = (table.values >= likes).float()
            table = replace(table, values=liked.masked_fill(table.values.isnan(), torch.nan))
        self.known = table.part("known", share, split)
        self.table = table.part(part, share, split)
        self.loadings = Loadings.of(self.known.values, size, even).cautious(caution)
        super().__init__(
            torch.cat([self.loadings.mean[:, None], self.loadings.weights], 1).float(),
            batch_size,
            latent={},
            max_steps=max_steps,
            ending="fixed",
            **settings,
        )
        self.values = self.table.values.to(self.device).nan_to_num()
        self.may_be_shown = ~self.table.values.to(self.device).isnan()

    def own_specs(self) -> dict[str, TensorSpec]:
        """Announce the answers beside what every world announces."""
        places = self.max_steps * self.slate_size
        return {ANSWERS: self._numbers(places), Key.TRUE_REWARD: self._numbers(1)}

    def start(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin sessions of given people, or of people drawn evenly."""
        count = len(self.table.people)
        if self.given is None:
            people = noise.below(noise.mix(session, 0), count).squeeze(1)
        else:
            people = self.given[0][rows].to(self.device) % count
        state = {Key.USER: people, Key.MASK: self.may_be_shown[people]}
        return TensorDict(state, [len(rows)], self.device)

    def begin(self, session: Tensor) -> dict[str, State]:
        """Nothing is latent."""
        return {}

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Answer every item of the slate as the person did."""
        value = self.values[state[Key.USER].unsqueeze(1), slate] * (slate > 0)
        taken = value > 0
        places = state[Key.STEP] * self.slate_size
        places = places + torch.arange(self.slate_size, device=slate.device)
        changed: Mapping[str, State] = {
            ANSWERS: state[ANSWERS].scatter(1, places, value),
            Key.TRUE_REWARD: value.sum(1, keepdim=True),
        }
        return Response(taken, value * taken, torch.zeros_like(taken[:, 0]), changed)

    def oracle(self, state: TensorDictBase) -> Tensor:
        """Score by the answers themselves, which is the best possible."""
        return self.values[state[Key.USER]]

    greedy = oracle

    def catalog(self) -> Catalog:
        """The items as their table says."""
        return self.table.catalog

    def people(self) -> Users:
        """The people who play, by their names."""
        return Users(pl.DataFrame({Column.USER: self.table.people}))
