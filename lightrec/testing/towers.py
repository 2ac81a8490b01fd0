"""The contract of user towers: what must hold for the vectors of any histories."""

from collections.abc import Callable

import torch
from torch import Tensor

from lightrec.nn.towers import UserTower, build_tower
from lightrec.testing.chance import seeded
from lightrec.testing.contract import Check, DoesNotApply, checks_of, expect, name_of, run_all
from lightrec.testing.tensors import TOLERANCE, described, same

MakeTower = Callable[..., UserTower]

ROWS, LENGTH, SIZE = 4, 7, 16


def tower_checks(make: MakeTower, part: str | None = None) -> list[Check]:
    """Give the checks of a user tower.

    :param make: builds a fresh tower, such as its class; called as a ranker calls it, with a width
        of 16, 2 layers and 2 heads.
    :param part: its name in ids and messages; by default that of ``make``.
    """
    return checks_of(part or name_of(make), CHECKS, make, around=seeded)


def check_tower(make: MakeTower) -> None:
    """Run all checks of a user tower.

    :raises ContractError: that lists all that failed.
    """
    run_all(tower_checks(make))


def shape_and_type(make: MakeTower) -> None:
    """One vector a position, as wide as the input and of its type."""
    x, present = histories()
    found = _ready(make)(x, present)
    expect(
        isinstance(found, Tensor) and found.shape == x.shape and found.dtype == x.dtype,
        f"Sequences of shape {tuple(x.shape)} give a tensor of the same shape and type.",
        f"They gave {described(found)}.",
        "Return one vector of width D for each position, padding included.",
    )


def finite(make: MakeTower) -> None:
    """No NaN and no infinity, not even at padding or in a row of padding alone."""
    x, present = histories()
    present[0] = False
    found = _ready(make)(x, present)
    expect(
        found.isfinite().all(),
        "User vectors are finite, those at padding included.",
        f"{int((~found.isfinite()).sum())} of {found.numel()} numbers are NaN or infinite.",
        "Let each position attend to itself at least, and divide by no count that can be 0.",
    )


def device(make: MakeTower) -> None:
    """Vectors are where the items are."""
    where = "cuda" if torch.cuda.is_available() else "cpu"
    x, present = histories()
    found = _ready(make).to(where)(x.to(where), present.to(where))
    expect(
        found.device.type == where,
        f"Items on {where} give user vectors on {where}.",
        f"They came on {found.device}.",
        "Make new tensors with `device=x.device`, and register tensors as buffers.",
    )


def future(make: MakeTower) -> None:
    """What comes later changes nothing before."""
    tower, (x, present) = _ready(make), histories()
    later = x.clone()
    later[:, 4:] = torch.randn_like(later[:, 4:])
    same(
        tower(later, present)[:, :4][present[:, :4]],
        tower(x, present)[:, :4][present[:, :4]],
        "A position's vector does not depend on later positions.",
        "Mask attention causally, run recurrences forwards only, and pool over the past alone.",
    )


def past(make: MakeTower) -> None:
    """What came before matters."""
    tower, (x, present) = _ready(make), histories()
    other = x.clone()
    other[:, LENGTH - 2] = torch.randn_like(other[:, LENGTH - 2])
    difference = (tower(other, present)[:, -1] - tower(x, present)[:, -1]).abs().amax()
    expect(
        difference > TOLERANCE,
        "A position's vector depends on the positions before it.",
        "The last vector stayed the same when the item before it changed.",
        "Check that positions are mixed along dimension 1, and that the mask does not hide all.",
    )


def longer_padding(make: MakeTower) -> None:
    """More padding on the left changes nothing, whatever stands there."""
    tower, (x, present) = _ready(make), histories()
    longer = torch.cat([torch.randn(ROWS, 5, SIZE), x], dim=1)
    there = torch.cat([torch.zeros(ROWS, 5, dtype=torch.bool), present], dim=1)
    same(
        tower(longer, there)[:, 5:][present],
        tower(x, present)[present],
        "More padding on the left changes no vector.",
        "Count positions by their differences or from the first item, and start states there.",
    )


def what_is_padding(make: MakeTower) -> None:
    """The vectors that stand at padding are not read."""
    tower, (x, present) = _ready(make), histories()
    other = torch.where(present[..., None], x, torch.randn_like(x))
    same(
        tower(other, present)[present],
        tower(x, present)[present],
        "What stands at padding changes no vector of an item.",
        "Mask with `present`; zeros at padding are not enough where biases are added.",
    )


def rows_apart(make: MakeTower) -> None:
    """A history's vectors do not depend on the histories beside it."""
    tower, (x, present) = _ready(make), histories()
    alone = torch.cat([tower(x[r : r + 1], present[r : r + 1]) for r in range(ROWS)])
    same(
        tower(x, present)[present],
        alone[present],
        "A history's vectors are the same in a batch and alone.",
        "Normalise over features, not over the batch, and keep rows in their order.",
    )


def one_item(make: MakeTower) -> None:
    """A history of one item is the beginning of a longer one."""
    tower, (x, _) = _ready(make), histories()
    every = torch.ones(ROWS, LENGTH, dtype=torch.bool)
    same(
        tower(x[:, :1], every[:, :1]),
        tower(x, every)[:, :1],
        "A history of one item has the vector that a longer one has after its first.",
        "Do not let the length of the batch enter, and keep dimensions of size 1.",
    )


def input_unchanged(make: MakeTower) -> None:
    """Items and mask are only read."""
    x, present = histories()
    before = x.clone(), present.clone()
    with torch.no_grad():
        _ready(make)(x, present)
    expect(
        torch.equal(x, before[0]) and torch.equal(present, before[1]),
        "A tower leaves its input as it is.",
        "The input was changed in place.",
        "Write `x = x + y` in place of `x += y`, or clone first.",
    )


def deterministic(make: MakeTower) -> None:
    """In evaluation the same history has the same vectors again."""
    tower, (x, present) = _ready(make), histories()
    same(
        tower(x, present),
        tower(x, present),
        "The same histories have the same vectors again, once `eval()` was called.",
        "Use `nn.Dropout`, which `eval()` turns off, and keep no state between calls.",
    )


def gradients(make: MakeTower) -> None:
    """The gradient reaches every parameter and every item."""
    tower, (x, present) = _ready(make), histories()
    x.requires_grad_()
    with torch.enable_grad():
        found = tower(x, present)
        if found.requires_grad:
            (found * torch.randn_like(found))[present].sum().backward()
    named = [*tower.named_parameters(), ("the input", x)]
    missed = [name for name, p in named if p.grad is None or not bool(p.grad.abs().sum() > 0)]
    expect(
        not missed,
        "The vectors' gradient reaches the input and every parameter, and is a number.",
        f"It does not reach {', '.join(missed)}.",
        "Take `no_grad` and `detach` out of `forward`, and leave out parameters without a use.",
    )


def state_dict(make: MakeTower) -> None:
    """Saved weights are all that a fresh tower needs."""
    tower, fresh, (x, present) = _ready(make), _ready(make), histories()
    if not tower.state_dict():
        raise DoesNotApply("The tower has no weights.")
    fresh.load_state_dict(tower.state_dict())
    same(
        fresh(x, present),
        tower(x, present),
        "A fresh tower that loads the state_dict gives the same vectors.",
        "Register every tensor that vectors depend on, by `register_buffer` or as a parameter.",
    )


CHECKS = (
    shape_and_type,
    finite,
    device,
    future,
    past,
    longer_padding,
    what_is_padding,
    rows_apart,
    one_item,
    input_unchanged,
    deterministic,
    gradients,
    state_dict,
)


def histories() -> tuple[Tensor, Tensor]:
    """Make four histories: items (4, 7, 16), and present (4, 7) with 0 to 3 of padding."""
    present = torch.arange(LENGTH) >= torch.arange(ROWS)[:, None]
    return torch.randn(ROWS, LENGTH, SIZE), present


def _ready(make: MakeTower) -> UserTower:
    tower = build_tower(make, size=SIZE, layers=2, heads=2, feedforward=2, dropout=0.3).eval()
    # Far from the start, where much is zero or the identity.
    for parameter in tower.parameters():
        parameter.data = parameter.data + 0.3 * torch.randn_like(parameter)
    return tower
