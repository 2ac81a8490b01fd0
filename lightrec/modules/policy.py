"""The LightningModule that trains a policy in a simulated world by proximal policy optimization.

Sessions are played inside the training step, so that no update ever sees those of an older policy.
"""

from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from tensordict import TensorDict, TensorDictBase
from tensordict.nn import ProbabilisticTensorDictModule, ProbabilisticTensorDictSequential
from tensordict.nn import TensorDictModule as Wrapped
from torch import Tensor, nn
from torchrl.objectives import ClipPPOLoss
from torchrl.objectives.value.functional import generalized_advantage_estimate

from lightrec.errors import RecipeError
from lightrec.evaluation.sessions import play
from lightrec.keys import Key
from lightrec.modules.policy_data import PolicyData
from lightrec.modules.stage import StageModule
from lightrec.nn.plackett_luce import EMPTY, PlackettLuce
from lightrec.nn.session import SessionKey
from lightrec.policies.base import UserMemory
from lightrec.policies.candidate import CandidatePolicy, SessionFeatures
from lightrec.simulators.user_model import UserModelSimulator

LOG_PROBABILITY = "action_log_prob"
STATE = (Key.USER_VECTOR, SessionKey.STEP, SessionKey.ACCEPTED_TOTAL)


class PolicyModule(StageModule):
    """Trains a :class:`CandidatePolicy` with TorchRL's ``ClipPPOLoss`` in user model A.

    One batch of the data module is one iteration: play ``steps`` steps of ``sessions`` sessions
    with the present policy, estimate advantages, and go ``passes`` times over them. An epoch begins
    with fresh sessions, so that one resumed at an epoch's end goes on as it would have.

    :param num_items: number of items N.
    :param vector_size: length of the data module's item vectors.
    :param reward: what the policy maximises: ``learned``, the user model's reward of what is
        accepted, or ``accepted``, 1 for each accepted item.
    :param slate_size: items shown in a step.
    :param leave_rate: probability of leaving after a step, an assumption where the log is silent.
    :param max_steps: steps after which a session is cut.
    :param ending: ``leave``, or ``fixed`` for sessions of exactly ``max_steps``.
    :param max_candidates: show only so many of the most popular items; None means all.
    :param repeats: whether items of a user's log may be shown.
    :param history_length: how many steps of a history the policy reads.
    :param size: width of the learned part of the scores.
    :param hidden: width of hidden layers.
    :param sharpness: first factor on the encoder's scores.
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

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        reward: Literal["learned", "accepted"] = "learned",
        expected: bool = True,
        slate_size: int = 1,
        leave_rate: float = 0.05,
        max_steps: int = 40,
        ending: Literal["leave", "fixed"] = "leave",
        max_candidates: int | None = None,
        repeats: bool = False,
        history_length: int = 50,
        size: int = 32,
        hidden: int = 64,
        sharpness: float = 1.0,
        sessions: int = 512,
        steps: int = 20,
        passes: int = 2,
        batch_size: int = 2048,
        learning_rate: float = 2e-3,
        discount: float = 1.0,
        trace: float = 0.95,
        clip: float = 0.2,
        entropy: float = 0.01,
        max_gradient: float = 1.0,
        validation_seed: int = 0,
    ) -> None:
        super().__init__(num_items, vector_size)
        self.save_hyperparameters()
        self.automatic_optimization = False
        self.policy: CandidatePolicy | None = None
        self.critic: Critic | None = None
        # In a dict, because an attribute would join the module's parts and its state dict.
        self._tools: dict[str, Any] = {}

    def setup(self, stage: str) -> None:
        """Build the policy around the encoder, where no checkpoint has done so."""
        if self.policy is None:
            data = self._data
            self._build(
                CandidatePolicy.from_ranker(
                    data.ranker,
                    history_length=self.hparams.history_length,
                    size=self.hparams.size,
                    hidden=self.hparams.hidden,
                    sharpness=self.hparams.sharpness,
                    horizon=self.hparams.max_steps,
                )
            )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note how the policy is built, so that the checkpoint suffices to load it."""
        assert self.policy is not None
        checkpoint["policy"] = dict(self.policy._hub_mixin_config)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the policy that the weights belong to."""
        if self.policy is None:
            self._build(CandidatePolicy(**checkpoint["policy"]))

    def _build(self, policy: CandidatePolicy) -> None:
        self.policy = policy
        width = policy.ranker.size
        length = min(self.hparams.max_steps, 1 / max(self.hparams.leave_rate, 1e-6))
        self.critic = Critic(width, self.hparams.hidden, self.hparams.max_steps, 1.0)

    @property
    def _data(self) -> PolicyData:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, PolicyData):
            raise RecipeError(
                "A PolicyModule needs a PolicyData, which brings the encoder and the user model; "
                f"the recipe has {type(data).__name__}."
            )
        return data

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Give Adam over all that is not frozen."""
        learned = [p for p in self.parameters() if p.requires_grad]
        return torch.optim.Adam(learned, self.hparams.learning_rate)

    def on_fit_start(self) -> None:
        """Build the worlds and the loss, now that the module lies on its device."""
        data = self._data
        self._tools["train"] = self._simulator(data, self.hparams.sessions)
        self._tools["held_out"] = data.held_out_users
        self._tools["validate"] = self._simulator(data, len(data.held_out_users))
        self._tools["loss"] = self._loss()

    def _simulator(self, data: PolicyData, sessions: int) -> UserModelSimulator:
        settings = self.hparams
        user_model = data.user_model.to(self.device)
        return UserModelSimulator(
            user_model,
            data.starts,
            sessions,
            reward=user_model.reward if settings.reward != "accepted" else None, expected=settings.expected, surplus=settings.reward=="surplus",
            slate_size=settings.slate_size,
            leave_rate=settings.leave_rate,
            max_steps=settings.max_steps,
            ending=settings.ending,
            history_length=settings.history_length,
            max_candidates=settings.max_candidates,
            popularity=data.popularity,
            repeats=settings.repeats,
            device=self.device,
        )

    def _loss(self) -> ClipPPOLoss:
        actor = ProbabilisticTensorDictSequential(
            Wrapped(self.policy.score, in_keys=list(STATE), out_keys=["logits"]),
            ProbabilisticTensorDictModule(
                in_keys={"logits": "logits", "mask": Key.MASK},
                out_keys=[Key.ACTION],
                distribution_class=PlackettLuce,
                distribution_kwargs={"slate_size": self.hparams.slate_size},
                return_log_prob=True,
            ),
        )
        loss = ClipPPOLoss(
            actor,
            Wrapped(self.critic, in_keys=list(STATE), out_keys=["state_value"]),
            functional=False,
            clip_epsilon=self.hparams.clip,
            entropy_coeff=self.hparams.entropy,
            critic_coeff=1.0,
            normalize_advantage=False,
        )
        loss.set_keys(action=Key.ACTION, sample_log_prob=LOG_PROBABILITY)
        return loss.to(self.device)

    def on_train_epoch_start(self) -> None:
        """Begin fresh sessions."""
        self._tools["memory"] = UserMemory(self.policy)
        self._tools["state"] = self._tools["train"].reset()
        shape = self.num_items + 1
        self._tools["shown"] = torch.zeros(shape, dtype=torch.bool, device=self.device)

    def training_step(self, batch: Any, batch_index: int) -> None:
        """Play, then learn from what was played."""
        rollout = self._play()
        self._log_play(rollout)
        rows = rollout.select(
            *STATE, Key.MASK, Key.ACTION, LOG_PROBABILITY, "advantage", "value_target"
        ).flatten()
        optimizer = self.optimizers()
        sums: dict[str, Tensor] = {}
        updates = 0
        for _ in range(self.hparams.passes):
            order = torch.randperm(len(rows), device=self.device)
            for chosen in order.split(self.hparams.batch_size):
                outcome = self._tools["loss"](rows[chosen])
                loss = sum(v for name, v in outcome.items() if name.startswith("loss"))
                optimizer.zero_grad()
                self.manual_backward(loss)
                self.clip_gradients(optimizer, self.hparams.max_gradient, "norm")
                optimizer.step()
                updates += 1
                for name in ("loss_objective", "loss_critic", "entropy", "clip_fraction",
                             "kl_approx", "explained_variance"):
                    sums[name] = sums.get(name, 0) + outcome[name].detach()
        for name, total in sums.items():
            self.log(f"train/{name}", total / updates, on_step=False, on_epoch=True, batch_size=1)

    @torch.no_grad()
    def _play(self) -> TensorDict:
        """Play ``steps`` steps: ``(B, T)`` rows with advantages and value targets."""
        tools, state, rows = self._tools, self._tools["state"], []
        simulator, memory = tools["train"], tools["memory"]
        for _ in range(self.hparams.steps):
            state[Key.USER_VECTOR] = memory(state[Key.HISTORY])
            self.policy.act(state, self.hparams.slate_size, deterministic=False)
            played, state = simulator.step_and_maybe_reset(state)
            row = played.select(*STATE, Key.MASK, Key.ACTION, LOG_PROBABILITY)
            following = played["next"]
            row["state_value"] = self.critic(*(row[name] for name in STATE))
            row["cut_value"] = self._value_where_cut(following)
            for name in ("reward", "done", "terminated", SessionKey.ACCEPTED):
                row[name] = following[name]
            row["length"] = following[SessionKey.STEP]
            rows.append(row)
        tools["state"] = state
        last = self.critic(memory(state[Key.HISTORY]), *(state[name] for name in STATE[1:]))
        rollout = torch.stack(rows, 1)
        # Column 0 is padding and thus an empty place, which the distribution calls EMPTY.
        action = rollout[Key.ACTION]
        rollout[Key.ACTION] = action.masked_fill(action == 0, EMPTY)
        return self._advantages(rollout, last)

    def _value_where_cut(self, following: TensorDictBase) -> Tensor:
        """Value the states in which sessions were cut, which the resets hide: (B, 1)."""
        value = torch.zeros_like(following["reward"])
        rows = following["done"].squeeze(1).nonzero().squeeze(1)
        if len(rows):
            cut = following[rows]
            vectors = self.policy.user_vectors(cut[Key.HISTORY])
            value[rows] = self.critic(vectors, *(cut[name] for name in STATE[1:]))
        return value

    def _advantages(self, rollout: TensorDict, last: Tensor) -> TensorDict:
        value = rollout["state_value"]
        following = torch.cat([value[:, 1:], last.unsqueeze(1)], 1)
        following = torch.where(rollout["done"], rollout["cut_value"], following)
        stay = 1.0 if self.hparams.ending == "fixed" else 1 - self.hparams.leave_rate
        advantage, target = generalized_advantage_estimate(
            self.hparams.discount * stay, self.hparams.trace, value, following,
            rollout["reward"], rollout["done"], torch.zeros_like(rollout["done"]),
        )
        self._tools["std"] = advantage.std()
        rollout["advantage"] = (advantage - advantage.mean()) / advantage.std().clamp_min(1e-6)
        rollout["value_target"] = target
        return rollout

    def _log_play(self, rollout: TensorDict) -> None:
        self._tools["shown"][rollout[Key.ACTION].clamp_min(0).flatten()] = True
        self._tools["shown"][0] = False
        ended = rollout["done"].sum().clamp_min(1)
        values = {
            "reward_per_step": rollout["reward"].mean(),
            "acceptance": rollout[SessionKey.ACCEPTED].mean(),
            "length": (rollout["length"] * rollout["done"]).sum() / ended,
            "coverage": self._tools["shown"].sum() / self.num_items,
            "adv_std": self._tools["std"], "sharpness": self.policy.log_sharpness.detach().exp(),
        }
        for name, value in values.items():
            self.log(f"train/{name}", value, on_step=False, on_epoch=True, batch_size=1)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Judge the policy in user model A on held-out users, always under the same chance."""
        for name, value in self._judge().items():
            self.log(f"validation/{name}", value, prog_bar=name == "return", batch_size=1)

    def _judge(self) -> dict[str, float]:
        sessions, _ = play(
            self.policy,
            self._tools["validate"],
            self._tools["held_out"],
            self.hparams.validation_seed,
        )
        metrics = sessions.metrics()
        # The monitored return is the sum of what is maximised; accepted items stand beside it.
        accepted = metrics.pop("return")
        return {"return": metrics.pop("reward"), "accepted": accepted, **metrics}

    def write(self, folder: Path) -> dict[str, float]:
        """Save the policy, encoder included, and judge it once more."""
        self.policy.save_pretrained(folder)
        return {f"validation/{name}": value for name, value in self._judge().items()}


class Critic(nn.Module):
    """Foretells what a session will still bring.

    :param vector_size: length of user vectors.
    :param hidden: width of the hidden layer.
    :param horizon: steps after which the step counts as 1.
    :param scale: of the values, so that the network's own outputs are of order 1.
    """

    def __init__(self, vector_size: int, hidden: int, horizon: int, scale: float) -> None:
        super().__init__()
        self.features = SessionFeatures(vector_size, horizon)
        self.network = nn.Sequential(
            nn.Linear(self.features.size, hidden), nn.Tanh(), nn.Linear(hidden, 1)
        )
        self.scale = scale

    def forward(self, user_vectors: Tensor, step: Tensor, accepted_total: Tensor) -> Tensor:
        """Give values ``(..., 1)``."""
        return self.scale * self.network(self.features(user_vectors, step, accepted_total))
