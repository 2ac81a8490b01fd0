"""Chance that is computed from counters, not drawn from a running generator.

A number is a hash of what it belongs to (session, step, item). Whoever asks again, in whatever
batch, order or device, gets the same one: policies can be compared under the same chance.
"""

import torch
from torch import Tensor

from lightrec.nn.precision import as_float64

# Constants of splitmix64 (Steele, Lea and Flood 2014, "Fast splittable pseudorandom number
# generators"), written as signed 64-bit integers because torch has no unsigned products.
_GAMMA = 0x9E3779B97F4A7C15 - 2**64
_FIRST = 0xBF58476D1CE4E5B9 - 2**64
_SECOND = 0x94D049BB133111EB - 2**64


def _shift(x: Tensor, bits: int) -> Tensor:
    """Shift right without copying the sign."""
    return (x >> bits).bitwise_and_(2 ** (64 - bits) - 1)


def mix(key: Tensor, counter: Tensor | int) -> Tensor:
    """Hash a key with a counter, both int64, into a new key, evenly spread over all 64 bits."""
    if isinstance(counter, int):  # Python's integers do not wrap around as tensors' do
        x = key + (((counter + 1) * _GAMMA + 2**63) % 2**64 - 2**63)
    else:
        x = key + (counter + 1) * _GAMMA
    # In place from here: fresh memory costs more than the arithmetic.
    x ^= _shift(x, 30)
    x *= _FIRST
    x ^= _shift(x, 27)
    x *= _SECOND
    x ^= _shift(x, 31)
    return x


def uniform(key: Tensor) -> Tensor:
    """Turn keys into numbers strictly between 0 and 1; float64 where the device has it."""
    number = _uniform(key)
    if number.device != key.device:  # in float32 the largest would be 1
        number = number.clamp_max(1 - 2.0**-24).float().to(key.device)
    return number


def _uniform(key: Tensor) -> Tensor:
    return (as_float64(_shift(key, 11)) + 0.5) * 2.0**-53


def gumbel(key: Tensor) -> Tensor:
    """Turn keys into float32 numbers of the standard Gumbel distribution."""
    return -(-_uniform(key).log()).log().float().to(key.device)


def normal(key: Tensor) -> Tensor:
    """Turn keys into float32 numbers of the standard normal distribution."""
    return torch.special.ndtri(_uniform(key)).float().to(key.device)


def below(key: Tensor, number: int) -> Tensor:
    """Turn keys into int64 numbers 0 to ``number`` - 1, evenly; at most 2^31 of them."""
    return (_shift(key, 32) * number) >> 32


def distinct(key: Tensor, count: int, number: int) -> Tensor:
    """Turn keys (B, 1) into ``count`` distinct int64 numbers 0 to ``number`` - 1 each: (B, count).

    Every set is equally likely (Bentley and Floyd 1987, "A sample of brilliance"); the order within
    a set is not a fair draw.
    """
    chosen = key.new_empty(len(key), count)
    for place, top in enumerate(range(number - count, number)):
        drawn = below(mix(key, place), top + 1)
        taken = (chosen[:, :place] == drawn).any(dim=1, keepdim=True)
        chosen[:, place : place + 1] = torch.where(taken, top, drawn)
    return chosen
