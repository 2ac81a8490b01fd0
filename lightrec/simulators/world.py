"""The contract of worlds, whose laws are written down, and policies that know their truth."""

from abc import abstractmethod
from collections.abc import Callable, Mapping

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torch.nn.functional import pad
from torchrl.data import Composite, TensorSpec

from lightrec.data.catalog import Catalog, Users
from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.nn.slate_law import ItemSlates, may_be_shown
from lightrec.simulators import noise
from lightrec.simulators.base import Simulator, State

Scores = Callable[[TensorDictBase], Tensor]


class World(Simulator):
    """A simulator with what only its maker can know: latent users, true rewards, and an oracle.

    Its state has, next to the simulator's keys, ``latent`` (what only the world knows), and
    ``observation`` where the world lets policies see more than histories; both are among what
    changes in a response. After a step ``true_reward`` is there, and ``reward`` is the same unless
    policies are paid another one, or the world draws it with noise about the true one.

    :param item_vectors: (N + 1, D) float32, what may be seen of items; row 0 is zero.
    :param batch_size: sessions B.
    :param latent: shapes of the latent state, one session's, by name; float32 all.
    :param observation_size: F; 0 where histories are all that policies see.
    :param settings: of :class:`~lightrec.simulators.base.Simulator`.
    """

    def __init__(
        self,
        item_vectors: Tensor,
        batch_size: int,
        *,
        latent: Mapping[str, tuple[int, ...]],
        observation_size: int = 0,
        **settings: object,
    ) -> None:
        self.latent_shapes = dict(latent)
        self.observation_size = observation_size
        super().__init__(len(item_vectors) - 1, batch_size, **settings)  # type: ignore[arg-type]
        self.item_vectors = item_vectors.to(self.device)

    @abstractmethod
    def begin(self, session: Tensor) -> dict[str, State]:
        """Let users be born, as the numbers (R, 1) of their sessions say.

        :returns: ``latent``, and what else does not begin with 0, such as ``observation``; ``mask``
            (R, N + 1) bool where a user may not be shown everything.
        """

    @abstractmethod
    def oracle(self, state: TensorDictBase) -> Tensor:
        """Score what may be shown, knowing the latent state: the best that is known to be possible.

        :returns: (B, N + 1), or (B, C) for the candidates of an offer; the highest are shown.
        """

    def greedy(self, state: TensorDictBase) -> Tensor:
        """Score what may be shown by this step alone, as :meth:`oracle`, whatever it costs later.

        :raises RecipeError: where a world does not say it, which it need not.
        """
        raise RecipeError(
            f"{type(self).__name__} does not say what is liked now: nobody can be greedy in it. "
            "Take another policy, or give the world a method `greedy`."
        )

    @abstractmethod
    def catalog(self) -> Catalog:
        """The items, named, with titles and texts; row i - 1 is item i."""

    def people(self) -> Users | None:
        """The users by their numbers from 0; None where each session is that of a new user."""
        return None

    def pick(
        self, state: TensorDictBase, slate: Tensor, logits: Tensor, nothing: Tensor | float = 0.0
    ) -> Tensor:
        """Let users take one item of their slate, or nothing, with probability ∝ exp(logit).

        Every item has noise of its own in a step, whatever else is shown.

        :param logits: (B, K) of the slate's items, to which those of places are added.
        :param nothing: logit of taking nothing, a number or (B,).
        :returns: (B, K) bool: which item was taken.
        """
        noises = noise.gumbel(noise.mix(self.chance(state), pad(slate, (1, 0))))
        keys = (logits + noises[:, 1:]).masked_fill(slate == PADDING, -torch.inf)
        first = (nothing + noises[:, 0]).unsqueeze(1)
        place = torch.cat([first, keys], 1).argmax(1, keepdim=True)
        return place == torch.arange(1, slate.shape[1] + 1, device=slate.device)

    def own_specs(self) -> dict[str, TensorSpec]:
        """Announce what worlds add."""
        latent = {name: self._numbers(*shape) for name, shape in self.latent_shapes.items()}
        specs: dict[str, TensorSpec] = {
            Key.LATENT: Composite(latent, shape=self.batch_size, device=self.device),
            Key.TRUE_REWARD: self._numbers(1),
        }
        if self.observation_size:
            specs[Key.OBSERVATION] = self._numbers(self.observation_size)
        return specs

    def start(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin sessions; everything follows from their numbers."""
        users = rows if self.given is None else self.given[0][rows]
        return TensorDict({Key.USER: users, **self.begin(session)}, [len(rows)], self.device)


class Scored:
    """A policy that shows what a function of the whole state scores highest, or draws by it.

    :param scores: from states, with what only a world knows, to (B, N + 1), or (B, C) for the
        candidates of an offer, such as ``world.oracle``; what may not be shown needs no care.
    """

    knows_truth = True

    def __init__(self, scores: Scores) -> None:
        self.scores = scores

    def act(
        self, state: TensorDictBase, slate_size: int = 1, deterministic: bool = True
    ) -> TensorDictBase:
        """Write the slate and its log-probability into a state; scores are logits of the draw."""
        columns = PlackettLuce(self.scores(state), may_be_shown(state), slate_size)
        law = ItemSlates(columns, state.get(Key.CANDIDATES, None))
        slate = law.mode if deterministic else law.sample()
        state[Key.LOG_PROBABILITY] = law.log_prob(slate)
        return state.set(Key.ACTION, slate)
