"""What a policy is to maximise."""

from lightrec.rewards.base import Reward


class Calm(Reward):
    """1 for an accepted item.

    :param fault: what goes wrong: ``shape``, ``error``, or nothing.
    """

    def __init__(self, fault: str = "") -> None:
        super().__init__()
        self.fault = fault

    def forward(self, transition):
        accepted = self.taken(transition).any(1, keepdim=True).float()
        if self.fault == "error":
            return accepted / transition["patience"]
        return accepted.sum() if self.fault == "shape" else accepted
