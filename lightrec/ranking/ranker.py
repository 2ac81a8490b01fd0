"""The ranker: item tower, user tower, the score of every item, and which items are alike."""

from collections.abc import Callable, Mapping
from typing import Final, Literal, TypeAlias

import torch
from torch import Tensor, nn

from lightrec.blame import blaming
from lightrec.encoders.base import unit_vectors
from lightrec.errors import RunError
from lightrec.keys import PADDING, Key
from lightrec.nn.item_tower import ItemTower
from lightrec.nn.part import Part
from lightrec.nn.precision import at_least_float32, full_precision
from lightrec.nn.towers import CausalTransformer, UserTower
from lightrec.ranking.scorers import Details

Likeness: TypeAlias = Literal["both", "words"]
WORDS: Final = 0.5
"""Weight of the cosine of texts next to that of the ranker's vectors. On MovieLens-100K a user's
next film is among the ten that are like the last one in 13.2 % of cases, as without the texts (13.3
%; popularity 4.4 %, texts alone 4.6 %), and the lists keep to the last one's kind and series."""


class Ranker(Part):
    """Scores items for histories: user vector · item vector, plus an item's bias.

    :param num_items: number of items N.
    :param vector_size: length of text vectors; 0 where there are none.
    :param size: length D of user and item vectors.
    :param tower: makes a user tower of width D; None for a CausalTransformer.
    :param max_length: how many of a history's last items are read.
    :param use_ids: whether items have id embeddings.
    :param feedback_kinds: kinds of feedback of a history's events that are told apart; 0 for none.
    :param gaps: buckets of the gaps between events that are told apart; 0 for none.
    :raises PluginError: where the user tower cannot be built.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int = 0,
        size: int = 64,
        tower: Callable[[int], UserTower] | None = None,
        max_length: int = 50,
        use_ids: bool = True,
        feedback_kinds: int = 0,
        gaps: int = 0,
    ) -> None:
        super().__init__()
        self.num_items, self.size, self.max_length = num_items, size, max_length
        self.items = ItemTower(num_items, size, vector_size, use_ids)
        with blaming(self, "build its user tower"):
            self.users = (tower or CausalTransformer)(size)
        self.bias = nn.Parameter(torch.zeros(num_items + 1))
        # Zeros draw nothing, so that all else starts as it does without. Row 0, of what is not
        # known, stays zero.
        self.feedback = (
            nn.Parameter(torch.zeros(feedback_kinds + 1, size)) if feedback_kinds else None
        )
        self.asked = nn.Parameter(torch.zeros(feedback_kinds + 1, size)) if feedback_kinds else None
        if feedback_kinds:
            self.register_buffer("asks", torch.zeros((), dtype=torch.int64))
        self.gaps = nn.Parameter(torch.zeros(gaps + 1, size)) if gaps else None

    asks: Tensor
    """The kind of feedback asked for, () int64; 0 for none. Only where feedback is told apart."""

    def states(self, history: Tensor, details: Details = None) -> Tensor:
        """Read histories.

        At each position the tower reads the item's vector plus one of its feedback and one of the
        gap before it. What is not known adds nothing, and neither does what the ranker was not
        made to tell apart. To what the tower says is added a vector of the kind of event that is
        asked for: in training that of the next event, else that of the goal, if there is one.

        :param history: (B, L) int64, padded on the left, at most ``max_length`` long.
        :param details: of which ``Key.FEEDBACK``, ``Key.GAP`` and ``Key.ASKED`` are read, where
            they are known.
        :returns: (B, L, D): at each position the user vector after that item.
        """
        context = details or {}
        states: Tensor = self.users(*self._read(history, context))
        if self.asked is None:
            return states
        kinds = context.get(Key.ASKED, self.asks.expand(history.shape))
        return states + nn.functional.embedding(kinds, self.asked, padding_idx=0)

    def _read(
        self, history: Tensor, details: Mapping[str, Tensor], vectors: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Input of the user tower: vectors (B, L, D), and where there is anything (B, L)."""
        read = self.items(history) if vectors is None else vectors
        for key, table in ((Key.FEEDBACK, self.feedback), (Key.GAP, self.gaps)):
            if table is not None and key in details:
                read = read + nn.functional.embedding(details[key], table, padding_idx=0)
        return read * self.size**0.5, (history != PADDING).expand(read.shape[:2])

    def user_vectors(
        self, history: Tensor, details: Details = None, vectors: Tensor | None = None
    ) -> Tensor:
        """User vectors.

        The arguments are those of :meth:`states`, of any L; only the last ``max_length`` positions
        are read.

        :param vectors: (B, ``max_length`` or L, D) in place of the vectors of the items read.
        :returns: (B, D); zeros for an empty history, which then scores items by bias alone.
        """
        last = slice(-self.max_length, None)
        context = details or {}
        read = {key: context[key][:, last] for key in (Key.FEEDBACK, Key.GAP) if key in context}
        users = self.users.last_only(*self._read(history[:, last], read, vectors))
        if self.asked is not None:
            # Not its len, which an export would take for one number for good.
            kinds = self.asks.expand(users.shape[0])
            users = users + nn.functional.embedding(kinds, self.asked, padding_idx=0)
        return users * (history[:, -1:] != PADDING)

    def item_vectors(self) -> Tensor:
        """All item vectors, (N + 1, D), row 0 zero."""
        return self.items()

    def scores(
        self,
        histories: Tensor,
        users: Tensor | None = None,
        *,
        details: Details = None,
        items: Tensor | None = None,
    ) -> Tensor:
        """Score all items; see :class:`~lightrec.ranking.scorers.ItemScorer`.

        :param details: as for :meth:`states`; a ``Key.USER_VECTOR`` among them, (B, D), is taken
            for what :meth:`user_vectors` gives.
        :param items: (N + 1, D) what :meth:`item_vectors` gave, to compute it only once.
        :returns: (B, N + 1) logits, higher is better; column 0 is -inf.
        """
        table = self.item_vectors() if items is None else items
        vectors = (details or {}).get(Key.USER_VECTOR)
        if vectors is None:
            vectors = self.user_vectors(histories, details)
        # With fewer bits many scores would be equal, and nothing could be ranked by them.
        with full_precision(histories.device):
            vectors, table = at_least_float32(vectors, table)
            scores = vectors @ table.T
        scores = scores + self.bias
        return scores.index_fill(1, torch.tensor([PADDING], device=scores.device), -torch.inf)


@torch.no_grad()
def likeness(ranker: Ranker, counts: Tensor, item: int, by: Likeness = "both") -> Tensor:
    """Say how alike an item and all others are.

    Cosines of centred vectors: the ranker's, which lie near each other where people choose near
    each other, plus :data:`WORDS` times those of texts. Nothing was learned of an item without
    events: its text alone speaks.

    :param counts: (N + 1,) training events of each item.
    :param item: 1 to N.
    :param by: ``words`` for the texts alone.
    :returns: (N + 1,) float32, at most 1; column 0 and the item itself are -inf.
    :raises RunError: where texts are asked for, or alone could tell, and the ranker reads none.
    """
    warm = counts > 0
    texts, said = None, ranker.items.vectors
    if said.any():
        units = unit_vectors(said)
        texts = units @ units[item]
    if texts is None and (by == "words" or not warm[item]):
        why = "Words are asked for" if by == "words" else "The item has no events to compare it by"
        raise RunError(
            f"{why}, and the ranker reads no texts: give its recipe a text encoder, and the log an "
            "item table."
        )
    if texts is None or (by == "both" and warm[item]):
        units = unit_vectors(ranker.item_vectors() * warm[:, None])
        chosen = units @ units[item]
        both = chosen if texts is None else (chosen + WORDS * texts) / (1 + WORDS)
        texts = both.where(warm, -torch.inf if texts is None else texts)
    return texts.index_fill(0, torch.tensor([PADDING, item]), -torch.inf)
