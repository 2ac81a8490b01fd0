"""The stages users_a and users_b: a choice model by likelihood, then its reward.

Lightning's epochs fit the choices. The continuation value of the two-step estimator is one linear
solve on the best epoch's model, when the part is written.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeAlias

import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from lightrec.calibration import BINS
from lightrec.data.files import RELIABILITY
from lightrec.data.share import part_of_all
from lightrec.data.store import TEST, TRAIN, VALIDATION
from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.nn.stage import StageModule, warm_cosine
from lightrec.users.assessment import assess, calibrate, choice_auc, fit_popularity, future_share
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import ChoiceModel, PooledChoice, with_nothing
from lightrec.users.choice_sets import Batch
from lightrec.users.halves import OTHER
from lightrec.users.irl import RewardLearner, chosen, fit_continuation, mean
from lightrec.users.parts_fitting import UserParts
from lightrec.users.user_model import UserModel

MAX_OFFERS = 100_000
"""Training states that serve to fit the continuation value, at most."""
ChoiceModelClass: TypeAlias = Callable[[int, int, int], ChoiceModel]
"""Makes a choice model of the number of items, the vectors' length, and that of histories."""


class ChoiceModule(StageModule):
    """Trains a :class:`~lightrec.users.choice_model.ChoiceModel` by likelihood, nothing included.

    :param num_items: linked from the data.
    :param vector_size: linked from the data.
    :param model: the choice model, such as ``{class_path: RecurrentChoice, init_args: {hidden_size:
        64}}``, or a list of several, of which the members of an ensemble are by turns; null for a
        PooledChoice.
    :param members: number of choice models, trained from different beginnings. The first gives
        other stages utilities and rewards; all together are the user in simulators.
    :param bootstrap: whether each member learns from its own bootstrap sample of the users, so that
        members differ as refits of the user model would (Efron 1979).
    :param history_length: how many of a history's last items are read; as in the data.
    :param discount: γ of one step; 0 makes the reward the utility of a conditional logit.
    :param leave_rate: assumed probability that a session ends after a step.
    :param learning_rate: AdamW's, at its highest.
    :param weight_decay: AdamW's, on matrices.
    :param identity_precision: of the Gaussian prior on each item's own vector; that of biases is 1.
    :param ridge: of the continuation value's least squares.
    :param learner: of the reward, such as ``{class_path: MaxEnt}``, trained next to the user model;
        null for the two-step estimator, which reads the reward off the first choice model.
    :param use_popularity: whether the items' log popularity enters utilities, with a learned
        weight. Counts include the choices that they explain: the weight of rare items is too high.
    :param people: linked from the data.
    """

    monitor: ClassVar[str] = "validation/log_likelihood"
    mode: ClassVar[Literal["min", "max"]] = "max"
    times: Tensor | None

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        model: list[ChoiceModelClass] | ChoiceModelClass | None = None,
        members: int = 1,
        bootstrap: bool = False,
        history_length: int = 20,
        discount: float = 0.9,
        leave_rate: float = 0.05,
        learning_rate: float = 1e-2,
        weight_decay: float = 1e-4,
        identity_precision: float = 20.0,
        ridge: float = 1e-3,
        learner: RewardLearner | None = None,
        use_popularity: bool = True,
        people: tuple[int, int] = (0, 0),
    ) -> None:
        super().__init__(num_items, vector_size)
        self.save_hyperparameters()
        if members < 1:
            raise RecipeError(f"members is {members}; an ensemble has one member or more.")

        kinds = model if isinstance(model, list) else [model or PooledChoice]

        # A learner of rewards does not read who the users are.
        def make(number: int = 0, people: tuple[int, int] = (0, 0)) -> ChoiceModel:
            kind: Callable[..., ChoiceModel] = kinds[number % len(kinds)]
            further = {"people": people} if people[1] else {}
            return kind(num_items, vector_size, history_length, **further)

        self.choice = make(0, people)
        self.others = torch.nn.ModuleList(make(number, people) for number in range(1, members))
        self.learner = learner
        if learner is not None:
            learner.build(make, discount * (1 - leave_rate))
        self.train_events = 1
        self.register_buffer("times", None)

    def setup(self, stage: str) -> None:
        """Take item vectors and popularity, and whether the log records nothing."""
        data = self.data_of(ChoiceData)
        if data.history_length != self.choice.history_length:
            raise RecipeError(
                f"The recipe cuts histories to {data.history_length} items in its data section and "
                f"to {self.choice.history_length} in its model section: history_length must be "
                "the same in both."
            )
        self.train_events = max(1, len(data.events(TRAIN)))
        if self.settings.bootstrap:
            times = [bootstrap_times(data, number) for number in range(len(self.members))]
            self.register_buffer("times", torch.stack(times), persistent=False)
        if stage == "fit":
            popularity = data.log_popularity if self.settings.use_popularity else None
            for network in self._networks:
                network.set_items(data.vectors, popularity)
                network.nothing_recorded.fill_(data.store.has_nothing)
            if self.choice.profile is not None:
                for member in self.members:
                    member.set_people(data.people_features)
            if self.learner is not None:
                self.learner.prepare(data, self.settings.leave_rate)

    @property
    def members(self) -> list[ChoiceModel]:
        """All choice models; one unless an ensemble is trained."""
        return [self.choice, *(m for m in self.others if isinstance(m, ChoiceModel))]

    @property
    def _networks(self) -> list[ChoiceModel]:
        """The choice models of members and learner, averaged copies included."""
        return [m for m in self.modules() if isinstance(m, ChoiceModel)]

    def item_vectors(self) -> Tensor:
        """The features in which the first choice model's utilities are linear, (N + 1, F)."""
        return self.choice.item_features()[0]

    def scores_of(self, histories: Tensor) -> Tensor:
        """The first choice model's utilities of all items for histories (B, L)."""
        return self.choice.utilities(self.choice.state(histories))

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Minus the mean log-posterior of the batch's choices."""
        drawn = [1.0] * len(self.members) if self.times is None else self.times[:, batch[Key.USER]]
        inputs = batch[Key.HISTORY], batch[Key.CANDIDATES], batch[Key.USER]
        losses = [
            -mean(chosen(member.log_probabilities(*inputs), batch), batch, times)
            for member, times in zip(self.members, drawn, strict=True)
        ]
        likelihood = -losses[0] if len(losses) == 1 else -torch.stack(losses).mean()
        to: dict[str, Any] = {"on_step": False, "on_epoch": True, "sync_dist": True}
        self.log("train/log_likelihood", likelihood, batch_size=len(batch[Key.WEIGHT]), **to)
        if self.learner is not None:
            progress = self.global_step / self.trainer.estimated_stepping_batches
            losses.append(self.learner.loss(batch, progress))
        precision = self.settings.identity_precision
        priors = [m.prior(precision) / self.train_events for m in self._networks]
        # Members share nothing, so that the sum's gradient is each one's own.
        part = part_of_all(batch[Key.WEIGHT].sum())
        return sum(losses[1:], losses[0]) * part + sum(priors[1:], priors[0])

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_index: int) -> None:
        """Let the learner's averaged networks follow."""
        if self.learner is not None:
            self.learner.stepped()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the mean log-likelihood of held-out choices."""
        part = "test" if self.trainer.testing else "validation"
        inputs = batch[Key.HISTORY], batch[Key.CANDIDATES], batch[Key.USER]
        law, _ = UserModel(self.members).predict(*inputs)
        likelihoods = {f"{part}/log_likelihood": chosen(law, batch)}
        if self.learner is not None:
            values = self.learner.utilities(batch[Key.HISTORY], batch[Key.CANDIDATES])
            log_p = with_nothing(values).log_softmax(-1)
            likelihoods[f"{part}/learner/log_likelihood"] = chosen(log_p, batch)
        means = {name: mean(each, batch) for name, each in likelihoods.items()}
        # Lightning weights the batches' means by these sizes.
        size = len(batch[Key.WEIGHT])
        self.log_dict(means, prog_bar=True, batch_size=size, sync_dist=True)

    test_step = validation_step

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with a linear warm-up and a cosine to zero; vectors and scalars do not decay."""
        settings = self.settings
        learned = [(n, p) for n, p in self.named_parameters() if p.requires_grad]
        free = [p for n, p in learned if p.ndim <= 1 or n.endswith("identity")]
        decayed = [p for n, p in learned if p.ndim > 1 and not n.endswith("identity")]
        groups: list[dict[str, Any]] = [{"params": decayed}, {"params": free, "weight_decay": 0.0}]
        decay = settings.weight_decay
        optimizer = torch.optim.AdamW(groups, settings.learning_rate, weight_decay=decay)
        return self.scheduled(optimizer, lambda n, total: warm_cosine(n, total, 1 / total))

    @torch.no_grad()
    def write(self, folder: Path) -> dict[str, float]:
        """Calibrate, fit the continuation value and the users' other parts, write and judge all."""
        self.eval()
        data, settings = self.data_of(ChoiceData), self.settings
        assumed = {name: settings[name] for name in ("discount", "leave_rate", "ridge")}
        for member in self.members:
            calibrate(member, data)
            fit_continuation(member, data.batches(TRAIN, limit=MAX_OFFERS), **assumed)
        parts, fitted = UserParts(self.choice, data).fit()
        reward_model = None if self.learner is None else self.learner.reward_model()
        parts |= {"reward_model": reward_model, "offers": data.offer_settings}
        users = UserModel(self.members, **parts).eval()
        users.save_pretrained(folder)
        counts = torch.zeros(3, BINS, dtype=torch.float64)
        metrics = self._assessed(users, counts) | fitted
        (folder / RELIABILITY).write_text(json.dumps(counts.tolist()))
        metrics["temperature"] = float(self.choice.temperature)
        metrics["nothing_shift"] = float(self.choice.nothing_shift)
        return metrics

    def _assessed(self, users: UserModel, counts: Tensor) -> dict[str, float]:
        """Assess choices and reward on held-out choices of one's own half, and of the other.

        :param counts: to which those of the test choices of one's own half are added.
        """
        data = self.data_of(ChoiceData)
        fitted, other = data.half, OTHER[data.half]
        popularity = fit_popularity(data)
        alone = users.replaced(members=users.members[:1])
        metrics: dict[str, float] = {}
        halves = {"": fitted} if other == fitted else {"": fitted, "other_half/": other}
        within = {f"{name}auc": choice_auc(users, data, TEST, h) for name, h in halves.items()}
        within["future_share"] = future_share(users, data, TEST, fitted)
        cells = {name: (alone, TEST, half) for name, half in halves.items()}
        cells["validation/"] = alone, VALIDATION, fitted
        if len(users.members) > 1:
            cells["ensemble/"] = users, TEST, fitted
        for prefix, (model, part, half) in cells.items():
            scores = assess(model, popularity, data, part, half, None if prefix else counts)
            metrics |= {f"{prefix}{name}": value for name, value in scores.items()}
        return metrics | {name: value for name, value in within.items() if value is not None}


def bootstrap_times(data: ChoiceData, number: int) -> Tensor:
    """(U,) float32: how often each user stands in a bootstrap sample of a given number.

    Counts are Poisson with mean 1 (Oza and Russell 2001, "Online bagging and boosting").
    """
    counts = np.random.default_rng((data.seed, number)).poisson(1.0, data.store.num_users)
    return torch.from_numpy(counts.astype(np.float32))
