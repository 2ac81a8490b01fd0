"""The LightningModule that imitates demonstrations in a simulator: GAIL, AIRL and SQIL.

Sessions are played inside the training step, so that no update sees those of an older policy.
"""

import copy
from collections import defaultdict
from dataclasses import dataclass
from typing import Any, Literal

import lightning.pytorch as pl
import torch
from lightning.pytorch.core.optimizer import LightningOptimizer
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from lightrec.data.processes import only_one
from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.learners.imitation.adversarial import AdversarialLearner
from lightrec.learners.imitation.data import ImitationData
from lightrec.learners.imitation.discriminators import AIRLDiscriminator, GAILDiscriminator
from lightrec.learners.imitation.features import Features
from lightrec.learners.imitation.learners import ImitationLearner, Losses
from lightrec.learners.imitation.sqil import SQILLearner
from lightrec.nn.part import describe
from lightrec.nn.precision import full_precision
from lightrec.simulators.session_env import SessionEnv
from lightrec.trust import PlainCheckpoint

Setting = int | float | str | bool | list[int]
LearnerName = Literal["gail", "airl", "sqil"]
DISCRIMINATORS = {"gail": GAILDiscriminator, "airl": AIRLDiscriminator}


@dataclass
class Workbench:
    """What training works with and no checkpoint keeps."""

    train: SessionEnv
    judging: SessionEnv
    demonstrations: TensorDict
    state: TensorDictBase
    """Where the training sessions stand."""


class ImitationModule(PlainCheckpoint, pl.LightningModule):
    """Trains a learner to act as in demonstrations, with manual optimization.

    One batch of the :class:`~lightrec.learners.imitation.data.ImitationData` is one iteration: play
    ``steps`` steps of ``sessions`` sessions with the present policy, then move the learner on each
    set of losses that it yields. Nothing here reads the simulator's own reward but validation,
    which logs ``validation/return``.

    :param learner: ``gail``, ``airl`` or ``sqil``.
    :param learner_settings: of :class:`~lightrec.learners.imitation.adversarial.AdversarialLearner`
        or :class:`~lightrec.learners.imitation.sqil.SQILLearner`.
    :param discriminator_settings: of
        :class:`~lightrec.learners.imitation.discriminators.GAILDiscriminator` or
        :class:`~lightrec.learners.imitation.discriminators.AIRLDiscriminator`.
    :param sessions: sessions B played side by side.
    :param steps: steps T of each in an iteration.
    :param stagger: cut the first sessions at different moments, so that the sessions of an
        iteration stand at different steps; otherwise all begin and end together.
    :param learning_rate: of AdamW, for policies and values.
    :param discriminator_learning_rate: of AdamW, for discriminators.
    :param weight_decay: of AdamW, for all.
    :param max_gradient: norm to which gradients are clipped.
    :param validation_seed: seed of the judging sessions.
    :raises RecipeError: where a learner is not known or cannot be built with its settings.
    """

    learner: ImitationLearner

    def __init__(
        self,
        learner: LearnerName = "airl",
        learner_settings: dict[str, Setting] | None = None,
        discriminator_settings: dict[str, Setting] | None = None,
        sessions: int = 32,
        steps: int = 128,
        stagger: bool = True,
        learning_rate: float = 1e-3,
        discriminator_learning_rate: float = 1e-3,
        weight_decay: float = 0.0,
        max_gradient: float = 1.0,
        validation_seed: int = 0,
    ) -> None:
        super().__init__()
        if learner not in (*DISCRIMINATORS, "sqil"):
            raise RecipeError(f"There is no learner {learner!r}; take one of gail, airl and sqil.")
        self.save_hyperparameters()
        self._settings: Any = self.hparams
        self.automatic_optimization = False
        self._bench: Workbench | None = None

    def setup(self, stage: str) -> None:
        """Build the learner on the data's features, where no checkpoint has done so.

        :raises RecipeError: where several processes are to train it.
        """
        only_one(self.trainer.world_size, self)
        if not hasattr(self, "learner"):
            self._build(self._data.features)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Note what the learner sees, so that the checkpoint suffices to load it."""
        checkpoint["features"] = describe(self._features[0])

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Build the learner that the weights belong to."""
        if not hasattr(self, "learner"):
            self._build(Features.build(checkpoint["features"]))

    def _build(self, features: Features) -> None:
        # In a tuple, which hides it: the learner has copies of its own.
        self._features = (features,)
        name, settings = self._settings.learner, dict(self._settings.learner_settings or {})
        own = dict(self._settings.discriminator_settings or {})
        try:
            if name == "sqil":
                self.learner = SQILLearner(features, **settings)
            else:
                judge = DISCRIMINATORS[name](copy.deepcopy(features), **own)
                self.learner = AdversarialLearner(features, judge, **settings)
        except TypeError as error:
            raise RecipeError(
                f"The learner {name} cannot be built with learner_settings {settings} and "
                f"discriminator_settings {own}: {error}."
            ) from None

    @property
    def _data(self) -> ImitationData:
        data = self.trainer.datamodule  # type: ignore[attr-defined]
        if not isinstance(data, ImitationData):
            raise RecipeError(
                "An ImitationModule needs an ImitationData, which brings the simulator and the "
                f"demonstrations; it was given {type(data).__name__}."
            )
        return data

    @property
    def bench(self) -> Workbench:
        """Simulators and demonstrations, made when first asked for."""
        if self._bench is None:
            data = self._data
            train = data.make_world(self._settings.sessions, device=self.device)
            state = train.reset()
            if self._settings.stagger:
                state[Key.STEP] = torch.randint_like(state[Key.STEP], train.max_steps)
            demonstrations = data.demonstrations.to(self.device)
            judging = data.make_world(data.judging, device=self.device)
            self._bench = Workbench(train, judging, demonstrations, state)
        return self._bench

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Give one AdamW; a step moves only what its losses reach."""
        judge = getattr(self.learner, "discriminator", None)
        judging = [] if judge is None else list(judge.parameters())
        apart = {id(parameter) for parameter in judging}
        rest = [p for p in self.learner.parameters() if p.requires_grad and id(p) not in apart]
        groups = [{"params": rest, "lr": self._settings.learning_rate}]
        if judging:
            rate = self._settings.discriminator_learning_rate
            groups.append({"params": judging, "lr": rate})
        return torch.optim.AdamW(groups, weight_decay=self._settings.weight_decay)

    def training_step(self, batch: Any, batch_index: int) -> None:
        """Play, then learn from what was played."""
        rollout, demonstrations = self._play(), self.bench.demonstrations
        sums: dict[str, Tensor] = defaultdict(lambda: torch.zeros((), device=self.device))
        counts: dict[str, int] = defaultdict(int)
        for losses in self.learner.updates(rollout, demonstrations):
            self._update(losses)
            for name, value in losses.items():
                sums[name] += value.detach().mean()
                counts[name] += 1
        for name, total in sums.items():
            self.log(f"train/{name}", total / counts[name], batch_size=1)

    def _update(self, losses: Losses) -> None:
        optimizer = self.optimizers()
        assert isinstance(optimizer, LightningOptimizer)
        optimizer.zero_grad()
        parts = [value for name, value in losses.items() if name.startswith("loss")]
        self.manual_backward(torch.stack(parts).sum())
        self.clip_gradients(optimizer.optimizer, self._settings.max_gradient, "norm")
        optimizer.step()

    @torch.no_grad()
    def _play(self) -> TensorDict:
        """Play ``steps`` steps: ``(B, T)`` transitions, without the simulator's reward."""
        bench, rows = self.bench, []
        keys = self.learner.keys
        kept: list[str | tuple[str, str]] = [*keys, Key.ACTION, Key.LOG_PROBABILITY]
        kept += [("next", key) for key in (*keys, "done", "terminated")]
        for _ in range(self._settings.steps):
            self.learner.act(bench.state)
            played, bench.state = bench.train.step_and_maybe_reset(bench.state)
            rows.append(played.select(*kept))
        return TensorDict.stack(rows, 1)

    def validation_step(self, batch: Any, batch_index: int) -> None:
        """Judge by the simulator's own reward, always under the same chance."""
        with full_precision(self.device):
            found = self.judge()
        for name, value in found.items():
            self.log(f"validation/{name}", value, prog_bar=name == "return", batch_size=1)

    @torch.no_grad()
    def judge(self) -> dict[str, float]:
        """Play whole sessions with the most probable actions: mean ``return`` and ``length``."""
        world = self.bench.judging
        world.set_seed(self._settings.validation_seed)
        state = world.reset()
        going = torch.ones(*world.batch_size, 1, dtype=torch.bool, device=world.device)
        total, length = torch.zeros(2, *going.shape, device=world.device)
        while going.any():
            self.learner.act(state, deterministic=True)
            following = world.step(state)["next"]
            total += following["reward"] * going
            length += going
            going = going & ~following["done"]
            state = following.exclude("reward")
        return {"return": float(total.mean()), "length": float(length.mean())}
