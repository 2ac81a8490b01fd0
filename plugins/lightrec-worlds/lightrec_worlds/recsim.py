"""RecSim's environments with their default laws: interest evolution and long-term satisfaction.

Ie et al. 2019, "RecSim: a configurable simulation platform for recommender systems". In the first
users have a time budget, and what they watch changes them, by the laws of Ie et al. 2019, "SlateQ:
a tractable decomposition for reinforcement learning with recommendation sets". In the second
chocolate engages now, and kale keeps users satisfied.
"""

from collections.abc import Mapping
from functools import cached_property
from typing import Any

import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import one_hot, pad

from lightrec.api import PADDING, Catalog, Key, RecipeError, World, noise
from lightrec.nn.precision import as_float64
from lightrec.simulators.base import Response, State
from lightrec_worlds.texts import TOPICS, describe_documents, describe_videos

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
CHOC, KALE = 5.0, 4.0
"""Mean of the logarithm of engagement at full satisfaction, for clickbait scores 1 and 0."""
DEVIATION = 1.0
"""Standard deviation of the logarithm of engagement, for both."""
SEEN = 100.0
"""Engagement above which policies do not learn how much it was."""
STATES, ACTIONS = 201, 50
"""Size of the tabular twin: net positive exposures, clickbait scores."""


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


def best_values(reward: Tensor, following: Tensor, law: Tensor, steps: int) -> Tensor:
    """Values (steps + 1, S) in a tabular decision process, by steps that are left.

    :param reward: (S, A) float64: expected reward of an action.
    :param following: (S, A, S) float64: probabilities of the next state.
    :param law: (A,) float64: how probably the action of each rank is the best of an offer, see
        :func:`ranks`.
    """
    values = [torch.zeros_like(reward[:, 0])]
    for _ in range(steps):
        worth = reward + following @ values[-1]
        values.append(worth.sort(1).values @ law)
    return torch.stack(values)


def ranks(actions: int, offer_size: int) -> Tensor:
    """(A,) float64: how probably each rank, from below, is the highest of an offer."""
    bounds = torch.linspace(0, 1, actions + 1, dtype=torch.float64) ** offer_size
    return bounds.diff()


def interpolation(points: Tensor, grid: Tensor) -> Tensor:
    """Weights (..., S) of the even ``grid`` (S,) that put ``points`` between their neighbours.

    They are probabilities. Points outside are put on the edge.
    """
    place = (points - grid[0]) / (grid[1] - grid[0])
    distance = place.clamp(0, len(grid) - 1).unsqueeze(-1) - torch.arange(len(grid)).to(grid)
    return (1 - distance.abs()).clamp_min(0)


class LongTermSatisfaction(PartedWorld):
    """Users consume the first document of a slate, as long as their time lasts.

    A document's clickbait score c says how much chocolate is in it. Engagement with it is
    log-normal: its logarithm has mean (5 c + 4 (1 - c)) s and standard deviation 1, where
    satisfaction s = sigmoid(sensitivity n) depends on net positive exposure n. Then n becomes
    memory n - 2 (c - 1/2) + noise; it begins evenly within ± 1/2 / (1 - memory).

    The reward is engagement as it was drawn; ``true_reward`` is its expectation. Policies see c
    (``item_vectors``) and in ``observation`` (B, 1) the last engagement, cut at 100. Latent is
    ``exposure``, n.

    :param batch_size: sessions B.
    :param num_items: documents N; a multiple of ``offer_size``.
    :param seed: of the documents.
    :param sensitivity: of satisfaction to exposure.
    :param memory: part of the exposure that lasts from step to step.
    :param innovation: standard deviation of the exposure's noise.
    :param time_budget: steps after which users leave.
    :param settings: of :class:`~lightrec.simulators.base.Simulator`.
    :raises RecipeError: where a setting is out of range.
    """

    def __init__(
        self,
        batch_size: int,
        *,
        seed: int = 0,
        sensitivity: float = 0.01,
        memory: float = 0.7,
        innovation: float = 0.05,
        time_budget: int = 60,
        num_items: int = 1000,
        offer_size: int = 10,
        history_length: int = 10,
        max_steps: int = 60,
        **settings: Any,
    ) -> None:
        if num_items < 1 or num_items % offer_size:
            raise RecipeError(
                f"num_items is {num_items}; it must be a multiple of the {offer_size} candidates of"
                " an offer, each of which is drawn from its own part of the catalog."
            )
        if not 0 <= memory < 1 or time_budget < 1:
            raise RecipeError(
                f"memory is {memory} and time_budget {time_budget}; memory must be at least 0 and "
                "below 1, and users must have time for a step."
            )
        # Each part has a document from each stretch: even small catalogs offer uniform scores.
        size = num_items // offer_size
        chance = torch.Generator().manual_seed(seed)
        stretch = torch.argsort(torch.rand(offer_size, size, generator=chance), 1).flatten()
        score = (stretch + torch.rand(num_items, generator=chance)) / size
        super().__init__(
            pad(score.unsqueeze(1), (0, 0, 1, 0)),
            batch_size,
            latent={"exposure": ()},
            observation_size=1,
            history_length=history_length,
            max_steps=max_steps,
            offer_size=offer_size,
            repeats=True,
            **settings,
        )
        self.sensitivity, self.memory, self.innovation = sensitivity, memory, innovation
        self.time_budget = time_budget
        # No policy brings exposure further than 1 / (1 - memory) but by noise.
        self._edge = 1.1 / (1 - memory) + 4 * innovation
        self._grid = torch.linspace(-self._edge, self._edge, STATES, dtype=torch.float64)
        self.score = self.item_vectors.squeeze(1)
        """(N + 1,) float32: clickbait scores, uniform between 0 and 1."""

    def begin(self, session: Tensor) -> dict[str, State]:
        """Users of different exposure."""
        even = noise.uniform(noise.mix(session, 0)).float() - 0.5
        return {Key.LATENT: {"exposure": even.squeeze(1) / (1 - self.memory)}}

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Consume the first document that is there."""
        first = (slate > 0).to(torch.int8).argmax(1, keepdim=True)
        clicked = slate.gather(1, first).squeeze(1)
        click = clicked > 0
        places = torch.arange(slate.shape[1], device=slate.device)
        taken = (places == first) & click.unsqueeze(1)
        score = self.score.take(clicked)
        exposure = state[Key.LATENT, "exposure"]
        # Counters from 0 are the offer's.
        key = noise.mix(self.chance(state), torch.arange(-5, -3, device=self.device))
        drawn = noise.normal(key)

        level = self._level(exposure, score)
        engaged = torch.where(click, (level + DEVIATION * drawn[:, 0]).exp(), 0.0)
        expected = torch.where(click, (level + DEVIATION**2 / 2).exp(), 0.0)
        moved = self.memory * exposure - 2 * (score - 0.5) + self.innovation * drawn[:, 1]
        changed = {
            Key.LATENT: {"exposure": torch.where(click, moved, exposure)},
            Key.OBSERVATION: engaged.clamp_max(SEEN).unsqueeze(1),
            Key.TRUE_REWARD: expected.unsqueeze(1),
        }
        leave = (state[Key.STEP] + 1 >= self.time_budget).squeeze(1)
        return Response(taken, taken * engaged.unsqueeze(1), leave, changed)

    def pay(self, response: Response, changed: Mapping[str, State]) -> Tensor:
        """Engagement as it was drawn, (B, 1)."""
        return response.value.sum(1, keepdim=True)

    def oracle(self, state: TensorDictBase) -> Tensor:
        """Best expected engagement until the session's end, by dynamic programming in the twin."""
        score = self.score.take(state[Key.CANDIDATES])
        exposure = state[Key.LATENT, "exposure"].unsqueeze(1)
        budget = self.max_steps if self.ending == "fixed" else self.time_budget
        steps = min(self.max_steps, budget)
        left = (steps - 1 - state[Key.STEP]).clamp_min(0)
        moved = self.memory * exposure - 2 * (score - 0.5)
        place = ((moved / self._edge + 1) / 2 * (STATES - 1)).clamp(0, STATES - 1.001)
        below = place.long()
        later = self._later[left, below].lerp(self._later[left, below + 1], place.frac())
        return (self._level(exposure, score) + DEVIATION**2 / 2).exp() + later

    def greedy(self, state: TensorDictBase) -> Tensor:
        """Score by chocolate: at any satisfaction more of it engages more now."""
        return self.score.take(state[Key.CANDIDATES])

    def twin(self) -> tuple[Tensor, Tensor]:
        """Rewards (S, A) and laws (S, A, S), exposure on a grid, scores in equal cells."""
        score = (torch.arange(ACTIONS).double() + 0.5) / ACTIONS
        exposure = self._grid.unsqueeze(1)
        reward = (self._level(exposure, score) + DEVIATION**2 / 2).exp()
        moved = self.memory * exposure - 2 * (score - 0.5)
        weights = interpolation(moved, exposure[:, 0])
        return reward, torch.einsum("sag,gt->sat", weights, self._spread)

    def catalog(self) -> Catalog:
        """Documents named ``document-1`` to ``document-N``; texts tell chocolate from kale."""
        return describe_documents(self.score[1:].cpu().numpy())

    @property
    def _spread(self) -> Tensor:
        """(S, S) float64: the exposure's noise, by seven points of equal probability."""
        points = torch.special.ndtri((torch.arange(7).double() + 0.5) / 7)
        points = self.innovation * points / points.square().mean().sqrt()
        return interpolation(self._grid.unsqueeze(1) + points, self._grid).mean(1)

    @cached_property
    def _later(self) -> Tensor:
        """(steps, S) float32: best values after a move to each exposure, before its noise."""
        law = ranks(ACTIONS, self.offer_size or 1)
        best = best_values(*self.twin(), law, self.max_steps - 1)
        return (best @ self._spread.T).float().to(self.device)

    def _level(self, exposure: Tensor, score: Tensor) -> Tensor:
        """Mean of the logarithm of engagement."""
        satisfaction = torch.sigmoid(self.sensitivity * exposure)
        return (KALE + (CHOC - KALE) * score) * satisfaction
