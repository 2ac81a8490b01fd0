"""The part of the simulators' contract on what follows from what: chance, state, compilation."""

import torch

from lightrec.keys import Key
from lightrec.testing.contract import expect
from lightrec.testing.simulator_play import (
    ROWS,
    MakeSimulator,
    acting,
    choice_key,
    close,
    first,
    keys_of,
    rollout,
    with_seed,
)


def same_seed(make: MakeSimulator) -> None:
    """One seed, one course of events."""
    first, second = (rollout(with_seed(make, 7)) for _ in range(2))
    differing = [key for key in keys_of(first) if not torch.equal(first[key], second[key])]
    expect(
        not differing,
        "After `set_seed` with one seed, the same actions have the same consequences.",
        f"Two rollouts differ in {', '.join(map(str, differing))}.",
        "Draw from `self.generator` in `start`, and compute all later chance from the key "
        "`session` with `lightrec.simulators.noise`.",
    )


def other_seed(make: MakeSimulator) -> None:
    """Another seed, another course of events."""
    first, second = (rollout(with_seed(make, seed)) for seed in (7, 8))
    expect(
        any(not torch.equal(first[key], second[key]) for key in keys_of(first)),
        "After `set_seed` with another seed, something else happens.",
        "Two rollouts are the same to the last number.",
        "Hand `self.generator` to every draw in `start`, in place of a generator with a fixed "
        "seed.",
    )


def partial_reset(make: MakeSimulator) -> None:
    """A reset of some rows leaves the others where they are."""
    simulator = make(ROWS)
    state = rollout(simulator, 2)[:, -1]["next"].exclude("reward").clone()
    again = torch.arange(ROWS).unsqueeze(1) % 2 == 0
    state["_reset"] = again
    fresh = simulator.reset(state.clone())
    following = simulator.step(acting(simulator, fresh.clone()))["next", Key.STEP]
    counts = torch.where(again, 0, 2)
    moved = (fresh[Key.STEP] != counts) | (following != counts + 1)
    kept = ~again.squeeze(1)
    others = [
        key
        for key in (Key.USER, Key.HISTORY, choice_key(simulator), Key.SESSION)
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
    state = acting(simulator, simulator.reset())
    before = state.clone()
    simulator.step(state)
    changed = [key for key in keys_of(before) if not torch.equal(before[key], state[key])]
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
        found.append(first(simulator))
    differing = [key for key in keys_of(found[0]) if not close(found[0][key][order], found[1][key])]
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
    state = acting(simulator, simulator.reset())
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
    differing = [key for key in keys_of(expected) if not close(expected[key], found[key])]
    expect(
        not differing,
        "A compiled step does what the step does.",
        f"These differ: {', '.join(map(str, differing))}.",
        "Keep no state outside of the TensorDict.",
    )
