"""Comparing what tensors hold, in sentences."""

from torch import Tensor

from lightrec.testing.contract import expect

TOLERANCE = 1e-5
"""How far numbers may lie apart that must be the same; relative where they are above 1."""


def same(found: Tensor, wanted: Tensor, expected: str, mend: str) -> None:
    """Fail a check unless two tensors are the same within the tolerance; infinities must agree."""
    found, wanted = found.detach(), wanted.detach()
    if found.shape != wanted.shape:
        expect(False, expected, f"Shapes are {_shape(found)} and {_shape(wanted)}.", mend)
    equal = (found == wanted) | (found.isnan() & wanted.isnan())
    difference = (found - wanted).abs().masked_fill(equal, 0)
    allowed = TOLERANCE * wanted.abs().masked_fill(~wanted.isfinite(), 0).clamp_min(1)
    # Written so that NaN counts as different.
    bad = int((~(difference <= allowed)).sum())
    largest = float(difference.max()) if difference.numel() else 0.0
    expect(
        not bad,
        expected,
        f"{bad} of {found.numel()} numbers differ, by up to {largest:.2g}.",
        mend,
    )


def described(found: object) -> str:
    """Name a tensor's shape, type and device, or the class of what is none."""
    if not isinstance(found, Tensor):
        return f"a {type(found).__name__}"
    return f"{_shape(found)} {found.dtype} on {found.device}"


def _shape(found: Tensor) -> tuple[int, ...]:
    return tuple(found.shape)
