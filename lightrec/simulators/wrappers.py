"""Simulators by other rules, with the same users and the same chance: absorbing states, and modes.

Why three modes of judging: a long session alone makes a large return, and so may showing one item
over and over.
"""

import copy
from typing import Literal, TypeVar, get_args

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import Binary, Composite

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.simulators.base import Simulator
from lightrec.simulators.session_env import ENDS, SessionEnv

PASSED_ON = (
    *("num_items", "slate_size", "history_length", "offer_size", "repeats"),
    *("observation_size", "item_vectors"),
)
"""What others ask of a simulator of items, and is the same around it."""


class Absorbing(SessionEnv):
    """A simulator whose sessions all have ``max_steps`` steps (Kostrikov et al. 2019).

    Where the simulator ends a session, the next state is absorbing: the key ``absorbing`` (B, 1)
    bool is True, all else stays as it was, and every reward is 0 until the session is cut. What the
    simulator itself cuts is cut.

    :param base: the simulator within.
    """

    def __init__(self, base: SessionEnv) -> None:
        super().__init__(
            base.batch_size[0], max_steps=base.max_steps, ending="fixed", device=base.device
        )
        self.base = base
        for name in PASSED_ON:
            if hasattr(base, name):
                setattr(self, name, getattr(base, name))
        mark = Binary(shape=(*base.batch_size, 1), dtype=torch.bool, device=base.device)
        # Clones: what is nested in the simulator's own specs is locked for good.
        own = dict(base.observation_spec.clone().items())
        self.observation_spec = Composite({**own, Key.ABSORBING: mark}, shape=self.batch_size)
        self.action_spec = base.action_spec.clone()

    def fix(self, users: Tensor, seed: int) -> None:
        """Let every reset begin with these users, under chance that follows from ``seed``."""
        super().fix(users, seed)
        self.base.fix(users, seed)

    def _set_seed(self, seed: int | None) -> None:
        super()._set_seed(seed)
        self.base.generator = self.generator

    def rand_action(self, tensordict: TensorDictBase | None = None) -> TensorDictBase:
        """Draw actions as the simulator within does."""
        return self.base.rand_action(tensordict)

    def first_state(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin as the simulator does, nothing absorbing."""
        state = self.base.first_state(rows, session)
        return state.set(Key.ABSORBING, torch.zeros_like(session, dtype=torch.bool))

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        before = tensordict[Key.ABSORBING]
        following = self.base._step(tensordict)
        rows = before.squeeze(1)

        def stay(new: Tensor, old: Tensor) -> Tensor:
            return torch.where(rows.view(-1, *[1] * (new.dim() - 1)), old, new)

        state = following.exclude("reward", *ENDS)
        state = state.apply(stay, tensordict.select(*state.keys()))
        step, absorbing = tensordict[Key.STEP] + 1, before | following["terminated"]
        over = (step >= self.max_steps) | (following["truncated"] & ~absorbing)
        state.update(
            {
                Key.STEP: step,
                Key.ABSORBING: absorbing,
                "reward": following["reward"] * ~before,
                "terminated": torch.zeros_like(over),
                "truncated": over,
                "done": over,
            }
        )
        return state


Mode = Literal["free", "no-repeats", "fixed"]
"""``free``: the simulator's own rules, users leave and items repeat as it says. ``no-repeats``: the
same, but what was shown in a session is not shown in it again. ``fixed``: nobody leaves before
``max_steps``, so that all returns are of equal length."""
MODES: tuple[Mode, ...] = get_args(Mode)

_AnyEnv = TypeVar("_AnyEnv", bound=SessionEnv)


def in_mode(simulator: _AnyEnv, mode: Mode) -> _AnyEnv:
    """Give a simulator that plays in a mode; the one given stays as it is.

    Where a simulator's own rules are already those of the mode it is given back itself, so that
    ``in_mode(simulator, mode) is simulator`` tells that the mode adds nothing there.

    :param simulator: any, of items by mask or by offer, or of continuous actions.
    :raises RecipeError: where there is no such mode, or repeats are forbidden to a simulator that
        shows no items.
    """
    if mode not in MODES:
        raise RecipeError(f"There is no mode {mode!r} of judging; give one of {', '.join(MODES)}.")
    # Copies are shallow: parameters and items are shared.
    if mode == "fixed" and simulator.ending != "fixed":
        fixed = copy.copy(simulator)
        fixed.ending = "fixed"
        return fixed
    if mode != "no-repeats":
        return simulator
    if not isinstance(simulator, Simulator):
        raise RecipeError(
            f"{type(simulator).__name__} shows no items by their number, so nothing can be kept "
            "from being repeated. Judge it in the modes free and fixed."
        )
    if not simulator.repeats:
        return simulator
    once = copy.copy(simulator)
    once.repeats = False
    # TorchRL keeps specs and what follows from them in these; the copy has others.
    own = {"_output_spec": once.output_spec.clone(), "_input_spec": once.input_spec.clone()}
    once.__dict__ |= {**own, "_cache": {}}
    once._make_specs()
    return once
