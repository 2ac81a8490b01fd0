"""The world `far`, played by a recommender: whose users look further than the next step."""

import torch
from tensordict import TensorDictBase
from torch import Tensor
from torch.nn.functional import one_hot, pad

from lightrec.data.catalog import Catalog
from lightrec.keys import Key
from lightrec.simulators import noise
from lightrec.simulators.base import Ending, Pay, Response, or_nothing
from lightrec.simulators.world import World
from lightrec.simulators.worlds.far_laws import FarLaws, UserState, fitted_laws


class Far(World):
    """Users who tire, drift, and choose with soft-optimal values.

    Each step draws 20 candidates evenly. Left to themselves, users choose among all of them and
    nothing with probability ∝ exp Q*, which is the law of the world and of its logs
    (:class:`~lightrec.simulators.worlds.far_log.FarLog`). A recommender narrows that choice: what
    is not in the slate cannot be chosen in this step. Users do not learn of it: Q* goes on to
    expect the free choice among 20 in all later steps. With ``slate_size=20`` the choice is the
    free one.

    The true reward is the user's own, r of what was chosen; nothing has reward 0. It may be
    negative: an item may be taken for what comes after it. Nobody leaves before ``max_steps``.

    Policies see items in ``item_vectors`` (2001, 37), vector, quality and category, the last 20
    choices in ``history``, N + 1 being nothing, and the candidates. Hidden in ``latent`` are
    ``taste`` (B, 16) and ``exposure`` (B, 20); fatigue and after-effects of the categories stand
    nowhere. Laws: :class:`~lightrec.simulators.worlds.far_laws.FarLaws`.

    :param batch_size: sessions B.
    :param seed: of the items and the users' values, which are fitted in some seconds, once.
    :param laws: already fitted, in place of those that follow from ``seed``.
    :param reward: from transitions to rewards (B, 1), in place of the true one.
    """

    def __init__(
        self,
        batch_size: int,
        *,
        seed: int = 0,
        laws: FarLaws | None = None,
        slate_size: int = 1,
        max_steps: int = FarLaws.SESSION,
        history_length: int = FarLaws.LOGGED,
        ending: Ending = "leave",
        reward: Pay | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        laws = fitted_laws(seed) if laws is None else laws
        category = one_hot(laws.category, laws.CATEGORIES)
        seen = torch.cat([laws.vectors, laws.quality.unsqueeze(1), category], 1)
        super().__init__(
            pad(seen, (0, 0, 1, 0)),
            batch_size,
            latent={"taste": (laws.SIZE,), "exposure": (laws.CATEGORIES,)},
            reward=reward,
            slate_size=slate_size,
            max_steps=max_steps,
            history_length=history_length,
            ending=ending,
            offer_size=laws.OFFER,
            repeats=True,
            device=device,
        )
        self.laws = laws.to(self.device)

    def begin(self, session: Tensor) -> dict[str, Tensor | TensorDictBase]:
        """Users who live in one of the categories."""
        key = noise.mix(session, 0)
        home = noise.below(noise.mix(key, 0), self.laws.CATEGORIES).squeeze(1)
        born = self.laws.born(home, noise.normal(noise.mix(key, 1 + self._axes())))
        return {Key.LATENT: born._asdict()}

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Choose by Q* from what is shown, tire and drift."""
        user = self.user(state)
        values = self.laws.action_values(user, slate)
        taken = self.pick(state, slate, values[:, :-1], values[:, -1])
        clicked, click = (slate * taken).sum(1), taken.any(1)
        reward = self.laws.reward(user, clicked.unsqueeze(1)) * click.unsqueeze(1)
        drift = noise.normal(noise.mix(noise.mix(self.chance(state), -4), self._axes()))
        after = self.laws.after(user, torch.where(click, clicked, self.num_items + 1), drift)
        changed = {Key.LATENT: after._asdict(), Key.TRUE_REWARD: reward}
        return Response(taken, taken.float(), torch.zeros_like(click), changed)

    def remember(self, history: Tensor, taken: Tensor) -> Tensor:
        """Choosing nothing is remembered as N + 1."""
        return super().remember(history, or_nothing(taken, self.num_items + 1))

    def user(self, state: TensorDictBase) -> UserState:
        """Give the hidden state of the users."""
        latent = state[Key.LATENT]
        return UserState(latent["taste"], latent["exposure"])

    def oracle(self, state: TensorDictBase) -> Tensor:
        """Score by p · (Q* - Q* of nothing), p the probability that an item shown alone is chosen.

        It lets users' own foresight choose among the candidates, hidden state included. Not proven
        to be the best possible.

        :returns: (B, 20).
        """
        values = self.laws.action_values(self.user(state), state[Key.CANDIDATES])
        gain = values[:, :-1] - values[:, -1:]
        return gain.sigmoid() * gain

    def greedy(self, state: TensorDictBase) -> Tensor:
        """Score by the reward of a choice, (B, 20)."""
        return self.laws.reward(self.user(state), state[Key.CANDIDATES])

    def catalog(self) -> Catalog:
        """The items; their texts tell category, strongest coordinates and quality."""
        return self.laws.catalog()

    def _axes(self) -> Tensor:
        return torch.arange(self.laws.SIZE, device=self.device)
