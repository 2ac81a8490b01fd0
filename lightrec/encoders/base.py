"""The base class of encoders, and what an encoder makes of a catalog's items."""

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec import plugins
from lightrec.data.catalog import Catalog
from lightrec.errors import PluginError
from lightrec.keys import Column

SHOWN = 60
"""Characters of a text that a message shows."""


class Encoder(ABC):
    """Turns texts into vectors.

    Subclass it in a plugin, return the class from the hook ``lightrec_encoders``, and every recipe
    can name it: ``text_encoder: ShortName``.
    """

    @property
    @abstractmethod
    def size(self) -> int:
        """Length of the vectors."""

    @abstractmethod
    def encode(self, texts: Sequence[str]) -> Tensor:
        """Encode texts.

        :param texts: any strings; the empty string is allowed and must give a finite vector.
        :returns: ``(len(texts), size)`` float32 on the CPU. A text's vector does not depend on the
            texts beside it.
        """


def encoded(encoder: Encoder, texts: Sequence[str], items: Sequence[str]) -> Tensor:
    """Encode texts of items, and see that the vectors are what they must be.

    :param items: of each text, the id of an item that has it.
    :returns: ``(len(texts), encoder.size)`` float32 on the CPU.
    :raises PluginError: where the encoder fails, or gives something else.
    """
    with plugins.blaming(encoder, f"encode {len(texts)} texts"):
        size, vectors = encoder.size, encoder.encode(texts)
    expected = (len(texts), size)
    if not isinstance(vectors, Tensor) or vectors.shape != expected:
        what = tuple(vectors.shape) if isinstance(vectors, Tensor) else type(vectors).__name__
        raise PluginError(
            f"{plugins.provider(encoder)} gave {what} for {len(texts)} texts; expected is a tensor "
            f"of shape {expected}, one vector a text, as long as its `size` says."
        )
    bad = (~vectors.isfinite()).any(1).nonzero().flatten().tolist()
    if bad:
        text = texts[bad[0]]
        shown = text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"
        raise PluginError(
            f"{plugins.provider(encoder)} gave vectors with NaN or infinity for {len(bad)} of "
            f"{len(texts)} texts, the first being {shown!r} of the item {items[bad[0]]!r}. Every "
            "text must have a finite vector, also one that is empty or in no known language."
        )
    return vectors.to("cpu", torch.float32)


_ENDS = re.compile(r"(?<=[.!?])\s+")
"""Where a sentence ends and another begins."""


def text_vectors(catalog: Catalog, encoder: Encoder) -> Tensor:
    """Encode titles and texts, each by itself, sentence by sentence: one would drown the other.

    :param catalog: N items; a title or text that is missing counts as empty.
    :returns: (N + 1, 2 · encoder.size) float32, side by side the title's vector and the text's,
        each the mean of its sentences'; row 0 is zero.
    """
    ids = catalog.items[Column.ITEM].to_list()
    parts = [
        _means(catalog.items[name].fill_null("").to_list(), ids, encoder)
        for name in (Column.TITLE, Column.TEXT)
    ]
    return pad(torch.cat(parts, 1), (0, 0, 1, 0))


def _means(texts: Sequence[str], ids: Sequence[str], encoder: Encoder) -> Tensor:
    sentences = [_ENDS.split(text.strip()) for text in texts]
    owners: dict[str, str] = {}
    for own, item in zip(sentences, ids, strict=True):
        for sentence in own:
            owners.setdefault(sentence, item)
    place = {sentence: row for row, sentence in enumerate(owners)}
    vectors = encoded(encoder, list(owners), list(owners.values()))
    return torch.stack([vectors[[place[s] for s in own]].mean(0) for own in sentences])
