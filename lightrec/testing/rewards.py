"""The contract of rewards: what must hold for the numbers of any transitions."""

from collections.abc import Callable

import torch
from tensordict import TensorDict
from torch import Tensor

from lightrec.keys import PADDING, Key
from lightrec.rewards.base import Reward
from lightrec.testing import tiny
from lightrec.testing.chance import seeded
from lightrec.testing.contract import Check, DoesNotApply, checks_of, expect, name_of, run_all
from lightrec.testing.tensors import described, same

MakeReward = Callable[[], Reward]

ROWS, LENGTH, PLACES = 6, 8, 3
NUM_ITEMS = 12


def reward_checks(
    make: MakeReward, num_items: int = NUM_ITEMS, part: str | None = None
) -> list[Check]:
    """Give the checks of a reward.

    :param make: builds a fresh reward, such as its class.
    :param num_items: number of items N that the reward knows, 8 or more.
    :param part: its name in ids and messages; by default that of ``make``.
    """
    return checks_of(part or name_of(make), CHECKS, make, num_items, around=seeded)


def check_reward(make: MakeReward, num_items: int = NUM_ITEMS) -> None:
    """Run all checks of a reward.

    :raises ContractError: that lists all that failed.
    """
    run_all(reward_checks(make, num_items))


def shape_and_type(make: MakeReward, num_items: int) -> None:
    """One float32 a transition, in a column."""
    found = _ready(make)(transitions(num_items))
    expect(
        isinstance(found, Tensor) and found.shape == (ROWS, 1) and found.dtype == torch.float32,
        f"{ROWS} transitions give a tensor of shape {(ROWS, 1)}, float32.",
        f"They gave {described(found)}.",
        "Sum over places with `keepdim=True`, and end with `.float()`.",
    )


def finite(make: MakeReward, num_items: int) -> None:
    """No NaN and no infinity."""
    found = _ready(make)(transitions(num_items))
    expect(
        found.isfinite().all(),
        "Rewards are finite.",
        f"{int((~found.isfinite()).sum())} of {len(found)} are NaN or infinite.",
        "Look for the logarithm of 0, and for the utility of padding, which is minus infinity.",
    )


def device(make: MakeReward, num_items: int) -> None:
    """Rewards are where the transitions are."""
    where = "cuda" if torch.cuda.is_available() else "cpu"
    found = _ready(make).to(where)(transitions(num_items).to(where))
    expect(
        found.device.type == where,
        f"Transitions on {where} give rewards on {where}.",
        f"They came on {found.device}.",
        "Make new tensors with `device=slate.device`, and register tensors as buffers.",
    )


def taken_under_next(make: MakeReward, num_items: int) -> None:
    """The response may stand at the root or under ``next``."""
    reward, rows = _steady(make, num_items)
    nested = rows.exclude(Key.TAKEN)
    nested["next"] = TensorDict({Key.TAKEN: rows[Key.TAKEN]}, batch_size=[ROWS])
    same(
        reward(nested),
        reward(rows),
        "`taken` is read at the root and under `next` alike.",
        "Read it with `self.taken(transition)`.",
    )


def padding(make: MakeReward, num_items: int) -> None:
    """More padding on the left changes nothing."""
    reward, rows = _steady(make, num_items)
    longer = rows.clone()
    longer[Key.HISTORY] = torch.nn.functional.pad(rows[Key.HISTORY], (5, 0))
    same(
        reward(longer),
        reward(rows),
        "More padding on the left of the history changes no reward.",
        "Leave out what is 0 in the history, and count from its right end.",
    )


def rows_apart(make: MakeReward, num_items: int) -> None:
    """A transition's reward does not depend on the transitions beside it."""
    reward, rows = _steady(make, num_items)
    alone = torch.cat([reward(rows[row : row + 1]) for row in range(ROWS)])
    same(
        reward(rows),
        alone,
        "A transition's reward is the same in a batch and alone.",
        "Do not normalise over the batch; compute each row from itself.",
    )


def order_of_rows(make: MakeReward, num_items: int) -> None:
    """Rewards come in the order of the transitions."""
    reward, rows = _steady(make, num_items)
    turned = torch.arange(ROWS - 1, -1, -1)
    same(
        reward(rows[turned]),
        reward(rows)[turned],
        "Rewards stand in the order of the transitions.",
        "If rows are sorted or grouped on the way, put the rewards back into their places.",
    )


def nothing_accepted(make: MakeReward, num_items: int) -> None:
    """A batch in which nobody accepts anything."""
    rows = transitions(num_items)
    rows[Key.TAKEN] = torch.zeros_like(rows[Key.TAKEN])
    found = _ready(make)(rows)
    expect(
        found.shape == (ROWS, 1) and found.isfinite().all(),
        "Where nothing is accepted (0), the reward is a finite number.",
        f"It is {described(found)}, finite: {bool(found.isfinite().all())}.",
        "Index tables with `slate.clamp_min(1)` and mask what came of 0 afterwards.",
    )


def empty_places(make: MakeReward, num_items: int) -> None:
    """Slates may have empty places, and be empty as a whole."""
    rows = transitions(num_items)
    slate = rows[Key.ACTION].clone()
    slate[:, 1:] = PADDING
    slate[0] = PADDING
    rows[Key.ACTION], rows[Key.TAKEN] = slate, rows[Key.TAKEN][:, [1, 0, 2]] & (slate > PADDING)
    found = _ready(make)(rows)
    expect(
        found.shape == (ROWS, 1) and found.isfinite().all(),
        "Slates with empty places (0) give finite rewards.",
        f"They gave {described(found)}, finite: {bool(found.isfinite().all())}.",
        "Leave out what is 0 in the slate.",
    )


def input_unchanged(make: MakeReward, num_items: int) -> None:
    """The transition is only read."""
    rows = transitions(num_items)
    before = rows.clone()
    _ready(make)(rows)
    keys = {*before.keys(True, True), *rows.keys(True, True)}
    changed = [k for k in keys if k not in rows or k not in before or (rows[k] != before[k]).any()]
    expect(
        not changed,
        "A reward leaves the transition as it is.",
        f"It changed {', '.join(map(str, changed))}.",
        "Clone a tensor before you write into it, and return the reward in place of setting it.",
    )


def deterministic(make: MakeReward, num_items: int) -> None:
    """The same transition has the same reward again."""
    reward, rows = _ready(make), transitions(num_items)
    same(
        reward(rows),
        reward(rows),
        "The same transitions have the same rewards again.",
        "Take chance and running statistics out of `forward`.",
    )


def state_dict(make: MakeReward, num_items: int) -> None:
    """Saved weights are all that a fresh reward needs."""
    reward, fresh, rows = _ready(make), _ready(make), transitions(num_items)
    if not reward.state_dict():
        raise DoesNotApply("The reward has no weights.")
    _refuse_chance(reward, rows)
    for parameter in reward.parameters():
        parameter.data = parameter.data + 0.1 * torch.rand_like(parameter)
    fresh.load_state_dict(reward.state_dict())
    same(
        fresh(rows),
        reward(rows),
        "A fresh reward that loads the state_dict gives the same rewards.",
        "Register every tensor that rewards depend on, by `register_buffer` or as a parameter.",
    )


CHECKS = (
    shape_and_type,
    finite,
    device,
    taken_under_next,
    padding,
    rows_apart,
    order_of_rows,
    nothing_accepted,
    empty_places,
    input_unchanged,
    deterministic,
    state_dict,
)


def transitions(num_items: int) -> TensorDict:
    """Make six transitions: history (6, 8), action (6, 3) and taken (6, 3): nothing, one or two."""
    history = torch.randint(1, num_items + 1, (ROWS, LENGTH))
    history = history * (torch.arange(LENGTH) >= torch.arange(ROWS).unsqueeze(1))
    history[-1] = PADDING
    slate = torch.stack([torch.randperm(num_items)[:PLACES] + 1 for _ in range(ROWS)])
    row = torch.arange(ROWS)
    taken = torch.stack([row < 0, row % 2 == 0, row == 2], 1)
    users = torch.arange(ROWS)
    data = {Key.USER: users, Key.HISTORY: history, Key.ACTION: slate, Key.TAKEN: taken}
    return TensorDict(data, batch_size=[ROWS])


def _ready(make: MakeReward) -> Reward:
    reward = make().eval()
    reward.bind(tiny.tiny_context())
    return reward


def _steady(make: MakeReward, num_items: int) -> tuple[Reward, TensorDict]:
    """Give a reward and transitions whose rewards do not change from call to call."""
    reward, rows = _ready(make), transitions(num_items)
    _refuse_chance(reward, rows)
    return reward, rows


def _refuse_chance(reward: Reward, rows: TensorDict) -> None:
    if not torch.equal(reward(rows), reward(rows)):
        raise DoesNotApply("Its rewards change from call to call; see the check `deterministic`.")
