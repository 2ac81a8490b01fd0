"""The LightningModule that trains a policy in a simulated world by proximal policy optimization.

Sessions are played inside the training step, so that no update sees those of an older policy.
"""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import (
    ProbabilisticTensorDictModule,
    ProbabilisticTensorDictSequential,
    TensorDictModule,
)
from torch import Tensor
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value.functional import generalized_advantage_estimate

from lightrec.errors import RecipeError
from lightrec.evaluation.sessions import play
from lightrec.keys import PADDING, Key
from lightrec.modules.policy_data import PolicyData
from lightrec.modules.policy_rewards import Setting, training_reward
from lightrec.modules.stage import StageModule
from lightrec.nn.plackett_luce import EMPTY, PlackettLuce
from lightrec.nn.session import SessionValue
from lightrec.policies.base import UserMemory, arguments_of
from lightrec.policies.candidate import CandidatePolicy
from lightrec.rewards.base import Reward
from lightrec.rewards.combined import Measured, measured_of, put_measured
from lightrec.simulators.base import Ending
from lightrec.simulators.user_model import UserModelSimulator

STATE = (Key.USER_VECTOR, Key.STEP, Key.ACCEPTED_TOTAL)
DIAGNOSTICS = (
    "loss_objective", "loss_critic", "entropy", "clip_fraction", "kl_approx", "explained_variance",
)  # fmt: skip


@dataclass
class Workbench:
    """What training works with and no checkpoint keeps."""

    train: UserModelSimulator
    judging: UserModelSimulator
    users: Tensor
    """(M,) int64: the users of the judging sessions."""
    reward: Reward
    """What is trained on; judging takes what it is judged by."""
    loss: ClipPPOLoss
    memory: UserMemory
    state: TensorDictBase
    """Where the training sessions stand."""
    shown: Tensor
    """(N + 1,) bool: what the epoch has shown so far."""


class PolicyModule(StageModule):
    """Trains a policy with TorchRL's ``ClipPPOLoss`` in user model A.

    The policy is a :class:`~lightrec.policies.candidate.CandidatePolicy`.

    One batch of the data module is one iteration: play ``steps`` steps of ``sessions`` sessions
    with the present policy, estimate advantages, and go ``passes`` times over them. An epoch begins
    with fresh sessions, so that one resumed at an epoch's end goes on as it would have.

    The simulator knows how likely each outcome and leaving were, so advantages are computed from
    their expectations: rewards are means over the outcomes, and instead of ending, a session's
    future counts (1 - leave_rate). Both have the expectation of what happened, without its noise.
    Where leaving was fitted, sessions end when they end.

    :param num_items: number of items N.
    :param vector_size: length of the data module's item vectors.
    :param reward: what the policy maximises the sum of: the short name of any installed reward.
    :param reward_settings: arguments of its constructor, other than the folder of a reward stage;
        rewards within it by name, or as ``class_path`` with ``init_args``. A shaped reward trains
        with its shaping and is judged without.
    :param penalty: what a nat of user model A's uncertainty takes off the reward, where it is an
        ensemble.
    :param slate_size: items shown in a step.
    :param leave_rate: probability of leaving after a step, an assumption where the log is silent;
        where leaving was fitted beside the user model, that is used.
    :param max_steps: steps after which a session is cut.
    :param ending: ``leave``, or ``fixed`` for sessions of exactly ``max_steps``.
    :param max_candidates: show only so many of the most popular items; None means all.
    :param history_length: how many steps of a history the policy reads.
    :param use_utilities: whether the policy also sees the user model's utilities.
    :param size: width of the learned part of the scores. The wider, the better it learns what is
        particular to the one user model that it meets, and the less of it holds in another.
    :param hidden: width of hidden layers.
    :param sharpness: factor on the encoder's scores.
    :param sessions: sessions played side by side.
    :param steps: steps of each in an iteration.
    :param passes: passes over an iteration's steps.
    :param batch_size: rows of an optimizer step.
    :param learning_rate: of Adam.
    :param discount: γ of the policy's own horizon, beside leaving.
    :param trace: λ of generalized advantage estimation.
    :param clip: ε of the clipped objective.
    :param entropy: weight of the entropy bonus.
    :param max_gradient: norm to which gradients are clipped.
    :param validation_seed: seed of the judging sessions.
    """

    monitor: ClassVar[str] = "validation/return"
    mode: ClassVar[Literal["min", "max"]] = "max"
    policy: CandidatePolicy
    critic: SessionValue

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        reward: str = "SurplusReward",
        reward_settings: dict[str, Setting] | None = None,
        penalty: float = 0.0,
        slate_size: int = 1,
        leave_rate: float = 0.05,
        max_steps: int = 40,
        ending: Ending = "leave",
        max_candidates: int | None = None,
        history_length: int = 20,
        use_utilities: bool = True,
        size: int = 0,
        hidden: int = 64,
        sharpness: float = 2.0,
        sessions: int = 512,
        steps: int = 20,
        passes: int = 2,
        batch_size: int = 2048,
        learning_rate: float = 1e-2,
        discount: float = 1.0,
        trace: float = 0.8,
        clip: float = 0.2,
        entropy: float = 0.0,
        max_gradient: float = 1.0,
        validation_seed: int = 0,
    ) -> None:
        super().__init__(num_items, vector_size)
        if not (size or use_utilities):
            raise RecipeError(
                "The policy would have nothing to learn: give it a size above 0 or use_utilities."
            )
        self.save_hyperparameters()
        self._settings: Any = self.hparams
        self.automatic_optimization = False
        self._bench: Workbench | None = None
        self._measured: Measured = {}

    def setup(self, stage: str) -> None:
        """Build the policy around the encoder, where no checkpoint has done so."""
        if not hasattr(self, "policy"):
            own = {
                name: self._settings[name]
                for name in ("history_length", "size", "hidden", "sharpness")
            }
            horizon = self._settings.max_steps
            data = self._data
            known = data.user_model if self._settings.use_utilities else None
            self._build(CandidatePolicy.from_parts(data.ranker, known, horizon=horizon, **own))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note how the policy is built, so that the checkpoint suffices to load it."""
        checkpoint["policy"] = arguments_of(self.policy)
        if self._bench is not None:
            checkpoint["reward"] = measured_of(self._bench.reward)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the policy that the weights belong to."""
        if not hasattr(self, "policy"):
            self._build(CandidatePolicy(**checkpoint["policy"]))
        self._measured = checkpoint.get("reward", {})

    def _build(self, policy: CandidatePolicy) -> None:
        self.policy = policy
        self.critic = SessionValue(policy.vector_size, self._settings.hidden, policy.horizon)

    @property
    def _data(self) -> PolicyData:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, PolicyData):
            raise RecipeError(
                "A PolicyModule needs a PolicyData, which brings the encoder and the user model; "
                f"the recipe has {type(data).__name__}."
            )
        return data

    @property
    def bench(self) -> Workbench:
        """Simulators and loss, made when first asked for, on the module's device."""
        if self._bench is None:
            data = self._data
            reward = training_reward(self._settings, data.reward, data.leaving is not None)
            put_measured(reward, self._measured)
            reward = reward.to(self.device)
            train = self._simulator(data, self._settings.sessions, reward)
            shown = torch.zeros(self.num_items + 1, dtype=torch.bool, device=self.device)
            self._bench = Workbench(
                train,
                self._simulator(data, len(data.held_out_users), reward.judged),
                data.held_out_users,
                reward,
                self._loss(),
                UserMemory(self.policy),
                train.reset(),
                shown,
            )
        return self._bench

    def _simulator(self, data: PolicyData, sessions: int, reward: Reward) -> UserModelSimulator:
        settings = self._settings
        return UserModelSimulator(
            data.users_played.to(self.device),
            data.starts,
            sessions,
            reward=reward,
            expected=True,
            penalty=settings.penalty,
            slate_size=settings.slate_size,
            leave_rate=settings.leave_rate,
            leaving=data.leaving,
            max_steps=settings.max_steps,
            ending=settings.ending,
            history_length=settings.history_length,
            max_candidates=settings.max_candidates,
            popularity=data.popularity,
            repeats=data.repeats,
            device=self.device,
        )

    def _loss(self) -> ClipPPOLoss:
        actor = ProbabilisticTensorDictSequential(
            TensorDictModule(self.policy.score, in_keys=list(STATE), out_keys=["logits"]),
            ProbabilisticTensorDictModule(
                in_keys={"logits": "logits", "mask": Key.MASK},
                out_keys=[Key.ACTION],
                distribution_class=PlackettLuce,
                distribution_kwargs={"slate_size": self._settings.slate_size},
                return_log_prob=True,
            ),
        )
        loss = ClipPPOLoss(
            actor,
            TensorDictModule(self.critic, in_keys=list(STATE), out_keys=["state_value"]),
            functional=False,
            clip_epsilon=self._settings.clip,
            entropy_bonus=True,
            entropy_coeff=self._settings.entropy,
            critic_coeff=1.0,
        )
        loss.set_keys(action=Key.ACTION, sample_log_prob=Key.LOG_PROBABILITY)
        return loss.to(self.device)

    def on_fit_start(self) -> None:
        """Draw what building the bench draws before the first epoch is seeded, resumed or not."""
        assert self.bench

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Give Adam over all that is not frozen."""
        learned = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.Adam(learned, self._settings.learning_rate)

    def on_train_epoch_start(self) -> None:
        """Begin fresh sessions, drawn after the pipeline has seeded the epoch."""
        self.bench.state = self.bench.train.reset()
        self.bench.memory = UserMemory(self.policy)
        self.bench.shown.zero_()

    def training_step(self, batch: Any, batch_index: int) -> None:
        """Play, then learn from what was played."""
        rollout = self._play()
        self._log_play(rollout)
        rows = rollout.select(
            *STATE, Key.MASK, Key.ACTION, Key.LOG_PROBABILITY, "advantage", "value_target"
        ).flatten()
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=self.device))
        updates = 0
        for _ in range(self._settings.passes):
            for chosen in torch.randperm(len(rows), device=self.device).split(
                self._settings.batch_size
            ):
                outcome = self.bench.loss(rows[chosen])
                self._update(sum(v for n, v in outcome.items() if n.startswith("loss")))
                updates += 1
                for name in DIAGNOSTICS:
                    sums[name] += outcome[name].detach().mean()
        self._log_means({name: total / updates for name, total in sums.items()})

    def _update(self, loss: Tensor) -> None:
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.zero_grad()
        self.manual_backward(loss)
        self.clip_gradients(optimizer.optimizer, self._settings.max_gradient, "norm")
        optimizer.step()

    @torch.no_grad()
    def _play(self) -> TensorDict:
        """Play ``steps`` steps: ``(B, T)`` rows with advantages and value targets."""
        bench, rows = self.bench, []
        for _ in range(self._settings.steps):
            state = bench.state
            state[Key.USER_VECTOR] = bench.memory(state[Key.HISTORY])
            self.policy.act(state, self._settings.slate_size, deterministic=False)
            played, bench.state = bench.train.step_and_maybe_reset(state)
            row = played.select(*STATE, Key.MASK, Key.ACTION, Key.LOG_PROBABILITY)
            following = played["next"]
            row["value"] = self.critic(*(row[name] for name in STATE))
            row["last_value"] = self._value_at_end(following)
            row["length"] = following[Key.STEP]
            for name in ("reward", "done", "terminated", Key.ACCEPTED):
                row[name] = following[name]
            rows.append(row)
        rollout = TensorDict.stack(rows, 1)
        vectors = bench.memory(bench.state[Key.HISTORY])
        after = self.critic(vectors, *(bench.state[name] for name in STATE[1:]))
        # The simulator says 0 for an empty place, the distribution EMPTY.
        slates = rollout[Key.ACTION]
        rollout[Key.ACTION] = slates.masked_fill(slates == PADDING, EMPTY)
        return self._estimate(rollout, after)

    def _value_at_end(self, following: TensorDictBase) -> Tensor:
        """Value the states in which sessions ended, which the resets hide: ``(B, 1)``."""
        value = torch.zeros_like(following["reward"])
        rows = following["done"].squeeze(1).nonzero().squeeze(1)
        if len(rows):
            ended = following[rows]
            vectors = self.policy.user_vectors(ended[Key.HISTORY])
            value[rows] = self.critic(vectors, *(ended[name] for name in STATE[1:]))
        return value

    def _estimate(self, rollout: TensorDict, after: Tensor) -> TensorDict:
        """Add advantages and value targets; ``after`` values what follows the last step."""
        value = rollout["value"]
        following = torch.cat([value[:, 1:], after.unsqueeze(1)], 1)
        following = torch.where(rollout["done"], rollout["last_value"], following)
        fitted = self.bench.train.leaving is not None
        certain = fitted or self._settings.ending == "fixed"
        stay = 1.0 if certain else 1 - self._settings.leave_rate
        ended = rollout["terminated"] if fitted else torch.zeros_like(rollout["done"])
        advantage, target = generalized_advantage_estimate(
            self._settings.discount * stay,
            self._settings.trace,
            value,
            following,
            rollout["reward"],
            rollout["done"],
            ended,
        )
        rollout["advantage"] = (advantage - advantage.mean()) / advantage.std().clamp_min(1e-6)
        rollout["value_target"] = target
        return rollout

    def _log_play(self, rollout: TensorDict) -> None:
        self.bench.shown[rollout[Key.ACTION].clamp_min(PADDING).flatten()] = True
        ended = rollout["done"].sum().clamp_min(1)
        self._log_means(
            {
                "reward_per_step": rollout["reward"].mean(),
                "acceptance": rollout[Key.ACCEPTED].mean(),
                "length": (rollout["length"] * rollout["done"]).sum() / ended,
                "coverage": self.bench.shown[1:].float().mean(),
                "trust": self.policy.trust.detach(),
            }
        )

    def _log_means(self, values: dict[str, Tensor]) -> None:
        for name, value in values.items():
            self.log(f"train/{name}", value.float(), on_step=False, on_epoch=True, batch_size=1)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Judge the policy in user model A on held-out users, always under the same chance."""
        for name, value in self._judge().items():
            self.log(f"validation/{name}", value, prog_bar=name == "return", batch_size=1)

    def _judge(self) -> dict[str, float]:
        bench, seed = self.bench, self._settings.validation_seed
        # Nothing here may move the generator that training draws from.
        with torch.random.fork_rng():
            metrics = play(self.policy, bench.judging, bench.users, seed)[0].metrics()
        # What is maximised is the return here; accepted items stand beside it.
        accepted = metrics.pop("return")
        return {"return": metrics.pop("reward"), "accepted": accepted, **metrics}

    def write(self, folder: Path) -> dict[str, float]:
        """Save the policy, its encoder included, and judge it once more."""
        self.policy.save_pretrained(folder)
        return {f"validation/{name}": value for name, value in self._judge().items()}
