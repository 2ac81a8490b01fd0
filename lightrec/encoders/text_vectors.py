"""What a text encoder makes of a catalog's items."""

import re
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.data.catalog import Catalog
from lightrec.encoders.base import Encoder, encoded
from lightrec.keys import Column

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
