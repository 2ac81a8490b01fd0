"""The counter-based numbers: their law, and that they depend on nothing but the counters."""

import torch
from scipy.stats import kstest

from lightrec.simulators import noise


def test_first_numbers_of_splitmix64():
    """The published generator, seeded with 0, in plain Python integers."""

    def reference(x):
        mask = 2**64 - 1
        x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9 & mask
        x = (x ^ (x >> 27)) * 0x94D049BB133111EB & mask
        return x ^ (x >> 31)

    expected = [reference((n + 1) * 0x9E3779B97F4A7C15 % 2**64) for n in range(3)]
    assert expected[0] == 0xE220A8397B1DCDAF
    found = noise.mix(torch.zeros(3, dtype=torch.int64), torch.arange(3))
    assert [x % 2**64 for x in found.tolist()] == expected


def test_uniform_gumbel_and_normal_laws():
    keys = noise.mix(torch.arange(200)[:, None], torch.arange(200)).flatten()
    assert kstest(noise.uniform(keys).numpy(), "uniform").pvalue > 0.001
    assert kstest(noise.gumbel(keys).numpy(), "gumbel_r").pvalue > 0.001
    assert kstest(noise.normal(keys).numpy(), "norm").pvalue > 0.001
