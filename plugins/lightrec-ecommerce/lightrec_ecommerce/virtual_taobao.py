"""Virtual Taobao, from its published weights.

Shi, Yu, Da, Chen and Zeng 2019, "Virtual-Taobao: virtualizing real-world online retail environment
for reinforcement learning" (AAAI): users are drawn, and answer, by adversarially learned networks.
"""

import pickle
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor, nn
from torch.nn.functional import one_hot, pad
from torchrl.data import Bounded, Composite

from lightrec.errors import DataError
from lightrec.keys import Key
from lightrec.simulators import noise
from lightrec.simulators.session_env import Ending, SessionEnv

ATTRIBUTES = (8, 8, 11, 11, 11, 11, 2, 2, 3, 18, 3)
"""Values that each of a user's 11 attributes can take; one-hot, they make 88 numbers."""
USER = sum(ATTRIBUTES)
WEIGHTS = 27
"""Length of an action: one weight for each attribute of items."""
PAGE = 10
"""Items on a page; each can be clicked once."""
LAST_PAGE = 100
"""The longest session, in pages."""
SEED = 128
SECOND = 10
"""Values of the second answer, whose meaning was not published."""
POPULATION, ELITE = 128, 16
"""Actions that a generation of the search tries, and the best of them, to whose normal law the next
generation belongs."""

SIZES = {
    "generator_model.pt": (SEED, 128, USER),
    "action_model.pt": (USER + 1 + WEIGHTS, 128, 256, PAGE + 1 + SECOND),
    "leave_model.pt": (USER, 128, 256, LAST_PAGE + 1),
}
"""The published files, and the widths of their networks' layers."""


class VirtualTaobao(SessionEnv):
    """Users who look at pages of ten items, click on some of them, and leave.

    Its items were never published: an action is no slate of ids but a vector of 27 weights, one for
    each attribute of items, by whose product with the items' attributes the shop would have filled
    the page. So there is no history, mask or catalog: policies that score items cannot play it, and
    any learner of continuous actions can.

    The laws are those of the published environment. The generator makes of 128 numbers even on
    (0, 1) the odds of 11 attributes, the leaving network the odds of the page on which the user
    leaves. On each page the number of clicks, and a second answer whose meaning was not published,
    are drawn from the action network's odds.

    State: ``observation`` (B, 91) float32 (the user's attributes one-hot, clicks on the last page,
    the second answer, pages seen), ``step`` and ``session`` (B, 1) int64, ``accepted_total`` (B, 1)
    float32 clicks so far; under ``latent``, which no policy may read, ``leave`` (B, 1) int64.
    Action: (B, 27) float32 in [-1, 1]. Reward: clicks on the page, 0 to 10.

    **Beware:** one constant action for everybody makes users click on nearly everything, where
    random ones reach 2 %. Report :meth:`best_constant_action` beside every policy.

    :param folder: where the three published files lie, or a checkout of the published repository.
    :param batch_size: sessions B.
    :param max_steps: pages after which a session is cut; nobody stays for more than 100.
    :param ending: ``leave``, or ``fixed`` for sessions of exactly ``max_steps`` pages.
    :param device: where everything is computed.
    :raises DataError: where a file is missing or holds another network.
    :raises RecipeError: where a session is impossible.
    """

    def __init__(
        self,
        folder: Path | str,
        batch_size: int,
        *,
        max_steps: int = LAST_PAGE,
        ending: Ending = "leave",
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(batch_size, max_steps=max_steps, ending=ending, device=device)
        networks = _read(Path(folder))
        self.generate, self.answer, self.leave = (network.to(self.device) for network in networks)
        highest = torch.tensor([1.0] * USER + [PAGE, SECOND - 1, max_steps], device=self.device)
        highest = highest.expand(batch_size, -1)
        latent = {"leave": self._indices(1, LAST_PAGE)}
        state = {
            Key.OBSERVATION: Bounded(torch.zeros_like(highest), highest),
            Key.STEP: self._indices(1, max_steps),
            Key.ACCEPTED_TOTAL: self._numbers(1),
            Key.SESSION: self._numbers(1, dtype=torch.int64),
            Key.LATENT: Composite(latent, shape=self.batch_size),
        }
        self.observation_spec = Composite(state, shape=self.batch_size)
        self.reward_spec = Bounded(0, PAGE, (batch_size, 1), device=self.device)
        self.action_spec = Bounded(-1.0, 1.0, (batch_size, WEIGHTS), device=self.device)

    def first_state(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Draw users, and the pages on which they will leave."""
        seed = noise.uniform(noise.mix(session, torch.arange(SEED, device=self.device))).float()
        attributes = [
            one_hot(_draw(logits, noise.mix(session, -2 - group))[:, 0], logits.shape[1])
            for group, logits in enumerate(self.generate(seed).split(ATTRIBUTES, 1))
        ]
        user = torch.cat(attributes, 1).float()
        leave = _draw(self.leave(user), noise.mix(session, -2 - len(ATTRIBUTES)))
        state = {
            Key.OBSERVATION: pad(user, (0, 3)),
            Key.STEP: torch.zeros_like(session),
            Key.ACCEPTED_TOTAL: torch.zeros_like(session, dtype=torch.float32),
            Key.LATENT: {"leave": leave},
        }
        return TensorDict(state, batch_size=[len(session)], device=self.device)

    def logits(self, state: TensorDictBase, action: Tensor) -> tuple[Tensor, ...]:
        """Logits (B, 11) of 0 to 10 clicks and (B, 10) of the second answer."""
        user = state[Key.OBSERVATION][:, :USER]
        answers: Tensor = self.answer(torch.cat([user, state[Key.STEP].float(), action], 1))
        return answers.split((PAGE + 1, SECOND), 1)

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        action = tensordict[Key.ACTION]
        if not bool((action.abs() <= 1).all()):
            raise ValueError(
                f"An action of Virtual Taobao has a weight of size {float(action.abs().max()):g}; "
                "its 27 weights must lie between -1 and 1. Squash or clip the policy's output."
            )
        clicks, second = self.logits(tensordict, action)
        key = self.chance(tensordict)
        reward = _draw(clicks, noise.mix(key, 0)).float()
        other = _draw(second, noise.mix(key, 1)).float()
        step = tensordict[Key.STEP] + 1
        terminated = (step >= tensordict[Key.LATENT, "leave"]) & (self.ending == "leave")
        over = step >= self.max_steps
        user = tensordict[Key.OBSERVATION][:, :USER]
        state = {
            Key.OBSERVATION: torch.cat([user, reward, other, step.float()], 1),
            Key.STEP: step,
            Key.ACCEPTED_TOTAL: tensordict[Key.ACCEPTED_TOTAL] + reward,
            "reward": reward,
            "terminated": terminated,
            "truncated": over & ~terminated,
            "done": over | terminated,
        }
        return tensordict.select(Key.SESSION, Key.LATENT).update(state)

    def best_constant_action(self, *, generations: int = 40, seed: int = 0) -> Tensor:
        """Search the one action for everybody that is clicked on most, by the cross-entropy method.

        With noise that fades (Szita and Lőrincz 2006, "Learning Tetris using the noisy
        cross-entropy method"). An action is worth the expected clicks of the users, each on one of
        his pages; 64 sessions are enough.

        :param seed: of the search.
        :returns: (27,) float32.
        """
        users, device = self.batch_size[0], self.device
        state = self.reset()
        order = torch.arange(users, device=device).unsqueeze(1)
        state[Key.STEP] = order % state[Key.LATENT, "leave"].clamp_min(1)
        everybody = state.select(Key.OBSERVATION, Key.STEP).repeat(POPULATION)
        clicks = torch.arange(PAGE + 1.0, device=device)
        chance = torch.Generator().manual_seed(seed)
        mean, spread = torch.zeros(WEIGHTS, device=device), torch.ones(WEIGHTS, device=device)
        for generation in range(generations):
            drawn = torch.randn(POPULATION, WEIGHTS, generator=chance).to(device)
            actions = (mean + spread * drawn).clamp(-1, 1)
            odds, _ = self.logits(everybody, actions.repeat_interleave(users, 0))
            worth = (odds.softmax(1) @ clicks).view(POPULATION, users).mean(1)
            best = actions[worth.topk(ELITE).indices]
            noise_left = 0.4 * (1 - generation / generations)
            mean, spread = best.mean(0), (best.var(0) + noise_left**2).sqrt()
        return mean


def click_rate(state: TensorDictBase) -> Tensor:
    """The share of a session's items that were clicked, (B, 1), published as ``CTR``."""
    return state[Key.ACCEPTED_TOTAL] / (state[Key.STEP].clamp_min(1) * PAGE)


def _draw(logits: Tensor, key: Tensor) -> Tensor:
    """Draw one column a row with probability ∝ exp(logit): (R, 1) int64."""
    below = (logits - logits.amax(1, keepdim=True)).exp().cumsum(1)
    point = noise.uniform(key).float() * below[:, -1:]
    return (below[:, :-1] <= point).sum(1, keepdim=True)


def _read(folder: Path) -> Iterator[nn.Sequential]:
    """Read the networks in the order of ``SIZES``, plain state dicts that can run no code."""
    inner = folder / "virtualTB" / "data"
    for name, sizes in SIZES.items():
        path = (inner if inner.is_dir() else folder) / name
        layers = [part for pair in pairwise(sizes) for part in (nn.Linear(*pair), nn.LeakyReLU())]
        network = nn.Sequential(*layers[:-1])
        try:
            network.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        except FileNotFoundError:
            raise DataError(
                f"{path} is missing. Give the folder that holds {', '.join(SIZES)}, as the "
                "published repository (eyounx/VirtualTaobao) has them in virtualTB/data."
            ) from None
        except (RuntimeError, pickle.UnpicklingError, AttributeError, TypeError) as error:
            raise DataError(
                f"It holds no network of the widths {sizes}, as the published file does: "
                f"{str(error).splitlines()[0]} Fetch the file again.",
                path,
            ) from error
        yield network.requires_grad_(False).eval()
