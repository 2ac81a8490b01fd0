"""Transitions to test with."""

import torch
from tensordict import TensorDict

from lightrec.keys import Key


def transitions(
    observation: torch.Tensor, action: list[int], following: torch.Tensor, ended: list[bool]
) -> TensorDict:
    rows = len(observation)
    after = {Key.OBSERVATION: following, "terminated": torch.tensor(ended).unsqueeze(1)}
    return TensorDict(
        {
            Key.OBSERVATION: observation,
            Key.ACTION: torch.tensor(action).unsqueeze(1),
            "next": TensorDict(after, [rows]),
        },
        [rows],
    )


def random_transitions(rows: int, size: int = 3, choices: int = 2) -> TensorDict:
    action = torch.randint(choices, (rows,)).tolist()
    ended = (torch.rand(rows) < 0.2).tolist()
    found = transitions(torch.randn(rows, size), action, torch.randn(rows, size), ended)
    return found.set(Key.LOG_PROBABILITY, -torch.rand(rows))
