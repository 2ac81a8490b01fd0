"""A ranker and item models as one recommender: a log-linear blend."""

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import torch
from safetensors.torch import load_file
from torch import Tensor, nn

from lightrec.blame import provider
from lightrec.data.files import save_tensors
from lightrec.errors import PluginError
from lightrec.keys import PADDING, Key
from lightrec.ranking.blend_weights import LIKELIHOOD, Choice
from lightrec.ranking.item_models.base import ItemModel
from lightrec.ranking.ranker import Ranker
from lightrec.ranking.reranker import Reranker
from lightrec.ranking.scorers import Details
from lightrec.trust import built

DESCRIPTION: Final = "blend.json"
TENSORS: Final = "blend.safetensors"
RANKER: Final = "ranker"
RERANKER: Final = "reranker"
HELD: Final = 1 << 26
"""Scores of parts, all events' and all items', that are held at once."""
COPIES: Final = 8
"""Tables of all items' scores that exist at once where events are ranked."""


class Blend(nn.Module):
    """Scores items by a weighted sum of logarithms: a log-linear pool (Genest and Zidek 1986).

    The ranker's logits are logarithms already. An item model's scores become shares of their sum,
    and to each share ``smoothing / N`` is added, so that what an item model says nothing of is
    unlikely and not impossible. All weights are 0 or more.

    The item vectors are computed once: nothing may be trained afterwards.

    :param ranker: its vectors stay as they are and can be used without the blend.
    :param item_models: fitted item models by name.
    :param weights: of the ranker (under ``ranker``) and of the item models; one of 0 takes no part.
    :param smoothing: what is added to the shares, as a multiple of 1 / N.
    :param reranker: looks at the first items again; None for the weighted sum alone.
    """

    def __init__(
        self,
        ranker: Ranker,
        item_models: Mapping[str, ItemModel] | None = None,
        weights: Mapping[str, float] | None = None,
        smoothing: float = 0.1,
        reranker: Reranker | None = None,
    ) -> None:
        super().__init__()
        self.ranker, self.smoothing, self.reranker = ranker, smoothing, reranker
        self.item_models = nn.ModuleDict(item_models or {})
        self.weights = dict(weights or {RANKER: 1.0})
        self.chosen: Choice = LIKELIHOOD
        """The way in which the weights were chosen."""
        self.l2: float | None = None
        """The penalty of the map from texts to scores, for items without events; None without."""
        self.text_weights: tuple[float, ...] = (0.0, 0.0, 1.0, 0.0)
        """Its weights, see :class:`~lightrec.ranking.item_models.text_map.TextMap`."""
        self.eval()
        with torch.no_grad():
            self._table = ranker.item_vectors()

    def item_model(self, name: str) -> ItemModel:
        """An item model by name."""
        model = self.item_models[name]
        assert isinstance(model, ItemModel)
        return model

    def logarithms(self, name: str, history: Tensor, details: Details = None) -> Tensor:
        """A part's logarithms for all items: (B, N + 1) float32, finite; column 0 means nothing."""
        padding = torch.tensor([PADDING], device=history.device)
        if name == RANKER:
            scores = self.ranker.scores(history, details=details, items=self._table)
            return scores.index_fill(1, padding, 0.0)
        return log_shares(self.item_model(name).scores(history, details=details), self.smoothing)

    def scores(
        self, histories: Tensor, users: Tensor | None = None, *, details: Details = None
    ) -> Tensor:
        """Score all items; see :class:`~lightrec.ranking.scorers.ItemScorer`.

        The ranker reads the last events, and their details where it learned to.

        :returns: (B, N + 1) logits, higher is better; column 0 is -inf.
        """
        context = dict(details or {}) | ({} if users is None else {Key.USER: users})
        size, found = len(self.parts) * (self.ranker.num_items + 1), []
        for rows in pieces(len(histories), size):
            some = {name: table[rows] for name, table in context.items()}
            found.append(self.again(*self.summed(histories[rows], some), histories[rows]))
        return torch.cat(found) if len(found) > 1 else found[0]

    def again(self, total: Tensor, parts: Mapping[str, Tensor], histories: Tensor) -> Tensor:
        """Let the re-ranker, if there is one, look at what :meth:`summed` gave."""
        if self.reranker is None:
            return total
        read = torch.stack([parts[name] for name in self.reranker.parts])
        scores: Tensor = self.reranker(total, read, histories)
        return scores

    def summed(
        self, histories: Tensor, details: Details = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum, as :meth:`scores` without a re-ranker, and each part's logarithms."""
        parts = {name: self.logarithms(name, histories, details) for name in self.parts}
        weighted = [weight * parts[name] for name, weight in self.weights.items() if weight]
        total = sum(weighted[1:], weighted[0])
        padding = torch.tensor([PADDING], device=total.device)
        return total.index_fill(1, padding, -torch.inf), parts

    @property
    def parts(self) -> list[str]:
        """Names of the parts that take part: those with a weight, or that the re-ranker reads."""
        read = [] if self.reranker is None else self.reranker.parts
        return [name for name in self.weights if self.weights[name] or name in read]

    def save(self, folder: Path) -> None:
        """Write what is added to the ranker; item models without weight are described only.

        :raises PluginError: where an item model holds more than buffers of its own, which are all
            that is kept.
        """
        for name in self.item_models:
            model = self.item_model(name)
            held = {**dict(model.named_parameters()), **dict(model.named_buffers())}
            if lost := held.keys() - dict(model.named_buffers(recurse=False)):
                raise PluginError(
                    f"{provider(model)} holds {', '.join(sorted(lost))}, and of an item "
                    "model only its own buffers are kept. Let `fit` register what `scores` needs "
                    "by `self.register_buffer`."
                )
        weights = {name: self.weights.get(name, 0.0) for name in (RANKER, *self.item_models)}
        content = {
            "smoothing": self.smoothing,
            "l2_of_texts": self.l2,
            "weights_of_texts": self.text_weights,
            "chosen": self.chosen,
            "weights": weights,
            "item_models": {name: self.item_model(name).description for name in self.item_models},
            RERANKER: None if self.reranker is None else self.reranker.description,
        }
        (folder / DESCRIPTION).write_text(json.dumps(content, indent=2) + "\n")
        tensors = {
            path.replace(".", "/", 1): tensor
            for path, tensor in self.item_models.named_buffers()
            if path.partition(".")[0] in self.parts
        }
        if self.reranker is not None:
            tensors |= {f"{RERANKER}/{n}": x for n, x in self.reranker.state_dict().items()}
        save_tensors(tensors, folder / TENSORS)

    @classmethod
    def load(cls, folder: Path | str) -> "Blend":
        """Load what a ranker stage left; a ranker without item models is a blend, too.

        :raises RunError: where the folder holds no ranker, or names a class that is not trusted.
        """
        folder, ranker = Path(folder), Ranker.load(folder)
        if not (folder / DESCRIPTION).is_file():
            return cls(ranker)
        content = json.loads((folder / DESCRIPTION).read_text())
        # Earlier runs had no re-ranker.
        made = content.get(RERANKER)
        reranker = None if made is None else Reranker(**made).requires_grad_(False)
        models, state = described_models(folder), {}
        for path, tensor in load_file(folder / TENSORS).items():
            name, _, key = path.partition("/")
            if name == RERANKER:
                state[key] = tensor
            else:
                models[name].register_buffer(key, tensor)
        if reranker is not None:
            reranker.load_state_dict(state)
        blend = cls(ranker, models, content["weights"], content["smoothing"], reranker)
        for name in models.keys() - {*blend.parts}:
            del blend.item_models[name]
        blend.l2, blend.chosen = content["l2_of_texts"], content.get("chosen", LIKELIHOOD)
        # Earlier runs had the regression alone.
        blend.text_weights = tuple(content.get("weights_of_texts", blend.text_weights))
        return blend


def rows_held(size: int) -> int:
    """How many rows of so many values are :data:`HELD` values; one at least."""
    return max(1, HELD // max(size, 1))


def pieces(rows: int, size: int) -> Iterator[slice]:
    """Divide the rows of a batch so that no more than :data:`HELD` values are held at once.

    :param size: values of a row.
    """
    step = rows_held(size)
    return (slice(start, start + step) for start in range(0, max(rows, 1), step))


def log_shares(scores: Tensor, smoothing: float) -> Tensor:
    """Make logarithms of an item model's scores, (B, N + 1): of shares, ``smoothing / N`` added."""
    padding = torch.tensor([PADDING], device=scores.device)
    scores = scores.clamp_min(0).index_fill(1, padding, 0.0)
    total = scores.sum(dim=1, keepdim=True)
    share = scores / torch.where(total > 0, total, 1)
    return (share + smoothing / (scores.shape[1] - 1)).log()


def described_models(folder: Path | str) -> dict[str, ItemModel]:
    """The item models of a ranker stage with the settings chosen there, not fitted.

    :raises RunError: where the folder names a class that is not trusted.
    """
    path = Path(folder) / DESCRIPTION
    if not path.is_file():
        return {}
    content = json.loads(path.read_text())
    return {name: built(described, ItemModel) for name, described in content["item_models"].items()}


def names_of(item_models: Sequence[ItemModel]) -> dict[str, ItemModel]:
    """Name item models by their classes; a second one of a class is called ``Class-2``."""
    named: dict[str, ItemModel] = {}
    for model in item_models:
        kind = type(model).__name__
        same = sum(type(other).__name__ == kind for other in named.values())
        named[f"{kind}-{same + 1}" if same else kind] = model
    return named
