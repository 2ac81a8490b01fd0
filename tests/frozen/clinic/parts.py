"""Parts of a run: an encoder, a tower, a reward, a policy, a simulator and a metric."""

import polars as pl
import torch
from torch import nn

from lightrec.data.catalog import Catalog
from lightrec.encoders.base import Encoder
from lightrec.errors import NotApplicable
from lightrec.evaluation.base import Evaluator, Findings
from lightrec.keys import Column, Key
from lightrec.nn.towers import UserTower
from lightrec.policies.base import LearnedPolicy, among_candidates
from lightrec.rewards.base import Reward
from lightrec.simulators import noise
from lightrec.simulators.base import Response
from lightrec.simulators.world import World


class LetterShares(Encoder):
    """Counts letters."""

    size = 26

    def encode(self, texts):
        counts = [[text.lower().count(chr(97 + i)) for i in range(26)] for text in texts]
        return torch.tensor(counts, dtype=torch.float32).reshape(-1, 26)


class Fading(UserTower):
    """Sums the items of a history, through a linear map.

    :param size: width D.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.out = nn.Linear(size, size)

    def forward(self, x, present):
        return self.out((x * present[..., None]).cumsum(dim=1))


class Calm(Reward):
    """1 for an accepted item."""

    def forward(self, transition):
        return self.taken(transition).any(1, keepdim=True).float()


class Habit(LearnedPolicy):
    """Learns one score an item, and looks at nobody.

    :param first: the score of the first item before anything is learned; all others have 0.
    """

    feature_size = 2

    def __init__(self, num_items: int, first: float = 0.0) -> None:
        super().__init__(num_items)
        self.scale = nn.Parameter(torch.zeros(num_items + 1))
        self.scale.data[1] = first

    def session_features(self, state):
        return torch.cat([state[Key.STEP].float(), state[Key.ACCEPTED_TOTAL]], -1) / 10

    def logits(self, state):
        return among_candidates(state, self.scale.expand(*state[Key.STEP].shape[:-1], -1))


class Waiting(World):
    """Users whose liking is the same for all.

    :param batch_size: sessions B.
    :param willing: probability of taking an item.
    :param device: where everything is computed.
    """

    def __init__(
        self, batch_size: int, *, willing: float = 0.5, device: torch.device | str = "cpu"
    ) -> None:
        lengths = {"history_length": 3, "max_steps": 5}
        latent = {"mood": ()}
        super().__init__(torch.eye(7)[:, 1:], batch_size, latent=latent, device=device, **lengths)
        self.willing = willing

    def begin(self, session):
        return {Key.LATENT: {"mood": torch.zeros(len(session), device=self.device)}}

    def respond(self, state, slate):
        """Take the first item by chance; a tenth of the users leaves."""
        taken = torch.zeros_like(slate, dtype=torch.bool)
        chance = noise.uniform(noise.mix(self.chance(state), 0)).squeeze(1)
        taken[:, 0] = (chance < self.willing) & (slate[:, 0] > 0)
        return Response(taken, taken.float(), torch.full_like(chance, 0.1, dtype=torch.float32))

    def oracle(self, state):
        return torch.zeros(len(state), self.num_items + 1, device=self.device)

    def catalog(self):
        return Catalog(pl.DataFrame({Column.ITEM: list("abcdef")}))


class Minors(Evaluator):
    """Counts the users who are not of age.

    :param key: of the metric.
    :param fault: what goes wrong: ``nan``, ``error``, or nothing.
    """

    def __init__(self, key: str = "clinic/minors", fault: str = "") -> None:
        self.key, self.fault = key, fault

    def evaluate(self, run, seed):
        if "age" not in run.data.users.columns:
            raise NotApplicable("The users have no age.")
        ages = run.data.users["age"].cast(int)
        if self.fault == "error":
            return Findings({self.key: ages["month"]})
        count = float("nan") if self.fault == "nan" else float((ages < 18).sum())
        return Findings({self.key: count}, summary=f"{count:g} users are under 18.")
