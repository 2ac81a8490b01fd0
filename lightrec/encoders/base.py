"""The base class of encoders: text into vectors."""

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor


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
