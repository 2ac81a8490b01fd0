"""The simulator of session models: its contract, its laws, and what it pays."""

import pytest
import torch

from benchmarks.session_model import SessionModel
from benchmarks.session_simulator import SessionSimulator
from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.simulators.rollout import play
from lightrec.simulators.world import Scored
from lightrec.testing.contract import check_all
from lightrec.testing.simulators import SimulatorChecks

ITEMS, USERS = 4, 20_000


def member(seed=0, **settings):
    torch.manual_seed(seed)
    model = SessionModel(ITEMS, ITEMS, 2, traces=2, **settings)
    model.set_items(torch.eye(ITEMS + 1)[:, 1:])
    for name, part in model.named_parameters():
        if "linear" in name or "levels" in name:
            torch.nn.init.normal_(part, std=0.3)
    return model.requires_grad_(False)


def valued(seed=0):
    model = member(seed, valued=True)
    model.leaving.levels.weight -= 2
    model.valuing.linear.bias[-1] = -1.0
    return model


def make(users, members=None, **settings):
    starts = torch.tensor([[0.0, 1.0], [1.0, 0.0]])
    settings = {"max_steps": 8, "slate_size": 2, **settings}
    return SessionSimulator(members or [valued()], starts, users, **settings)


def returning(users, members=None, **settings):
    members = members or [member(periods=5)]
    return make(users, members, **{"pays": "returns", "horizon": 6, "max_steps": 60, **settings})


@pytest.mark.parametrize("kind", [make, returning])
@pytest.mark.parametrize("count", [1, 3])
def test_it_keeps_the_contract(kind, count):
    made = {make: valued, returning: lambda seed: member(seed, periods=5)}[kind]
    members = [made(seed) for seed in range(count)]
    checks = SimulatorChecks(lambda users: kind(users, members))
    check_all(check for check in checks if check.name != "compiles")


def recorded(simulator):
    """Play sessions of which the first items are shown: sums of rewards, worths and returns."""
    size = simulator.batch_size[0]
    sums = {name: torch.zeros(size) for name in ("reward", "value", "returns", "steps")}

    def note(state, following, alive):
        days = following[Key.LATENT, "day"] - state[Key.LATENT, "day"]
        sums["reward"] += following["reward"].squeeze(1) * alive
        sums["value"] += following[Key.VALUE].sum(1) * alive
        sums["returns"] += ((days > 0) & ~following["terminated"].squeeze(1)) * alive
        sums["steps"] += alive

    best = Scored(lambda state: -torch.arange(ITEMS + 1.0).expand(len(state), -1))
    best.knows_truth = True
    play(best, simulator, torch.arange(size), 0, record=note)
    return sums


@pytest.mark.parametrize("count", [1, 2])
def test_what_is_paid_is_what_is_drawn_on_average(count):
    sums = recorded(make(USERS, [valued(seed) for seed in range(count)]))
    error = (sums["reward"] - sums["value"]).std().item() / USERS**0.5
    assert sums["value"].mean() > 1
    assert float((sums["reward"] - sums["value"]).mean()) == pytest.approx(0, abs=4 * error)
    members = [member(seed, periods=5) for seed in range(count)]
    sums = recorded(returning(USERS, members))
    error = (sums["reward"] - sums["returns"]).std().item() / USERS**0.5
    assert sums["returns"].mean() > 0.5
    assert float((sums["reward"] - sums["returns"]).mean()) == pytest.approx(0, abs=4 * error)
    assert sums["returns"].max() <= 5


def test_disagreement_is_a_standard_deviation_and_is_taken_off():
    first, second = valued(), valued()
    second.load_state_dict(first.state_dict())
    second.valuing.linear.bias[0] += 1.0  # the first item's worth, e times as much
    alone, both, careful = (
        make(64, members, slate_size=1, penalty=penalty)
        for members, penalty in (([first], 0.0), ([first, second], 0.0), ([first, second], 0.5))
    )
    found = []
    for simulator in (alone, both, careful):
        simulator.fix(torch.arange(64), 3)
        state = simulator.reset()
        state[Key.ACTION] = torch.ones(64, 1, dtype=torch.int64)
        found.append(simulator.step(state)["next"])
    low, high = found[0]["reward"], found[0]["reward"] * torch.e
    assert Key.UNCERTAINTY not in found[0].keys()  # noqa: SIM118
    torch.testing.assert_close(found[1]["reward"], (low + high) / 2)
    torch.testing.assert_close(found[1][Key.UNCERTAINTY], (high - low) / 2)
    torch.testing.assert_close(found[2]["reward"], (low + high) / 2 - (high - low) / 4)


def test_what_cannot_be_paid_is_refused():
    with pytest.raises(RecipeError, match=r"What is paid is 'values' within a horizon of 1"):
        make(2, [member(periods=5)])
    with pytest.raises(RecipeError, match=r"What is paid is 'returns' within a horizon of 9"):
        returning(2, horizon=9)
    with pytest.raises(RecipeError, match=r"Give one or more models that were fitted"):
        make(2, [valued(), member(periods=5)])
