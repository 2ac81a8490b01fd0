"""The base of simulators that change another one's rules, and leave its users and chance alone."""

from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import Composite, TensorSpec

from lightrec.simulators.session_env import Ending, SessionEnv

PASSED_ON = (
    *("num_items", "slate_size", "history_length", "offer_size", "repeats"),
    *("observation_size", "item_vectors"),
)
"""What others ask of a simulator of items, and is the same around it."""


class Wrapped(SessionEnv):
    """A simulator around another one, which it has as ``base``.

    :param base: the simulator within.
    :param ending: how sessions end here; the same as within where it is None.
    :param specs: of the keys that the state has beside those within.
    """

    base: SessionEnv

    def __init__(
        self, base: SessionEnv, specs: dict[str, TensorSpec], ending: Ending | None = None
    ) -> None:
        super().__init__(
            base.batch_size[0],
            max_steps=base.max_steps,
            ending=ending or base.ending,
            device=base.device,
        )
        self.base = base
        for name in PASSED_ON:
            if hasattr(base, name):
                setattr(self, name, getattr(base, name))
        # Clones: what is nested in the simulator's own specs is locked for good.
        own = dict(base.observation_spec.clone().items())
        self.observation_spec = Composite({**own, **specs}, shape=self.batch_size)
        self.action_spec = base.action_spec.clone()
        self.reward_spec = self._number()
        self.full_done_spec = self._done_spec()

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
        """Begin as the simulator within does; subclasses add their keys."""
        return self.base.first_state(rows, session)
