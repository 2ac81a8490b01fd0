"""What a learned reward is good for elsewhere: a policy planned on it under other candidates.

In the log 20 items are on offer, drawn evenly from all. Here five are, drawn from the 500 that were
chosen most often, as a recommender might preselect them. A policy is planned on the learned reward,
by fitted value iteration over histories, and then played by people of the world, whose true rewards
are counted.
"""

from copy import deepcopy

import torch
from torch import Tensor, nn

from lightrec.data.store import TRAIN
from lightrec.keys import Column
from lightrec.simulators.worlds.far_log import FarLog
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import PooledChoice
from lightrec.users.reward_model import Continuation, average

OFFER = 5
PRESELECTED = 500
DISCOUNT = 0.9
WALKERS = 512
STEPS = 1500
RENEWED = 20
"""Steps after which a walker starts anew from a logged history."""
EXPLORE = 0.2
PEOPLE = 4000


class Popular:
    """Offers of five of the most popular items, in the store's numbers."""

    def __init__(self, data: ChoiceData, generator: torch.Generator) -> None:
        self.items = 1 + data.log_popularity[1:].topk(PRESELECTED).indices
        self.generator = generator

    def draw(self, number: int) -> Tensor:
        """(number, 5) different items."""
        weights = torch.ones(number, len(self.items))
        return self.items[torch.multinomial(weights, OFFER, generator=self.generator)]


@torch.no_grad()
def action_values(model: nn.Module, value: Continuation, history: Tensor, offers: Tensor) -> Tensor:
    """Q(s, i) of offers (B, 5), and of nothing in the last column."""
    nothing = torch.full_like(offers[:, :1], value.trunk.num_items + 1)
    later = value.after(history, torch.cat([offers, nothing], 1))
    rewards = model.reward(history, offers)
    return torch.cat([rewards, torch.zeros_like(rewards[:, :1])], 1) + DISCOUNT * later


def plan(model: nn.Module, data: ChoiceData, offers: Popular, seed: int) -> Continuation:
    """Fit the value of the best policy under the learned reward, along its own walks."""
    torch.manual_seed(seed)
    trunk = PooledChoice(data.num_items, data.vector_size, data.history_length, identity_size=0)
    trunk.set_items(data.vectors)
    value = Continuation(trunk)
    slow = deepcopy(value)
    optimizer = torch.optim.Adam(value.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=STEPS)
    starts = data.events(TRAIN)

    def fresh(number: int) -> Tensor:
        events = starts[torch.randint(len(starts), (number,), generator=offers.generator).numpy()]
        users = data.store.users_of(events)
        return torch.from_numpy(data.store.histories(users, events, data.history_length))

    history, age = fresh(WALKERS), torch.arange(WALKERS) % RENEWED
    for _ in range(STEPS):
        offered = offers.draw(WALKERS)
        values = action_values(model, slow, history, offered)
        loss = (value(history) - values.max(1).values).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        average(slow, value, 0.02)
        history = after(history, offered, explored(values, offers.generator), data.num_items)
        age = (age + 1) % RENEWED
        history[age == 0] = fresh(int((age == 0).sum()))
    return slow


def explored(values: Tensor, generator: torch.Generator) -> Tensor:
    """The best slot (B,), or now and then any."""
    rows, slots = values.shape
    best, other = values.argmax(1), torch.randint(slots, (rows,), generator=generator)
    return torch.where(torch.rand(rows, generator=generator) < EXPLORE, other, best)


def after(history: Tensor, offered: Tensor, slot: Tensor, num_items: int) -> Tensor:
    """Histories after the choice of a slot; the last one is nothing."""
    options = torch.cat([offered, torch.full_like(offered[:, :1], num_items + 1)], 1)
    return torch.cat([history[:, 1:], options.gather(1, slot.unsqueeze(1))], 1)


def planned_return(model: nn.Module, data: ChoiceData, world: FarLog, seed: int) -> float:
    """Plan, then play: the mean true reward of 20 steps of the policy's choices.

    People choose freely in the steps before, as in the log.
    """
    generator = torch.Generator().manual_seed(seed + 1000)
    names = data.store.catalog[Column.ITEM].to_list()
    own = torch.tensor([int(name[5:]) for name in names])
    offers = Popular(data, generator)
    value = plan(model, data, offers, seed)
    to_store = torch.zeros(world.ITEMS + 2, dtype=torch.int64)
    to_store[own] = torch.arange(1, len(own) + 1)
    to_store[-1] = data.num_items + 1
    to_world = torch.cat([torch.zeros(1, dtype=torch.int64), own, torch.tensor([world.ITEMS + 1])])
    state = world.new_users(PEOPLE, generator)
    history, total = torch.zeros(PEOPLE, world.LOGGED, dtype=torch.int64), torch.zeros(PEOPLE)
    for step in range(world.SESSION):
        if step < world.UNLOGGED:
            offered = world.offers(PEOPLE, generator)
            taken = world.choose(world.action_values(state, offered), offered, generator)
            history = torch.cat([history[:, 1:], to_store[taken].unsqueeze(1)], 1)
        else:
            shown = offers.draw(PEOPLE)
            slot = action_values(model, value, history, shown).argmax(1)
            gained = world.reward(state, to_world[shown])
            gained = torch.cat([gained, torch.zeros(PEOPLE, 1)], 1)
            total += gained.gather(1, slot.unsqueeze(1)).squeeze(1)
            history = after(history, shown, slot, data.num_items)
            taken = to_world[history[:, -1]]
        state = world.advance(state, taken, generator)
    return float(total.mean())
