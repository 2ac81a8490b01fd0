"""The contract of simulators: the law of sessions, and what may be shown."""

import torch
from tensordict import TensorDictBase
from torch import Tensor
from torchrl import logger
from torchrl.envs.utils import check_env_specs

from lightrec.keys import PADDING, Key
from lightrec.simulators.base import Simulator
from lightrec.simulators.world import World
from lightrec.testing.chance import seeded
from lightrec.testing.contract import Check, DoesNotApply, checks_of, expect, name_of, run_all
from lightrec.testing.simulator_chance import (
    common_chance,
    compiles,
    input_unchanged,
    other_seed,
    partial_reset,
    same_seed,
)
from lightrec.testing.simulator_play import ROWS, MakeSimulator, exhausted, rollout
from lightrec.testing.simulator_shown import (
    mask_column_0,
    masked_item,
    next_mask,
    offers,
    repeated_item,
)


def simulator_checks(make: MakeSimulator, part: str | None = None) -> list[Check]:
    """Give the checks of a simulator.

    :param make: builds a fresh simulator of as many sessions as it is given.
    :param part: its name in ids and messages; by default that of ``make``.
    """
    return checks_of(part or name_of(make), CHECKS, make, around=seeded)


def check_simulator(make: MakeSimulator) -> None:
    """Run all checks of a simulator.

    :raises ContractError: that lists all that failed.
    """
    run_all(simulator_checks(make))


def specs(make: MakeSimulator) -> None:
    """TorchRL's own check: what is emitted is what the specs announce."""
    level = logger.level
    try:
        logger.setLevel("WARNING")  # it tells of success too
        check_env_specs(make(ROWS), break_when_any_done="both")
    except AssertionError as error:
        expect(
            False,
            "What a simulator emits fits its specs (torchrl.envs.utils.check_env_specs).",
            f"TorchRL says: {' '.join(str(error).split())[:500].rstrip('.')}.",
            "Give every key the shape and dtype that the base class announces, and announce "
            "every further key in `observation_spec`.",
        )
    finally:
        logger.setLevel(level)


def batch_size(make: MakeSimulator) -> None:
    """As many sessions side by side as were asked for, down to one."""
    for rows in (1, 3):
        simulator = make(rows)
        expect(
            tuple(simulator.batch_size) == (rows,) and simulator.reset().shape == (rows,),
            f"A simulator built for {rows} sessions has batch size ({rows},).",
            f"It has {tuple(simulator.batch_size)}, its states {tuple(simulator.reset().shape)}.",
            "Hand the batch size on to `Simulator.__init__`, and let `start` fill every row.",
        )


def reset(make: MakeSimulator) -> None:
    """A session begins at step 0, with nothing accepted and nothing over."""
    state = make(ROWS).reset()
    names = (Key.STEP, Key.ACCEPTED, Key.ACCEPTED_TOTAL, Key.TAKEN)
    wrong = [n for n in (*names, "done", "terminated", "truncated") if state[n].any()]
    expect(
        not wrong,
        "A session begins at step 0, with nothing accepted and nothing over.",
        f"After a reset these are not 0: {', '.join(wrong)}.",
        "Leave these keys to the base class.",
    )


def taken_items(make: MakeSimulator) -> None:
    """What is taken was shown, and is counted."""
    steps = rollout(make(ROWS))
    taken, slate = steps["next", Key.TAKEN], steps[Key.ACTION]
    empty = taken & (slate == PADDING)
    expect(
        not empty.any(),
        "Of a slate, nothing is taken from an empty place.",
        f"{int(empty.sum())} of {int(taken.sum())} items taken are 0.",
        "Return from `respond` in `taken` places of the slate that hold an item.",
    )
    accepted = taken.sum(-1, keepdim=True).float()
    counted = steps["next", Key.ACCEPTED_TOTAL] == steps[Key.ACCEPTED_TOTAL] + accepted
    expect(
        (steps["next", Key.ACCEPTED] == accepted).all() and counted.all(),
        "`accepted` counts what was taken, and `accepted_total` adds it up.",
        "They do not follow from `taken`.",
        "Leave both to the base class.",
    )


def step_counts(make: MakeSimulator) -> None:
    """Every step counts one."""
    steps = rollout(make(ROWS))
    moved = steps["next", Key.STEP] - steps[Key.STEP]
    expect(
        (moved == 1).all(),
        "Each step adds 1 to `step`.",
        f"It adds {sorted(set(moved.flatten().tolist()))}.",
        "Leave `step` to the base class.",
    )


def history(make: MakeSimulator) -> None:
    """What was accepted enters the history at its end, and nothing else that was shown does."""
    simulator = make(ROWS)
    steps = rollout(simulator)
    before, after = steps[Key.HISTORY], steps["next", Key.HISTORY]
    entered = steps[Key.ACTION] * steps["next", Key.TAKEN]
    declined = ~steps["next", Key.TAKEN].any(-1)
    entered[..., 0] += declined * (simulator.num_items + 1)
    longer = torch.cat([before, entered], -1)
    order = (longer > PADDING).to(torch.int8).sort(dim=-1, stable=True).indices
    moved = longer.gather(-1, order)[..., -before.shape[-1] :]
    good = (after == moved).all(-1) | (declined & _equal(after, before))
    expect(
        good.all(),
        "Each accepted item moves the history on by one and stands at its end; a declined slate "
        "leaves the history, or enters as N + 1.",
        f"{int((~good).sum())} of {good.numel()} steps change it otherwise.",
        "Change histories in `remember` only, and call the base class's from it.",
    )


def reward(make: MakeSimulator) -> None:
    """Rewards are numbers."""
    rewards = rollout(make(ROWS))["next", "reward"]
    expect(
        rewards.dtype == torch.float32 and rewards.isfinite().all(),
        "Rewards are finite float32.",
        f"They are {rewards.dtype}, finite: {bool(rewards.isfinite().all())}.",
        "Look for logarithms of 0 in the reward, and for integers that need `.float()`.",
    )


def endings(make: MakeSimulator) -> None:
    """An end is a leaving or a cut, never both, and done is either."""
    simulator = make(ROWS)
    steps = rollout(simulator, simulator.max_steps)
    done, left, cut = (steps["next", name] for name in ("done", "terminated", "truncated"))
    expect(
        not (left & cut).any() and torch.equal(done, left | cut),
        "A session ends because its user left (`terminated`) or was cut off (`truncated`), never "
        "both, and `done` is either.",
        f"Both are set in {int((left & cut).sum())} steps, and `done` is not their union in "
        f"{int((done != (left | cut)).sum())}.",
        "Set `truncated` only where the user has not left in this very step.",
    )


def cut(make: MakeSimulator) -> None:
    """No session is longer than ``max_steps``, nor goes on with nothing to show."""
    simulator = make(ROWS)
    steps = rollout(simulator, simulator.max_steps)
    _must_end(simulator, steps, "a session is over")


def fixed(make: MakeSimulator) -> None:
    """With ``ending="fixed"`` every session has all its steps."""
    simulator = make(ROWS)
    simulator.ending = "fixed"
    steps = rollout(simulator, simulator.max_steps)
    expect(
        not steps["next", "terminated"].any(),
        "With `ending='fixed'` nobody leaves before `max_steps`.",
        f"{int(steps['next', 'terminated'].any(1).sum())} of {ROWS} users left.",
        "Leave ends to the base class; give the probability of leaving from `respond`.",
    )
    _must_end(simulator, steps, "with `ending='fixed'` a session is over")
    over = steps["next", "done"] & ~exhausted(steps)
    early = over & (steps["next", Key.STEP] < simulator.max_steps)
    expect(
        not early.any(),
        f"With `ending='fixed'` a session has exactly {simulator.max_steps} steps.",
        f"{int(early.any(1).sum())} of {ROWS} are over earlier, with items left to show.",
        "Leave ends to the base class.",
    )


def truth(make: MakeSimulator) -> None:
    """A world knows its truth, and keeps it where no policy looks."""
    world = make(ROWS)
    if not isinstance(world, World):
        raise DoesNotApply("It is no world: its truth is not known.")
    steps = rollout(world)
    true = steps["next", Key.TRUE_REWARD]
    names = sorted(steps[Key.LATENT].keys())
    expect(
        bool(true.isfinite().all()) and names == sorted(world.latent_shapes),
        "A world's steps hold the finite true reward, and its latent state.",
        f"True rewards finite: {bool(true.isfinite().all())}; latent: {', '.join(names)}.",
        "Return the true reward and all latent tensors among what changed.",
    )
    state = world.reset()
    columns = world.offer_size or world.num_items + 1
    scores = world.oracle(state)
    expect(
        scores.shape == (ROWS, columns),
        f"The oracle scores what may be shown: ({ROWS}, {columns}).",
        f"Its scores have the shape {tuple(scores.shape)}.",
        "Return scores of the candidates, or of all items with column 0 for padding.",
    )
    described = len(world.catalog())
    expect(
        described == world.num_items == len(world.item_vectors) - 1,
        f"The catalog and the vectors describe all {world.num_items} items.",
        f"The catalog has {described} rows, the vectors {len(world.item_vectors)}.",
        "Give a row for every item, and to the vectors row 0 for padding besides.",
    )


CHECKS = (
    specs,
    batch_size,
    reset,
    same_seed,
    other_seed,
    mask_column_0,
    next_mask,
    offers,
    masked_item,
    repeated_item,
    taken_items,
    step_counts,
    history,
    reward,
    endings,
    cut,
    fixed,
    partial_reset,
    input_unchanged,
    common_chance,
    compiles,
    truth,
)


def _equal(one: Tensor, other: Tensor) -> Tensor:
    return (one == other).all(-1)


def _must_end(simulator: Simulator, steps: TensorDictBase, what: str) -> None:
    last = (steps["next", Key.STEP] >= simulator.max_steps) | exhausted(steps)
    going = last & ~steps["next", "done"]
    expect(
        not going.any(),
        f"After `max_steps`, here {simulator.max_steps}, or with nothing left to show, {what}.",
        f"{int(going.any(1).sum())} of {len(going)} sessions go on.",
        "Leave ends to the base class.",
    )
