import pytest
import torch

from lightrec.learners.packed_masks import PACKED, pack, unpack
from tests.learners.stages import make
from tests.learners.training import train


@pytest.mark.parametrize("columns", [1, 8, 9, 200_001])
def test_masks_come_back_from_an_eighth_of_the_bytes(columns):
    torch.manual_seed(0)
    mask = torch.rand(2, 3, columns) < 0.7
    packed = pack(mask)
    assert packed.shape == (2, 3, -(-columns // 8))
    assert packed.element_size() == 1
    assert torch.equal(unpack(packed, columns), mask)


def test_a_rollout_holds_a_bit_for_an_item(bandit):
    module, _ = train(*make("policy ppo", bandit), 1)
    rollout = module._play()
    # 8 items and padding, of 8 sessions by 3 steps.
    assert rollout[PACKED].shape == (8, 3, 2)
    wide = [key for key, value in rollout.items() if value.shape[2:] == (module.num_items + 1,)]
    assert wide == []
