"""One vector of several: what encoders make of several columns, side by side."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize

from lightrec.api import Encoder, RecipeError
from lightrec.encoders.base import encoded


class Fused(Encoder):
    """Several encoders, each with a column of its own, whose vectors stand side by side.

    Each part's vector is brought to norm 1 and multiplied by the square root of its share of the
    weights of those parts that the item has; a part that it does not have is zero. So every vector
    has norm 1, the scalar product of two items that have all parts is the weighted mean of the
    parts' cosines, and that of two items that have one part alone is its cosine.

    A plain text, such as a request, is read by every part that reads words. To these a list is its
    members, separated by commas, and a number its digits.

    :param encoders: two or more, none of them ``Fused``.
    :param columns: the column that each reads; null: its own, such as ``text``.
    :param weights: how much each counts, above 0; null: all the same.
    :raises RecipeError: where these do not go together.
    """

    def __init__(
        self,
        encoders: list[Encoder],
        columns: list[str] | None = None,
        weights: list[float] | None = None,
    ) -> None:
        self.encoders = list(encoders)
        if any(part.columns for part in self.encoders):
            raise RecipeError(
                "A part of Fused reads several columns itself: name its parts among the "
                "`encoders` of the one Fused."
            )
        self.columns = [part.column for part in self.encoders] if columns is None else list(columns)
        self.weights = [1.0] * len(self.encoders) if weights is None else list(weights)
        counts = len(self.encoders), len(self.columns), len(self.weights)
        if len({*counts}) > 1 or not self.encoders or min(self.weights) <= 0:
            raise RecipeError(
                f"Fused has {counts[0]} encoders, {counts[1]} columns and the weights "
                f"{self.weights}: give it a column and a weight above 0 for each encoder, and at "
                "least one encoder."
            )
        self.reads_words = any(part.reads_words for part in self.encoders)

    @property
    def size(self) -> int:
        """Length of the vectors: of all parts' together."""
        return sum(part.size for part in self.encoders)

    @property
    def about(self) -> Mapping[str, object]:
        """Notes of each part, under its column and weight."""
        notes = dict(super().about)
        parts = zip(self.encoders, self.columns, self.weights, strict=True)
        for number, (part, column, weight) in enumerate(parts, start=1):
            words = (f"{name} {value}" for name, value in part.about.items())
            notes[f"part {number}: {column}, weight {weight:g}"] = ", ".join(words)
        return notes

    def encode(self, values: Sequence[Mapping[str, Any] | str]) -> Tensor:
        """Encode rows, by column, or plain texts: ``(len(values), size)`` of norm 1.

        :returns: zeros for a row of which no part has a vector.
        """
        parts = []
        for part, name, weight in zip(self.encoders, self.columns, self.weights, strict=True):
            fields = [_of_part(part, name, value) for value in values]
            vectors = encoded(part, fields, [str(field) for field in fields])
            parts.append(weight**0.5 * normalize(vectors, dim=1))
        return normalize(torch.cat(parts, dim=1), dim=1)


def _of_part(part: Encoder, column: str, value: Mapping[str, Any] | str) -> Any:
    """The field that a part reads of a value; None where it is missing."""
    if isinstance(value, str):
        return value if part.reads_words else None
    field = value[column]
    if field is None or field in ("", []):
        return None
    if not part.reads_words:
        return field
    return ", ".join(map(str, field)) if isinstance(field, list) else str(field)
