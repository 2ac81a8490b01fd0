"""The LightningModule that trains a policy on what it has just played: PPO, REINFORCE, SARSA."""

import copy
from collections import deque
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl.objectives.value.functional import generalized_advantage_estimate

from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.learners.packed_masks import PACKED, pack, unpack
from lightrec.learners.playground import PolicySetting
from lightrec.learners.policy_losses import (
    CLICKED_COLUMN,
    FEATURES,
    LossName,
    on_policy_loss,
    slates_alone,
)
from lightrec.learners.policy_stage import Means, PolicyStage, kept
from lightrec.nn.slate_law import items_at
from lightrec.policies.base import LearnedPolicy
from lightrec.policies.slate import SlatePolicy


class PolicyModule(PolicyStage):
    """Trains a policy with a loss on what the present policy has just played.

    One batch of the data module is one iteration: play ``steps`` steps of ``sessions`` sessions,
    estimate advantages, and go ``passes`` times over them.

    Where a simulator knows how likely leaving was
    (:attr:`~lightrec.learners.playground.Playground.stay`), advantages are computed from that
    expectation: instead of ending, a session's future counts so much. That has the expectation of
    what happened, without its noise. Everywhere else sessions that were cut are
    bootstrapped, and those that ended are not; ``time_aware`` says which of the two a
    simulator's own cuts are.

    :param num_items: number of items N.
    :param vector_size: length of the data module's item vectors.
    :param loss: ``ppo``, ``a2c``, ``reinforce``, ``reinforce-top-k`` or ``slate-sarsa``; see
        :mod:`lightrec.learners.policy_losses`.
    :param loss_settings: of the loss, such as ``clip_epsilon`` and ``entropy_coeff``.
    :param policy_settings: of the policy that the data module makes.
    :param critic_hidden: widths of the critic's hidden layers.
    :param sessions: sessions played side by side.
    :param steps: steps of each in an iteration.
    :param passes: passes over an iteration's steps.
    :param history_iterations: iterations whose steps are learned from, the last ones of the epoch;
        more than one only for ``reinforce-top-k``, which corrects for the policies that played
        them.
    :param batch_size: rows of an optimizer step.
    :param learning_rate: of Adam.
    :param final_rate: part of the learning rate that is left in the last epoch.
    :param discount: γ of the policy's own horizon, beside leaving.
    :param time_aware: whether the simulator's own cuts, at its step limit or where nothing is left
        to show, end the task, as where returns are counted up to there and the policy sees the time
        (Pardo et al. 2018, "Time limits in reinforcement learning").
    :param gae_lambda: λ of generalized advantage estimation.
    :param reward_scale: what rewards are multiplied by, so that returns are of order 1 to 10.
    :param temperature: of the slates that ``slate-sarsa`` shows while it learns, in the first epoch
        and the last: what values, in units of scaled rewards, are divided by to be logits.
    :param max_gradient: norm to which gradients are clipped.
    :param validation_seed: seed of the judging sessions.
    """

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        loss: LossName = "ppo",
        loss_settings: dict[str, float | bool | str] | None = None,
        policy_settings: dict[str, PolicySetting] | None = None,
        critic_hidden: tuple[int, ...] = (64,),
        sessions: int = 512,
        steps: int = 20,
        passes: int = 2,
        history_iterations: int = 1,
        batch_size: int = 2048,
        learning_rate: float = 1e-2,
        final_rate: float = 1.0,
        discount: float = 1.0,
        time_aware: bool = False,
        gae_lambda: float = 0.8,
        reward_scale: float = 1.0,
        temperature: tuple[float, float] = (0.1, 0.02),
        max_gradient: float = 1.0,
        validation_seed: int = 0,
    ) -> None:
        super().__init__(num_items, vector_size)
        self.save_hyperparameters()
        if history_iterations > 1 and loss != "reinforce-top-k":
            raise RecipeError(
                f"history_iterations is {history_iterations}, and {loss} learns from the present "
                "policy's steps only. Set it to 1, or take reinforce-top-k."
            )
        if min(temperature) <= 0:
            raise RecipeError(
                f"temperature is {tuple(temperature)}; values are divided by it, so that both "
                "numbers must be positive."
            )
        self.behavior: LearnedPolicy | None = None

    def _wrap(self, policy: LearnedPolicy, slate_size: int) -> LearnedPolicy:
        if self._settings.loss != "slate-sarsa":
            return policy
        hidden = tuple(self._settings.critic_hidden)
        return SlatePolicy.from_policies(policy, policy, slate_size, hidden)

    def _build(self, policy: LearnedPolicy) -> None:
        super()._build(policy)
        if self._settings.loss == "reinforce-top-k":
            self.behavior = copy.deepcopy(policy)

    def on_train_epoch_start(self) -> None:
        """Forget the steps of earlier epochs, beside what every policy's module does."""
        super().on_train_epoch_start()
        if isinstance(self.policy, SlatePolicy):
            first, last = self._settings.temperature
            self.policy.temperature.fill_(first * (last / first) ** self.progress)
        self._past: deque[TensorDict] = deque(maxlen=self._settings.history_iterations)

    def training_step(self, batch: Any, batch_index: int) -> None:
        """Play, then learn from what was played."""
        rollout = self._play()
        self._log_play(rollout)
        names = [FEATURES, Key.ACTION, Key.LOG_PROBABILITY, "advantage", "value_target"]
        offered = PACKED if self.offered == Key.MASK else self.offered
        if self._settings.loss == "slate-sarsa":
            rollout, offered = slates_alone(rollout), Key.CANDIDATES
            names.append(CLICKED_COLUMN)
        self._past.append(kept([*self.policy.reads, offered, *names], rollout).flatten())
        rows = self._past[0] if len(self._past) == 1 else TensorDict.cat(list(self._past))
        loss = on_policy_loss(
            self._settings.loss,
            self.policy,
            self.critic,
            self.behavior,
            self.ground.train.slate_size,
            offered == PACKED,
            self._settings.loss_settings or {},
        ).to(self.device)
        means = Means()
        for _ in range(self._settings.passes):
            order = torch.randperm(len(rows), device=self.device)
            for chosen in order.split(self._settings.batch_size):
                outcome = loss(self._with_mask(rows[chosen]))
                self._update({name: outcome[name] for name in outcome.keys()})  # noqa: SIM118
                means.add(outcome, outcome.keys())
        self._log_means(means.all())

    def _with_mask(self, rows: TensorDict) -> TensorDict:
        """Give rows (R,) the masks that were packed while they were played."""
        packed = rows.pop(PACKED, None)
        return rows if packed is None else rows.set(Key.MASK, unpack(packed, self.num_items + 1))

    @torch.no_grad()
    def _play(self) -> TensorDict:
        """Play ``steps`` steps: ``(B, T)`` rows with advantages and value targets."""
        ground, rows = self.ground, []
        self.forget_vectors()
        assert self._state is not None
        for _ in range(self._settings.steps):
            state = self.see(self._state)
            law = self.policy.columns(state, ground.train.slate_size)
            columns = law.sample()
            row = kept([*self.policy.reads, FEATURES], state)
            if self.offered == Key.MASK:
                # Of a large catalog, masks are nearly all that is kept.
                row[PACKED] = pack(state[Key.MASK])
            else:
                row[Key.CANDIDATES] = state[Key.CANDIDATES]
            row[Key.ACTION], row[Key.LOG_PROBABILITY] = columns, law.log_prob(columns)
            row["slate"] = state[Key.ACTION] = items_at(columns, state.get(Key.CANDIDATES, None))
            played, self._state = ground.train.step_and_maybe_reset(state)
            following = played["next"]
            row["value"] = self.critic(row[FEATURES])
            row["last_value"] = self._value_at_end(following)
            row["length"] = following[Key.STEP]
            for name in ("reward", "done", "terminated", Key.ACCEPTED, Key.TAKEN):
                row[name] = following[name]
            rows.append(row)
        after = self.critic(self.see(self._state)[FEATURES])
        return self._estimate(TensorDict.stack(rows, 1), after)

    def _value_at_end(self, following: TensorDictBase) -> Tensor:
        """Value the states in which sessions ended, which the resets hide: ``(B, 1)``."""
        value = torch.zeros_like(following["reward"])
        rows = following["done"].squeeze(1).nonzero().squeeze(1)
        if len(rows):
            value[rows] = self.critic(self.see_apart(following[rows])[FEATURES]).to(value.dtype)
        return value

    def _estimate(self, rollout: TensorDict, after: Tensor) -> TensorDict:
        """Add advantages and value targets; ``after`` values what follows the last step."""
        value, stay = rollout["value"], self.ground.stay
        following = torch.cat([value[:, 1:], after.unsqueeze(1)], 1)
        following = torch.where(rollout["done"], rollout["last_value"], following)
        ended = self._ended(rollout["terminated"], rollout["done"], rollout["length"])
        advantage, target = generalized_advantage_estimate(
            self._settings.discount * stay,
            self._settings.gae_lambda,
            value,
            following,
            self._settings.reward_scale * rollout["reward"],
            rollout["done"],
            ended,
        )
        rollout["advantage"] = (advantage - advantage.mean()) / advantage.std().clamp_min(1e-6)
        rollout["value_target"] = target
        return rollout
