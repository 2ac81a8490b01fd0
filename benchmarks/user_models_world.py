"""A world of short sessions over slates, whose law of choice can be computed from its log."""

import numpy as np
import polars as pl
import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.data.catalog import Catalog
from lightrec.data.store import EventStore
from lightrec.keys import Column, Key
from lightrec.simulators import noise
from lightrec.simulators.base import Response, State
from lightrec.simulators.world import World

TOPICS, ITEMS = 10, 200
DECAY = 0.8


class HabitWorld(World):
    """Users of several hidden types, whom what they pick makes want more of its topic, or less.

    A user of type z picks item i of topic t with probability ∝ exp(taste[z, t] + quality[i] +
    habit[t] · m[t]), or nothing with weight 1; m is .8 m + 1 in the topic picked. They leave with
    probability sigmoid(-1.2 - 1.2 · picked + .08 · step). Each step offers 10 of 200 items.

    :param batch_size: sessions B.
    :param seed: of tastes, qualities and habits.
    :param types: number of hidden types; with one, the law follows from what the log shows.
    """

    def __init__(
        self,
        batch_size: int,
        *,
        seed: int = 0,
        types: int = 1,
        slate_size: int = 5,
        max_steps: int = 30,
        device: torch.device | str = "cpu",
    ) -> None:
        chance = torch.Generator().manual_seed(seed)
        topic = torch.arange(ITEMS) % TOPICS
        super().__init__(
            torch.cat([torch.zeros(1, TOPICS), torch.eye(TOPICS)[topic]]),
            batch_size,
            latent={"type": (), "memory": (TOPICS,)},
            history_length=max_steps,
            slate_size=slate_size,
            max_steps=max_steps,
            offer_size=10,
            repeats=True,
            device=device,
        )
        self.types = types
        self.topic = torch.cat([torch.zeros(1, dtype=torch.int64), topic])
        self.taste = 1.2 * torch.randn(types, TOPICS, generator=chance) - 1.0
        self.quality = 0.5 * torch.randn(ITEMS + 1, generator=chance)
        self.habit = 4 * torch.rand(TOPICS, generator=chance) - 2

    def begin(self, session: Tensor) -> dict[str, State]:
        """Draw a type; nothing is remembered."""
        kind = noise.below(noise.mix(session, 1), self.types).float().squeeze(1)
        memory = torch.zeros(len(session), TOPICS)
        return {Key.LATENT: {"type": kind, "memory": memory}}

    def offer(self, state: TensorDictBase) -> Tensor:
        """Ten items, drawn evenly."""
        return 1 + noise.distinct(noise.mix(self.chance(state), -3), 10, ITEMS)

    def utilities(self, kind: Tensor, memory: Tensor, items: Tensor) -> Tensor:
        """Utilities (B, C) for types (B,) with memories (B, T), minus infinity for padding."""
        topic = self.topic[items]
        habit = (self.habit * memory).gather(1, topic)
        found = self.taste[kind.long()].gather(1, topic) + self.quality[items] + habit
        return found.masked_fill(items == 0, -torch.inf)

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Pick by utilities plus Gumbel noise; a pick is worth 1."""
        latent = state[Key.LATENT]
        utility = self.utilities(latent["type"], latent["memory"], slate)
        utility = torch.nn.functional.pad(utility, (0, 1))
        key = noise.mix(noise.mix(self.chance(state), 2), torch.arange(slate.shape[1] + 1))
        place = (utility + noise.gumbel(key)).argmax(1, keepdim=True)
        taken = place == torch.arange(slate.shape[1])
        clicked = (slate * taken).sum(1, keepdim=True)
        picked = taken.any(1, keepdim=True).float()
        memory = DECAY * latent["memory"]
        memory = memory.scatter_add(1, self.topic[clicked], picked)
        step = state[Key.STEP].float() + 1
        leave = torch.sigmoid(-1.2 - 1.2 * picked + 0.08 * step).squeeze(1)
        latent = {"type": latent["type"], "memory": memory}
        return Response(taken, taken.float(), leave, {Key.LATENT: latent})

    def oracle(self, state: TensorDictBase) -> Tensor:
        """The likeliest picks."""
        latent = state[Key.LATENT]
        return self.utilities(latent["type"], latent["memory"], state[Key.CANDIDATES])

    def catalog(self) -> Catalog:
        """Items with their topic."""
        names = [f"item-{i:03d}" for i in range(1, ITEMS + 1)]
        topics = [f"topic-{t}" for t in self.topic[1:].tolist()]
        return Catalog(pl.DataFrame({Column.ITEM: names, "topic": topics}))

    def log_likelihood(self, store: EventStore) -> np.ndarray:
        """What the law itself gives to every choice (E,) of a log, in nats.

        Who knows the law but not the types weighs them by what the session has shown so far.
        """
        number = store.catalog[Column.ITEM].str.slice(5).cast(pl.Int64).to_numpy()
        number = torch.from_numpy(np.concatenate([[0], number, [0]]))
        items = number[torch.from_numpy(np.array(store.items, dtype=np.int64))]
        slates = number[torch.from_numpy(np.array(store.candidates, dtype=np.int64))]
        begins, ends = store.session_offsets[:-1], store.session_offsets[1:]
        found = torch.zeros(len(items))
        memory = torch.zeros(len(begins), TOPICS)
        weight = torch.zeros(len(begins), self.types)
        for step in range(int((ends - begins).max())):
            rows = torch.from_numpy(np.flatnonzero(begins + step < ends))
            events = torch.from_numpy(begins)[rows] + step
            slate, item = slates[events], items[events]
            slot = torch.where(item > 0, (slate == item[:, None]).int().argmax(1), slate.shape[1])
            told = torch.stack(
                [
                    torch.nn.functional.pad(
                        self.utilities(torch.full((len(rows),), z), memory[rows], slate), (0, 1)
                    )
                    .log_softmax(1)
                    .gather(1, slot[:, None])
                    .squeeze(1)
                    for z in range(self.types)
                ],
                1,
            )
            after = weight[rows] + told
            found[events] = after.logsumexp(1) - weight[rows].logsumexp(1)
            weight[rows] = after
            moved = DECAY * memory[rows]
            memory[rows] = moved.scatter_add(
                1, self.topic[item][:, None], (item > 0).float()[:, None]
            )
        return found.numpy()
