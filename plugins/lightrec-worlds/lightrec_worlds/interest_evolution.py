"""Interest evolution: users with a time budget, whom what they watch changes.

RecSim's environment of that name with its default laws (Ie et al. 2019, "RecSim: a configurable
simulation platform for recommender systems"), those of Ie et al. 2019, "SlateQ: a tractable
decomposition for reinforcement learning with recommendation sets".
"""

from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import one_hot, pad

from lightrec.api import PADDING, Catalog, Key, RecipeError, World, noise
from lightrec.nn.precision import as_float64
from lightrec.simulators.base import Response, State
from lightrec_worlds.texts import TOPICS, describe_videos

LENGTH = 4.0
"""Minutes of every video."""
BUDGET = 200.0
"""Minutes that a user has at first."""
PENALTY = 0.5
"""Minutes that a slate costs where nothing is clicked."""
EXTENSION = 0.9 / 3.4
"""Part of the minutes watched that a video of quality 1 gives back."""
NOTHING = 2.0
"""Weight of clicking nothing, beside interest + 1 of each video shown."""
PACE = 0.3
"""Step by which the interest of an indifferent user moves towards or away from a topic watched."""
PRICE = 1.3
"""Worth of a minute of budget to the oracle: the best of .9, 1.1, 1.3, 1.5 and 1.75."""


class PartedWorld(World):
    """A world whose offers have an item of each of ``offer_size`` equal parts of the catalog."""

    def offer(self, state: TensorDictBase) -> Tensor:
        """Draw evenly from each part: column c from items c · size + 1 to (c + 1) · size."""
        key, count = self.chance(state), self.offer_size or 1
        size = self.num_items // count
        words = noise.mix(key, torch.arange((count + 1) // 2, device=key.device))
        # Both halves of a hash are fair, and count as two numbers from -2^31 to 2^31 - 1.
        column = as_float64(words.view(torch.int32)[:, :count])
        column *= size * 2.0**-32
        column += size * (torch.arange(count, dtype=torch.float64, device=column.device) + 0.5)
        return column.to(torch.int64).to(key.device).add_(1)


class InterestEvolution(PartedWorld):
    """Users watch videos of 20 topics until their time is up.

    A user has an interest u ~ U(-1, 1) in each topic at first, and clicks video i of a slate with
    weight u + 1, nothing with weight 2. A click costs the minutes watched, of which quality gives
    some back: the first 14 topics are trash and shorten a session, the last 6 prolong it. With
    probability (u + 1) / 2 the interest in the topic watched then moves towards 1, else towards -1,
    by .3 (1 - abs(u)) (1 - u). The reward is the minutes watched, unless another one is given, such
    as :class:`~lightrec.rewards.accepted.EngagementReward`, which counts clicks.

    Policies see the topics of the candidates (``item_vectors``, one of 20), and in ``observation``
    (B, 20 + 1 + K) the user's interests, the minutes last watched, and the quality of what was last
    shown. Latent are ``interests`` and the ``budget`` left, in minutes.

    In RecSim every candidate is a fresh document. A part of the catalog has every topic equally
    often, so that topics are independent and uniform here too, and users remember topics only.

    :param batch_size: sessions B.
    :param num_items: videos N; a multiple of ``20 * offer_size``.
    :param seed: of the videos' quality.
    :param settings: of :class:`~lightrec.simulators.base.Simulator`.
    :raises RecipeError: where the items cannot be spread evenly over offers and topics.
    """

    def __init__(
        self,
        batch_size: int,
        *,
        seed: int = 0,
        num_items: int = 2000,
        offer_size: int = 10,
        slate_size: int = 2,
        history_length: int = 10,
        max_steps: int = 1000,
        **settings: Any,
    ) -> None:
        topics = len(TOPICS)
        if num_items < 1 or num_items % (topics * offer_size):
            raise RecipeError(
                f"num_items is {num_items}; it must be a multiple of {topics * offer_size}, so that"
                f" each of the {offer_size} parts that an offer draws from has all {topics} topics "
                "equally often."
            )
        topic = torch.arange(num_items) % topics
        means = torch.cat([torch.linspace(-3, 0, 14), torch.linspace(0, 3, 6)])
        chance = torch.Generator().manual_seed(seed)
        quality = means[topic] + 0.1 * torch.randn(num_items, generator=chance)
        super().__init__(
            pad(one_hot(topic, topics).float(), (0, 0, 1, 0)),
            batch_size,
            latent={"interests": (topics,), "budget": ()},
            observation_size=topics + 1 + slate_size,
            history_length=history_length,
            slate_size=slate_size,
            max_steps=max_steps,
            offer_size=offer_size,
            repeats=True,
            **settings,
        )
        self.topic = pad(topic, (1, 0)).to(self.device)
        """(N + 1,) int64, 0 to 19."""
        self.quality = pad(quality, (1, 0)).to(self.device)
        """(N + 1,) float32, about -3.3 to 3.3."""

    def begin(self, session: Tensor) -> dict[str, State]:
        """Users with interests of their own and their whole time."""
        key = noise.mix(noise.mix(session, 0), torch.arange(len(TOPICS), device=self.device))
        interests = (2 * noise.uniform(key) - 1).float()
        latent = {"interests": interests, "budget": torch.full_like(interests[:, 0], BUDGET)}
        return {Key.LATENT: latent, Key.OBSERVATION: pad(interests, (0, 1 + self.slate_size))}

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Choose, watch, and change."""
        interests = state[Key.LATENT, "interests"]
        budget = state[Key.LATENT, "budget"].unsqueeze(1)
        # Counters from 0 are the offer's.
        key = noise.mix(self.chance(state), torch.arange(-5, -3, device=self.device))
        choice, turn = noise.uniform(key).float().split(1, 1)

        weight = self._weight(interests, slate).cumsum(1)
        below = choice * (weight[:, -1:] + NOTHING) < weight
        # Below the sum of the weights up to its own, and not below that of those before.
        taken = below ^ pad(below[:, :-1], (1, 0))
        clicked = (slate * taken).sum(1, keepdim=True)
        click = (clicked > 0).float()

        topic = self.topic.take(clicked)
        interest = interests.gather(1, topic)
        step = PACE * click * (1 - interest.abs()) * (1 - interest)
        up = (interest + 1) / 2 - turn
        moved = (interest + step.copysign(up)).clamp(-1, 1)
        interests = interests.scatter(1, topic, moved)

        watched = click * budget.clamp(0, LENGTH)
        kept = EXTENSION * watched * self.quality.take(clicked)
        budget = budget - watched + kept - PENALTY * (1 - click)
        changed = {
            Key.LATENT: {"interests": interests, "budget": budget.squeeze(1)},
            Key.OBSERVATION: torch.cat([interests, watched, self.quality.take(slate)], 1),
        }
        return Response(taken, taken * watched, (budget <= 0).squeeze(1), changed)

    def oracle(self, state: TensorDictBase) -> Tensor:
        """Weight of a click times what it brings: minutes watched, less what they cost of others.

        How interests will move is not foreseen: this is the best known, not the best there is.
        """
        items = state[Key.CANDIDATES]
        spent = LENGTH * (1 - EXTENSION * self.quality.take(items))
        return self._weight(state[Key.LATENT, "interests"], items) * (LENGTH - PRICE * spent)

    def greedy(self, state: TensorDictBase) -> Tensor:
        """Score by the weight of a click: all that is clicked is watched equally long."""
        return self._weight(state[Key.LATENT, "interests"], state[Key.CANDIDATES])

    def catalog(self) -> Catalog:
        """Videos named ``video-1`` to ``video-N``; texts tell topic and quality."""
        return describe_videos(self.topic[1:].cpu().numpy(), self.quality[1:].cpu().numpy())

    def _weight(self, interests: Tensor, items: Tensor) -> Tensor:
        """Weights of clicks (B, C); 0 for an empty place."""
        weight = interests.gather(1, self.topic.take(items)) + 1
        return weight.masked_fill_(items == PADDING, 0)
