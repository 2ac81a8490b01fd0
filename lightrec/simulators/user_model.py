"""The simulator that runs a learned model of choices over the users of a log."""

from collections.abc import Callable, Sequence

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.data import TensorSpec

from lightrec import plugins
from lightrec.errors import PluginError, RecipeError
from lightrec.keys import PADDING, Key
from lightrec.simulators import noise
from lightrec.simulators.base import Ending, Response, Simulator
from lightrec.simulators.places import placed
from lightrec.simulators.starts import Starts
from lightrec.users.ensemble import Ensemble, UserModel
from lightrec.users.parts import LeavingModel


class UserModelSimulator(Simulator):
    """Users who choose from a slate, or nothing, with probability ∝ exp(utility).

    What was accepted enters the history; a declined slate enters as N + 1 where the user model
    knows such steps. Unless items repeat, what was shown is not shown again, nor what the user's
    log holds before the session; what the log's domain forbids a user is never shown. After every
    step a user leaves with probability ``leave_rate``, or with that of a fitted model of leaving.

    :param user_model: the model of choices, or an ensemble of several, whose mean is the law and
        whose disagreement stands in the state as ``uncertainty``; used without gradients.
    :param starts: where sessions begin.
    :param batch_size: sessions B.
    :param reward: from transitions (history, action, clicked) to rewards (B, 1), such as a
        ``lightrec.rewards.base.Reward``; None counts 1 for an accepted item.
    :param expected: whether a step's reward is its mean over what could have been chosen, which has
        the same expectation as that of what was chosen, and less noise to learn from.
    :param penalty: what a nat of uncertainty takes off the reward (Yu et al. 2020, "MOPO"), so that
        policies keep to what the log knows; for an ensemble.
    :param slate_size: places K.
    :param leave_rate: probability of leaving after a step, where there is no ``leaving``.
    :param leaving: how users leave, as it was fitted beside the user model.
    :param max_steps: steps after which a session is cut.
    :param ending: ``leave``, or ``fixed`` for sessions of exactly ``max_steps``.
    :param history_length: steps L that the state remembers for policies, never fewer than the user
        model reads.
    :param max_candidates: show only this many items, those most frequent by ``popularity``.
    :param popularity: ``(N + 1,)`` counts, needed with ``max_candidates``.
    :param place_log_weights: what each place of a slate adds to the utility of the item shown
        there; None: users look at all places alike.
    :param repeats: whether what was shown, and items of the user's log, may be shown again.
    :param device: where everything is computed.
    :raises RecipeError: where a setting is out of range.
    """

    def __init__(
        self,
        user_model: UserModel,
        starts: Starts,
        batch_size: int,
        *,
        reward: Callable[[TensorDictBase], Tensor] | None = None,
        expected: bool = False,
        penalty: float = 0.0,
        slate_size: int = 1,
        leave_rate: float = 0.05,
        leaving: LeavingModel | None = None,
        max_steps: int = 40,
        ending: Ending = "leave",
        history_length: int = 100,
        max_candidates: int | None = None,
        popularity: Tensor | None = None,
        place_log_weights: Sequence[float] | None = None,
        repeats: bool = False,
        device: torch.device | str = "cpu",
    ) -> None:
        if not 0 <= leave_rate <= 1:
            raise RecipeError(f"leave_rate is {leave_rate}; a probability lies between 0 and 1.")
        candidates = None
        if max_candidates is not None and max_candidates < user_model.num_items:
            if popularity is None or max_candidates < 1:
                raise RecipeError(
                    f"max_candidates={max_candidates} needs at least 1 and the items' popularity."
                )
            candidates = popularity[1:].topk(max_candidates).indices.sort().values + 1
        self.is_ensemble = isinstance(user_model, Ensemble)
        if penalty and not self.is_ensemble:
            raise RecipeError(
                f"penalty is {penalty}, and a single user model does not tell how uncertain it is: "
                "fit an ensemble, with `members` above 1 in the recipe that learns it."
            )
        super().__init__(
            user_model.num_items,
            batch_size,
            history_length=max(history_length, user_model.history_length),
            slate_size=slate_size,
            max_steps=max_steps,
            ending=ending,
            candidates=candidates,
            repeats=repeats,
            place_log_weights=place_log_weights,
            device=device,
        )
        self.user_model = user_model.to(self.device).eval()
        # Asked once: the answer is in a tensor, which a compiled step cannot branch on.
        self._declined_enter = user_model.records_nothing
        self.starts = starts
        self.reward_function = reward
        self.expected = expected
        self.penalty = penalty
        self.leave_rate = leave_rate
        self.leaving = None if leaving is None else leaving.to(self.device).eval()

    def own_specs(self) -> dict[str, TensorSpec]:
        """Announce the uncertainty of an ensemble."""
        return {Key.UNCERTAINTY: self._number()} if self.is_ensemble else {}

    def _certain(self, count: int) -> dict[str, Tensor]:
        zero = torch.zeros(count, 1, device=self.device)
        return {Key.UNCERTAINTY: zero} if self.is_ensemble else {}

    def start(self, rows: Tensor, session: Tensor) -> TensorDict:
        """Begin sessions: drawn users, or the given ones, whose logs are over.

        Users are given by :meth:`~lightrec.simulators.session_env.SessionEnv.fix`.
        """
        count = len(rows)
        if self.given is None:
            users, ends = self.starts.draw(count, self.generator)
        else:
            users = self.given[0][rows]
            ends = self.starts.ends_of(users)
        mask = torch.ones(count, self.num_items + 1, dtype=torch.bool, device=self.device)
        if not self.repeats:
            places, items = self.starts.seen(users, ends)
            known = items <= self.num_items
            mask[places[known].to(self.device), items[known].to(self.device)] = False
        allowed = self.starts.eligible(users)
        if allowed is not None:
            mask &= allowed.to(self.device)
        history = self.starts.history(users, ends, self.history_length)
        return TensorDict(
            {
                Key.USER: users.to(self.device),
                Key.HISTORY: history.to(self.device),
                Key.MASK: mask,
                **self._certain(count),
            },
            batch_size=[count],
            device=self.device,
        )

    @torch.no_grad()
    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Choose by utilities plus Gumbel noise, which is the law ∝ exp(utility)."""
        history = state[Key.HISTORY][:, -self.user_model.history_length :]
        changed = {}
        if isinstance(self.user_model, Ensemble):
            utilities, uncertainty = self.user_model.predict(history, slate)
            changed[Key.UNCERTAINTY] = uncertainty.unsqueeze(1)
        else:
            utilities = self.user_model.log_probabilities(history, slate)
        items = placed(utilities[:, :-1], self.place_log_weights)
        utilities = torch.cat([items, utilities[:, -1:]], 1)
        offered = torch.nn.functional.pad(slate, (0, 1), value=self.num_items + 1)
        key = noise.mix(self.chance(state), offered)
        keys = (utilities + noise.gumbel(key)).masked_fill(offered == PADDING, -torch.inf)
        slot = keys.argmax(1, keepdim=True)
        chosen = offered.gather(1, slot)
        clicked = torch.where(chosen > self.num_items, PADDING, chosen).squeeze(1)
        known = {key: state[key] for key in (Key.STEP, Key.ACCEPTED_TOTAL)}
        known |= {Key.HISTORY: history, Key.ACTION: slate}
        if self.expected:
            worth = self._worth(known, offered, changed)
            reward = (utilities.softmax(1) * worth).sum(1)
        else:
            reward = self._worth(known, chosen, changed).squeeze(1)
        if self.is_ensemble:
            reward = reward - self.penalty * uncertainty
        return Response(clicked, reward.float(), self._leave(state, clicked), changed)

    def _leave(self, state: TensorDictBase, clicked: Tensor) -> Tensor:
        """Probability (B,) of leaving after a step in which this was accepted, or nothing."""
        if self.leaving is None:
            return torch.full(clicked.shape, self.leave_rate, device=self.device)
        history = self.remember(state[Key.HISTORY], clicked)
        accepted = (clicked > PADDING).float().unsqueeze(1)
        logit: Tensor = self.leaving(
            self.user_model.state(history[:, -self.user_model.history_length :]),
            state[Key.STEP] + 1,
            state[Key.ACCEPTED_TOTAL] + accepted,
            accepted,
        )
        return logit.sigmoid()

    def _worth(
        self, known: dict[str, Tensor], outcomes: Tensor, following: dict[str, Tensor]
    ) -> Tensor:
        """Give the rewards (B, C) that each of several outcomes (B, C) of an offer would have.

        :param known: the state and the slate, by key.
        :param following: what follows by every outcome.
        """
        clicked = torch.where(outcomes > self.num_items, PADDING, outcomes)
        if self.reward_function is None:
            return (clicked > PADDING).float()
        count, size = clicked.shape[1], [clicked.numel()]
        transition = {key: value.repeat_interleave(count, 0) for key, value in known.items()}
        transition[Key.CLICKED] = clicked.reshape(-1, 1)
        rows = TensorDict(transition, batch_size=size, device=self.device)
        if following:
            then = {key: value.repeat_interleave(count, 0) for key, value in following.items()}
            rows["next"] = TensorDict(then, batch_size=size, device=self.device)
        with plugins.blaming(self.reward_function, f"reward {len(rows)} transitions"):
            worth = self.reward_function(rows)
        if worth.shape != (len(rows), 1):
            raise PluginError(
                f"{plugins.provider(self.reward_function)} gave rewards of shape "
                f"{tuple(worth.shape)} for {len(rows)} transitions; expected is ({len(rows)}, 1), "
                "a number for each."
            )
        return worth.view_as(clicked)

    def remember(self, history: Tensor, clicked: Tensor) -> Tensor:
        """Move histories on by the item accepted, or by N + 1 where declined steps are known."""
        if self._declined_enter:
            clicked = torch.where(clicked > 0, clicked, self.num_items + 1)
        return super().remember(history, clicked)
