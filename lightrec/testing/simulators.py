"""The contract of simulators: the law of sessions, and what may be shown."""

from collections.abc import Callable

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl import logger
from torchrl.envs.utils import check_env_specs

from lightrec.keys import PADDING, Key
from lightrec.simulators.base import Simulator
from lightrec.simulators.world import World
from lightrec.testing.chance import SEED, seeded
from lightrec.testing.contract import Check, DoesNotApply, checks_of, expect, name_of, run_all

MakeSimulator = Callable[[int], Simulator]

ROWS = 6
STEPS = 12
"""How many steps of a session are looked at where the end does not matter."""


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
    names = (Key.STEP, Key.ACCEPTED, Key.ACCEPTED_TOTAL, Key.CLICKED)
    wrong = [n for n in (*names, "done", "terminated", "truncated") if state[n].any()]
    expect(
        not wrong,
        "A session begins at step 0, with nothing accepted and nothing over.",
        f"After a reset these are not 0: {', '.join(wrong)}.",
        "Leave these keys to the base class.",
    )


def same_seed(make: MakeSimulator) -> None:
    """One seed, one course of events."""
    first, second = (_rollout(_with_seed(make, 7)) for _ in range(2))
    differing = [key for key in _keys(first) if not torch.equal(first[key], second[key])]
    expect(
        not differing,
        "After `set_seed` with one seed, the same actions have the same consequences.",
        f"Two rollouts differ in {', '.join(map(str, differing))}.",
        "Draw from `self.generator` in `start`, and compute all later chance from the key "
        "`session` with `lightrec.simulators.noise`.",
    )


def other_seed(make: MakeSimulator) -> None:
    """Another seed, another course of events."""
    first, second = (_rollout(_with_seed(make, seed)) for seed in (7, 8))
    expect(
        any(not torch.equal(first[key], second[key]) for key in _keys(first)),
        "After `set_seed` with another seed, something else happens.",
        "Two rollouts are the same to the last number.",
        "Hand `self.generator` to every draw in `start`, in place of a generator with a fixed "
        "seed.",
    )


def mask_column_0(make: MakeSimulator) -> None:
    """Padding is no item."""
    simulator = make(ROWS)
    if simulator.offer_size is not None:
        raise DoesNotApply("It makes offers, and has no mask.")
    masks = _masks(_rollout(simulator))
    expect(
        not masks[..., PADDING].any(),
        "Column 0 of the mask is False in every state, since 0 is no item.",
        f"It is True in {int(masks[..., PADDING].sum())} states.",
        "Set `mask[:, 0] = False` in `start`, and in what replaces the base class's step.",
    )


def next_mask(make: MakeSimulator) -> None:
    """What was shown leaves the mask, unless items repeat."""
    simulator = make(ROWS)
    if simulator.offer_size is not None:
        raise DoesNotApply("It makes offers, and has no mask.")
    steps = _rollout(simulator)
    shown, following = steps[Key.ACTION], steps["next", Key.MASK]
    again = following.gather(-1, shown) & (shown > PADDING)
    if simulator.repeats:
        expect(
            (again == (shown > PADDING)).all(),
            "Where items repeat, what was shown may be shown again.",
            f"{int(((shown > PADDING) & ~again).sum())} items shown have left the mask.",
            "Keep the mask as it is where `self.repeats` is True.",
        )
    expect(
        simulator.repeats or not again.any(),
        "Where items do not repeat, the next state's mask no longer holds what was shown.",
        f"{int(again.sum())} of {int((shown > PADDING).sum())} items shown may be shown again.",
        "Leave the mask of the next state to the base class, or build the simulator with "
        "`repeats=True`.",
    )


def offers(make: MakeSimulator) -> None:
    """Every state offers distinct items, the one after the last step too."""
    simulator = make(ROWS)
    if simulator.offer_size is None:
        raise DoesNotApply("It has a mask, and makes no offers.")
    steps = _rollout(simulator)
    found = torch.cat([steps[Key.CANDIDATES], steps["next", Key.CANDIDATES][:, -1:]], 1)
    ordered = found.sort(-1).values
    again = (ordered[..., 1:] == ordered[..., :-1]) & (ordered[..., 1:] > PADDING)
    outside = (found < PADDING) | (found > simulator.num_items)
    expect(
        not again.any() and not outside.any(),
        f"An offer holds distinct items, 1 to {simulator.num_items}; 0 fills it up.",
        f"{int(again.any(-1).sum())} of {again[..., 0].numel()} offers hold an item twice, "
        f"{int(outside.any(-1).sum())} one that does not exist.",
        "Draw them with `lightrec.simulators.noise.distinct`, which counts from 0: add 1.",
    )


def masked_item(make: MakeSimulator) -> None:
    """An item that may not be shown is refused."""
    simulator = make(ROWS)
    state = _acting(simulator, simulator.reset())
    item = int(state[Key.ACTION][0, 0])
    name = Key.MASK if simulator.offer_size is None else Key.CANDIDATES
    state[name] = state[name].clone()
    if simulator.offer_size is None:
        state[name][0, item] = False
    else:
        state[name][0] *= state[name][0] != item
    _refused(simulator, state, "an item that may not be shown")


def repeated_item(make: MakeSimulator) -> None:
    """A slate that holds an item twice is refused."""
    simulator = make(ROWS)
    if simulator.slate_size == 1:
        raise DoesNotApply("Its slates have one place.")
    state = _acting(simulator, simulator.reset())
    slate = state[Key.ACTION].clone()
    slate[0, 1] = slate[0, 0]
    state[Key.ACTION] = slate
    _refused(simulator, state, "one item twice")


def clicked(make: MakeSimulator) -> None:
    """What is accepted was shown, and is counted."""
    steps = _rollout(make(ROWS))
    clicks, slate = steps["next", Key.CLICKED], steps[Key.ACTION]
    shown = (slate == clicks).any(-1, keepdim=True) | (clicks == PADDING)
    expect(
        shown.all(),
        "What a user accepts stands in the slate, or is 0 for nothing.",
        f"{int((~shown).sum())} of {shown.numel()} answers are items that were not shown.",
        "Return from `respond` one of the slate's items, or 0.",
    )
    accepted = (clicks > PADDING).float()
    counted = steps["next", Key.ACCEPTED_TOTAL] == steps[Key.ACCEPTED_TOTAL] + accepted
    expect(
        (steps["next", Key.ACCEPTED] == accepted).all() and counted.all(),
        "`accepted` is 1 where something was accepted, and `accepted_total` adds it up.",
        "They do not follow from `clicked`.",
        "Leave both to the base class.",
    )


def step_counts(make: MakeSimulator) -> None:
    """Every step counts one."""
    steps = _rollout(make(ROWS))
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
    steps = _rollout(simulator)
    before, after = steps[Key.HISTORY], steps["next", Key.HISTORY]
    clicks = steps["next", Key.CLICKED]
    nothing = torch.full_like(clicks, simulator.num_items + 1)
    entered = torch.cat([before[..., 1:], torch.where(clicks > PADDING, clicks, nothing)], -1)
    good = (after == entered).all(-1) | ((clicks == PADDING).squeeze(-1) & _equal(after, before))
    expect(
        good.all(),
        "An accepted item moves the history on by one and stands at its end; a declined slate "
        "leaves the history, or enters as N + 1.",
        f"{int((~good).sum())} of {good.numel()} steps change it otherwise.",
        "Change histories in `remember` only, and call the base class's from it.",
    )


def reward(make: MakeSimulator) -> None:
    """Rewards are numbers."""
    rewards = _rollout(make(ROWS))["next", "reward"]
    expect(
        rewards.dtype == torch.float32 and rewards.isfinite().all(),
        "Rewards are finite float32.",
        f"They are {rewards.dtype}, finite: {bool(rewards.isfinite().all())}.",
        "Look for logarithms of 0 in the reward, and for integers that need `.float()`.",
    )


def endings(make: MakeSimulator) -> None:
    """An end is a leaving or a cut, never both, and done is either."""
    simulator = make(ROWS)
    steps = _rollout(simulator, simulator.max_steps)
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
    steps = _rollout(simulator, simulator.max_steps)
    _must_end(simulator, steps, "a session is over")


def fixed(make: MakeSimulator) -> None:
    """With ``ending="fixed"`` every session has all its steps."""
    simulator = make(ROWS)
    simulator.ending = "fixed"
    steps = _rollout(simulator, simulator.max_steps)
    expect(
        not steps["next", "terminated"].any(),
        "With `ending='fixed'` nobody leaves before `max_steps`.",
        f"{int(steps['next', 'terminated'].any(1).sum())} of {ROWS} users left.",
        "Leave ends to the base class; give the probability of leaving from `respond`.",
    )
    _must_end(simulator, steps, "with `ending='fixed'` a session is over")
    over = steps["next", "done"] & ~_exhausted(steps)
    early = over & (steps["next", Key.STEP] < simulator.max_steps)
    expect(
        not early.any(),
        f"With `ending='fixed'` a session has exactly {simulator.max_steps} steps.",
        f"{int(early.any(1).sum())} of {ROWS} are over earlier, with items left to show.",
        "Leave ends to the base class.",
    )


def partial_reset(make: MakeSimulator) -> None:
    """A reset of some rows leaves the others where they are."""
    simulator = make(ROWS)
    state = _rollout(simulator, 2)[:, -1]["next"].exclude("reward").clone()
    again = torch.arange(ROWS).unsqueeze(1) % 2 == 0
    state["_reset"] = again
    fresh = simulator.reset(state.clone())
    following = simulator.step(_acting(simulator, fresh.clone()))["next", Key.STEP]
    counts = torch.where(again, 0, 2)
    moved = (fresh[Key.STEP] != counts) | (following != counts + 1)
    kept = ~again.squeeze(1)
    others = [
        key
        for key in (Key.USER, Key.HISTORY, _choice(simulator), Key.SESSION)
        if not torch.equal(fresh[key][kept], state[key][kept])
    ]
    expect(
        not moved.any() and not others,
        "A reset of some sessions begins these anew and leaves the others as they are.",
        f"{int(moved.sum())} sessions are at a wrong step; changed in the others: "
        f"{', '.join(others) or 'nothing'}.",
        "Keep no state in attributes of the simulator; it belongs in the TensorDict.",
    )


def input_unchanged(make: MakeSimulator) -> None:
    """A step does not change the state that it is given."""
    simulator = make(ROWS)
    state = _acting(simulator, simulator.reset())
    before = state.clone()
    simulator.step(state)
    changed = [key for key in _keys(before) if not torch.equal(before[key], state[key])]
    expect(
        not changed,
        "A step leaves the state that it is given as it is.",
        f"It changed {', '.join(map(str, changed))}.",
        "Clone a tensor before you write into it.",
    )


def common_chance(make: MakeSimulator) -> None:
    """A user who is given meets the same chance in any place and company."""
    users, order = torch.arange(ROWS) % 2, torch.arange(ROWS).flip(0)
    found = []
    for given in (users, users[order]):
        simulator = make(ROWS)
        simulator.fix(given, 7)
        found.append(_first(simulator))
    differing = [key for key in _keys(found[0]) if not _close(found[0][key][order], found[1][key])]
    expect(
        not differing,
        "After `fix`, a user meets the same chance in whatever row, beside whatever others.",
        f"In another row these differ: {', '.join(map(str, differing))}.",
        "Compute chance from `self.chance(state)` with `lightrec.simulators.noise`, and draw "
        "nothing for a whole batch at once.",
    )


def compiles(make: MakeSimulator) -> None:
    """A step is one graph for torch.compile, and does the same."""
    simulator = make(ROWS)
    state = _acting(simulator, simulator.reset())
    expected = simulator._step(state.clone())
    torch.compiler.reset()
    try:
        # User models may hold recurrent networks, which torch.compile takes only where it is told.
        with torch._dynamo.config.patch(allow_rnn=True):
            found = torch.compile(simulator._step, backend="eager", fullgraph=True)(state.clone())
    except torch._dynamo.exc.TorchDynamoException as error:
        expect(
            False,
            "A step compiles as one graph (torch.compile with fullgraph=True).",
            f"It breaks: {' '.join(str(error).split())[:300].rstrip('.')}.",
            "Decide with `torch.where`, not with `if`, and ask no tensor for its number.",
        )
    differing = [key for key in _keys(expected) if not _close(expected[key], found[key])]
    expect(
        not differing,
        "A compiled step does what the step does.",
        f"These differ: {', '.join(map(str, differing))}.",
        "Keep no state outside of the TensorDict.",
    )


def truth(make: MakeSimulator) -> None:
    """A world knows its truth, and keeps it where no policy looks."""
    world = make(ROWS)
    if not isinstance(world, World):
        raise DoesNotApply("It is no world: its truth is not known.")
    steps = _rollout(world)
    true = steps["next", Key.TRUE_REWARD]
    names = sorted(steps[Key.LATENT].keys())
    expect(
        bool(true.isfinite().all()) and names == sorted(world.latent_shapes),
        "A world's steps hold the finite true reward, and its latent state.",
        f"True rewards finite: {bool(true.isfinite().all())}; latent: {', '.join(names)}.",
        "Return the true reward from `react`, and all latent tensors among what changed.",
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
    clicked,
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


def _with_seed(make: MakeSimulator, seed: int) -> Simulator:
    simulator = make(ROWS)
    simulator.set_seed(seed)
    return simulator


def _acting(simulator: Simulator, state: TensorDictBase) -> TensorDictBase:
    chance = torch.Generator().manual_seed(SEED)
    return state.set(Key.ACTION, _slate(state, simulator, chance))


def _first(simulator: Simulator) -> TensorDictBase:
    """Show the first items that may be shown, two steps long; what was there and came."""
    state = simulator.reset()
    for _ in range(2):
        if simulator.offer_size is None:
            size = simulator.slate_size
            slate = (
                state[Key.MASK].int().sort(dim=1, descending=True, stable=True).indices[:, :size]
            )
        else:
            slate = state[Key.CANDIDATES][:, : simulator.slate_size]
        state = simulator.step(state.set(Key.ACTION, slate))["next"]
    return state


def _rollout(simulator: Simulator, steps: int = STEPS) -> TensorDict:
    """Play the same random slates in every call: (B, T) transitions, ends passed over."""
    chance = torch.Generator().manual_seed(SEED)
    state, played = simulator.reset(), []
    for _ in range(steps):
        state[Key.ACTION] = _slate(state, simulator, chance)
        whole = simulator.step(state.clone())
        played.append(whole)
        state = whole["next"].exclude("reward").clone()
        if not (state[_choice(simulator)] > 0).any():
            break
    return torch.stack(played, 1)


def _slate(state: TensorDictBase, simulator: Simulator, chance: torch.Generator) -> Tensor:
    """Draw slates from what may be shown, with 0 where nothing is left; (B, K)."""
    allowed = state[_choice(simulator)]
    keys = torch.rand(allowed.shape, generator=chance).to(allowed.device)
    keys = keys.masked_fill(allowed == 0, -1)
    if simulator.offer_size is None:
        keys[:, PADDING] = -1
    best = keys.topk(simulator.slate_size)
    columns = best.indices if simulator.offer_size is None else allowed.gather(1, best.indices)
    return columns * (best.values >= 0)


def _choice(simulator: Simulator) -> str:
    """The key of what may be shown."""
    return Key.MASK if simulator.offer_size is None else Key.CANDIDATES


def _close(one: Tensor, other: Tensor) -> bool:
    """Equal, or close where they are numbers: batches are multiplied in other orders."""
    if one.is_floating_point():
        return torch.allclose(one, other, rtol=1e-4, atol=1e-5, equal_nan=True)
    return torch.equal(one, other)


def _keys(steps: TensorDictBase) -> list[object]:
    return sorted(steps.keys(include_nested=True, leaves_only=True), key=str)


def _masks(steps: TensorDictBase) -> Tensor:
    return torch.cat([steps[Key.MASK][:, :1], steps["next", Key.MASK]], 1)


def _equal(one: Tensor, other: Tensor) -> Tensor:
    return (one == other).all(-1)


def _exhausted(steps: TensorDictBase) -> Tensor:
    name = Key.MASK if Key.MASK in steps.keys() else Key.CANDIDATES  # noqa: SIM118 (TensorDict)
    return ~(steps["next", name] > 0).any(-1, keepdim=True)


def _must_end(simulator: Simulator, steps: TensorDictBase, what: str) -> None:
    last = (steps["next", Key.STEP] >= simulator.max_steps) | _exhausted(steps)
    going = last & ~steps["next", "done"]
    expect(
        not going.any(),
        f"After `max_steps`, here {simulator.max_steps}, or with nothing left to show, {what}.",
        f"{int(going.any(1).sum())} of {len(going)} sessions go on.",
        "Leave ends to the base class.",
    )


def _refused(simulator: Simulator, state: TensorDictBase, what: str) -> None:
    try:
        simulator.step(state)
    except ValueError:
        return
    expect(
        False,
        f"A slate that holds {what} is refused with a ValueError.",
        "It was taken, so that a policy's mistake would go unnoticed.",
        "Call the base class's step, which looks at the slate before users answer.",
    )
