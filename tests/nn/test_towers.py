"""The transformer's parts; what all towers share is in the contract tests."""

from functools import partial

import pytest
import torch
from torch import nn

from lightrec.errors import PluginError
from lightrec.nn.towers import Block, CausalTransformer, UserTower, rotary_angles, rotate, visible
from lightrec.ranking.ranker import Ranker


class Mine(UserTower):
    """A tower of somebody's own, without dropout or layers."""

    def __init__(self, size, heads=1):
        super().__init__()
        self.heads, self.out = heads, nn.Linear(size, size)

    def forward(self, x, present):
        return self.out(x)


def test_a_tower_of_ones_own():
    ranker = Ranker(9, size=8, tower=partial(Mine, heads=4))
    assert isinstance(ranker.users, Mine)
    assert ranker.users.heads == 4
    with pytest.raises(PluginError, match=r"Ranker of .* could not build its user tower.*'colour'"):
        Ranker(9, size=8, tower=partial(Mine, colour="red"))
    with pytest.raises(ValueError, match="multiple of 6"):
        CausalTransformer(size=16, layers=1, heads=3)


def test_scores_of_rotated_vectors_depend_on_the_distance_alone():
    query, key = torch.randn(8), torch.randn(8)
    angles = rotary_angles(10, 8, torch.device("cpu"))
    queries, keys = rotate(query.expand(10, 8), angles), rotate(key.expand(10, 8), angles)
    products = queries @ keys.T
    assert torch.allclose(products.diagonal(3), products[0, 3].expand(7), atol=1e-5)
    # Distance 1 in the first pair of features turns by one radian.
    unit = torch.tensor([1.0, 0, 0, 0, 0, 0, 0, 0])
    turned = rotate(unit.expand(2, 8), angles[:, :2])[1]
    assert turned[[0, 4]].tolist() == pytest.approx([0.540302, 0.841471], abs=1e-5)


def test_a_post_norm_layer_that_adds_nothing_normalises_its_input():
    block = Block(4, heads=1, feedforward=1, dropout=0.0, norm="post")
    nn.init.zeros_(block.attention_out.weight)
    nn.init.zeros_(block.feedforward[3].weight)
    x, seen = torch.tensor([[[1.0, 3, 1, 3]]]), visible(torch.tensor([[True]]))
    wanted = torch.tensor([-1.0, 1, -1, 1])
    assert torch.allclose(block(x, seen, rotary_angles(1, 4, x.device))[0, 0], wanted, atol=1e-4)
