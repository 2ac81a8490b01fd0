"""What people face, as a process for a learner who imitates them: offers, choices, and memory.

Here the learner stands in the user's place and chooses; no recommender is there. Nobody's reward is
known: the process brings states, a learner brings rewards.
"""

from collections.abc import Callable

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import Bounded, Composite

from lightrec.errors import RecipeError
from lightrec.keys import PADDING, Key
from lightrec.simulators import noise
from lightrec.simulators.session_env import SessionEnv

RewardOfChoice = Callable[[TensorDictBase], Tensor]
"""From states with their ``action`` to rewards (B, 1), for evaluation only."""


class ChoiceProcess(SessionEnv):
    """B people who are offered items, and choose one or nothing.

    State: ``history`` (B, L) int64, the last choices, oldest first, N + 1 being nothing, and
    ``candidates`` (B, C) int64, drawn evenly and afresh in every step. Action: (B, 1) int64, the
    column chosen, C for nothing. The choice enters the history. Sessions begin with histories drawn
    from the given ones, such as a log's, and are cut after ``max_steps``; nobody leaves.

    :param num_items: number of items N.
    :param batch_size: sessions B.
    :param starts: ``(R, L)`` int64 histories to begin with, on the CPU or the device.
    :param offer_size: candidates C of an offer.
    :param max_steps: steps after which a session is cut.
    :param reward: what the true reward of a choice is, where it is known; else all rewards are 0.
    :param device: where everything is computed.
    :raises RecipeError: where an offer or a start is impossible.
    """

    def __init__(
        self,
        num_items: int,
        batch_size: int,
        starts: Tensor,
        *,
        offer_size: int,
        max_steps: int = 20,
        reward: RewardOfChoice | None = None,
        device: torch.device | str = "cpu",
    ) -> None:
        super().__init__(batch_size, max_steps=max_steps, ending="fixed", device=device)
        highest = int(starts.max()) if starts.numel() else num_items + 2
        if not 1 <= offer_size <= num_items or highest > num_items + 1:
            raise RecipeError(
                f"Offers of {offer_size} from {num_items} items, beginning with {len(starts)} "
                f"histories of items up to {highest}, are impossible: offers hold 1 to N distinct "
                "items, and histories, of which there is at least one, hold 0 to N + 1."
            )
        self.num_items, self.offer_size = num_items, offer_size
        self.starts = starts.to(self.device)
        self.reward_of_choice = reward
        length, whole = starts.shape[1], torch.int64
        self.observation_spec = Composite(
            {
                Key.HISTORY: self._up_to(num_items + 1, length),
                Key.CANDIDATES: self._up_to(num_items, offer_size),
                Key.STEP: Bounded(0, max_steps, (batch_size, 1), dtype=whole, device=self.device),
                Key.SESSION: self._session_spec(),
            },
            shape=self.batch_size,
        )
        self.action_spec = self._up_to(offer_size, 1)
        self.reward_spec = self._number()
        self.full_done_spec = self._done_spec()

    def _up_to(self, highest: int, length: int) -> Bounded:
        shape = (*self.batch_size, length)
        return Bounded(0, highest, shape, dtype=torch.int64, device=self.device)

    def first_state(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin with a history drawn evenly."""
        start = noise.below(noise.mix(session, -2), len(self.starts)).squeeze(1)
        state = {
            Key.HISTORY: self.starts[start],
            Key.STEP: torch.zeros_like(session),
            Key.SESSION: session,
        }
        whole = TensorDict(state, batch_size=[len(session)], device=self.device)
        return whole.set(Key.CANDIDATES, self._offer(whole))

    def _offer(self, state: TensorDictBase) -> Tensor:
        """Draw different items evenly."""
        return 1 + noise.distinct(self.chance(state), self.offer_size, self.num_items)

    def _step(self, tensordict: TensorDictBase) -> TensorDict:
        nothing = self.num_items + 1
        columns = torch.nn.functional.pad(tensordict[Key.CANDIDATES], (0, 1), value=nothing)
        chosen = columns.gather(1, tensordict[Key.ACTION])
        step = tensordict[Key.STEP] + 1
        state = TensorDict(
            {
                Key.HISTORY: torch.cat([tensordict[Key.HISTORY][:, 1:], chosen], 1),
                Key.STEP: step,
                Key.SESSION: tensordict[Key.SESSION],
            },
            batch_size=self.batch_size,
            device=self.device,
        )
        if self.reward_of_choice is None:
            reward = torch.zeros(*self.batch_size, 1, device=self.device)
        else:
            reward = self.reward_of_choice(tensordict)
        over = step >= self.max_steps
        return state.update(
            {
                Key.CANDIDATES: self._offer(state),
                "reward": reward,
                "terminated": torch.zeros_like(over),
                "truncated": over,
                "done": over,
            }
        )


def transitions(history: Tensor, candidates: Tensor, choice: Tensor, num_items: int) -> TensorDict:
    """Make demonstrations for a :class:`ChoiceProcess` of logged sessions.

    :param history: ``(S, L)`` int64 choices before the first step.
    :param candidates: ``(S, T, C)`` int64 offers, padded on the right.
    :param choice: ``(S, T)`` int64 items chosen; N + 1 for nothing.
    :returns: ``(S, T - 1)`` transitions; the last step's next offer is not known.
    :raises RecipeError: where something was chosen that was not on offer, or there are fewer than
        two steps.
    """
    offered = torch.nn.functional.pad(candidates, (0, 1), value=num_items + 1)
    same = offered == choice.unsqueeze(-1)
    if choice.shape[1] < 2 or not bool(same.any(-1).all()) or bool((choice == PADDING).any()):
        raise RecipeError(
            f"{int((~same.any(-1)).sum())} of {choice.numel()} choices in sessions of "
            f"{choice.shape[1]} steps are not on offer. Give two steps or more, choices among the "
            "candidates, and N + 1 for nothing."
        )
    length = history.shape[1]
    every = torch.cat([history, choice], 1).unfold(1, length, 1)
    size = [len(choice), choice.shape[1] - 1]
    following = {
        Key.HISTORY: every[:, 1 : size[1] + 1],
        Key.CANDIDATES: candidates[:, 1:],
        "terminated": torch.zeros(*size, 1, dtype=torch.bool),
    }
    return TensorDict(
        {
            Key.HISTORY: every[:, : size[1]],
            Key.CANDIDATES: candidates[:, :-1],
            Key.ACTION: same.int().argmax(-1, keepdim=True)[:, :-1],
            "next": TensorDict(following, batch_size=size),
        },
        batch_size=size,
    )
