"""The base class of encoders: text into vectors."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from lightrec import plugins
from lightrec.errors import PluginError

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
