"""How TorchRL's losses are built over columns of which some may not be shown."""

import torch
from tensordict.nn import ProbabilisticTensorDictModule, ProbabilisticTensorDictSequential
from tensordict.nn import TensorDictModule as Module
from torch import nn
from torchrl.objectives import DiscreteSACLoss

from lightrec.nn.plackett_luce import PlackettLuce


class Finite(nn.Module):
    """Puts a number in place of minus infinity."""

    def __init__(self, low):
        super().__init__()
        self.low = low

    def forward(self, values):
        return values.masked_fill(values == -torch.inf, self.low)


def slate_actor(logits, slate_size, masked=False):
    """Make a probabilistic actor of a module from a state to logits (B, C).

    :param masked: whether states have a ``mask``.
    """
    keys = {"logits": "logits", "mask": "mask"} if masked else {"logits": "logits"}
    return ProbabilisticTensorDictSequential(
        Module(logits, in_keys=["state"], out_keys=["logits"]),
        ProbabilisticTensorDictModule(
            in_keys=keys,
            out_keys=["action"],
            distribution_class=PlackettLuce,
            distribution_kwargs={"slate_size": slate_size},
            return_log_prob=True,
        ),
    )


def discrete_sac(logits, *values, **settings):
    """Make TorchRL's loss of modules from a state to logits and to values of two networks.

    It needs a categorical law with ``probs`` and normalised ``logits``, numbers in place of minus
    infinity, actions (B,), and each value network by itself: it replaces the parameters of a single
    one by uniform numbers.
    """
    actor = ProbabilisticTensorDictSequential(
        Module(nn.Sequential(logits, Finite(-1e30)), in_keys=["state"], out_keys=["logits"]),
        ProbabilisticTensorDictModule(
            in_keys=["logits"],
            out_keys=["action"],
            distribution_class=torch.distributions.Categorical,
        ),
    )
    networks = [nn.Sequential(each, Finite(0.0)) for each in values]
    return DiscreteSACLoss(
        actor,
        [Module(each, in_keys=["state"], out_keys=["action_value"]) for each in networks],
        num_qvalue_nets=len(networks),
        action_space="categorical",
        num_actions=1,  # only for the target entropy
        **settings,
    )
