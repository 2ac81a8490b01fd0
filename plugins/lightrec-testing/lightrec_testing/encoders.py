"""The contract of encoders, from content to vectors."""

import pickle
import tempfile
from collections.abc import Callable, Sequence
from operator import index
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lightrec.encoders.base import Encoder, TrainableEncoder
from lightrec_testing.contract import DoesNotApply, Faults, promise, run_python
from lightrec_testing.invariants import BatchChecks, differences, importable

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
    :param values: what it reads where that is no text: five or more, such as paths of pictures; or
        a function that gives them.
    """

    inputs, outputs = "texts", "vectors"
    sample = "values"
    hint = (
        "Give the vectors' length as `size`, an int; treat a text without words on its own, for "
        "example by a vector of zeros, return `torch.zeros(0, self.size)` where there are no "
        "texts, cut what is too long, and count what is not known as one unknown word, or as none."
    )

    def __init__(
        self,
        make: Callable[..., Encoder],
        part: str = "",
        values: Sequence[Any] | Callable[[], Sequence[Any]] | None = None,
    ) -> None:
        super().__init__(make, part)
        values = values() if callable(values) else values
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

    def _declared(self, part: Encoder, texts: list[Any]) -> tuple[tuple[int, ...], torch.dtype]:
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
