"""Modes of judging: the same simulator, users and chance by other rules.

Why three: a long session alone makes a large return, and so may showing one item over and over.
"""

import copy
from typing import Any, Literal, TypeVar

from lightrec.errors import RecipeError
from lightrec.simulators.base import Simulator
from lightrec.simulators.session_env import SessionEnv

Mode = Literal["free", "no-repeats", "fixed"]
"""``free``: the simulator's own rules, users leave and items repeat as it says. ``no-repeats``: the
same, but what was shown in a session is not shown in it again. ``fixed``: nobody leaves before
``max_steps``, so that all returns are of equal length."""
_RULES: dict[Mode, dict[str, Any]] = {
    "free": {},
    "no-repeats": {"repeats": False},
    "fixed": {"ending": "fixed"},
}
MODES = tuple(_RULES)

_AnyEnv = TypeVar("_AnyEnv", bound=SessionEnv)


def in_mode(simulator: _AnyEnv, mode: Mode) -> _AnyEnv:
    """Give a simulator that plays in a mode; the one given stays as it is.

    Where a simulator's own rules are already those of the mode it is given back itself, so that
    ``in_mode(simulator, mode) is simulator`` tells that the mode adds nothing there.

    :raises RecipeError: where there is no such mode, or repeats are forbidden to a simulator that
        shows no items.
    """
    if mode not in MODES:
        raise RecipeError(f"There is no mode {mode!r} of judging; give one of {', '.join(MODES)}.")
    if mode == "no-repeats" and not isinstance(simulator, Simulator):
        raise RecipeError(
            f"{type(simulator).__name__} shows no items by their number, so nothing can be kept "
            "from being repeated. Judge it in the modes free and fixed."
        )
    rules = _RULES[mode]
    if all(getattr(simulator, name) == value for name, value in rules.items()):
        return simulator
    played = copy.copy(simulator)  # shallow: parameters and items are shared
    # TorchRL keeps specs and what follows from them in these; the copy has others.
    own = {"_output_spec": played.output_spec.clone(), "_input_spec": played.input_spec.clone()}
    played.__dict__ |= {**own, "_cache": {}, **rules}
    if isinstance(played, Simulator):
        played._make_specs()
    return played
