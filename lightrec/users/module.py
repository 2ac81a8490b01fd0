"""The stages users_a and users_b: a choice model by likelihood, then its reward.

Lightning's epochs fit the choices (the first step of the two-step estimator). The second, the
continuation value, is one linear solve on the best epoch's model, done when the part is written.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from numpy.typing import NDArray
from torch import Tensor

from lightrec.data.stage_data import part_of_all
from lightrec.data.store import TEST, TRAIN, VALIDATION
from lightrec.errors import RecipeError
from lightrec.keys import Key
from lightrec.nn.stage import StageModule
from lightrec.users.assessment import (
    assess,
    calibrate,
    choice_auc,
    fit_popularity,
    future_share,
)
from lightrec.users.choice_data import ChoiceData
from lightrec.users.choice_model import ChoiceModel, PooledChoice, RecurrentChoice
from lightrec.users.choice_sets import Batch
from lightrec.users.halves import Half
from lightrec.users.irl import RewardLearner
from lightrec.users.irl.base import with_nothing
from lightrec.users.irl.two_step import Offer, fit_continuation
from lightrec.users.parts_fitting import SessionTable, UserParts
from lightrec.users.reward_explained import explain
from lightrec.users.user_model import UserModel


class ChoiceModule(StageModule):
    """Trains a :class:`~lightrec.users.choice_model.ChoiceModel` by likelihood, nothing included.

    :param num_items: linked from the data.
    :param vector_size: linked from the data.
    :param model: ``pooled`` (sums over the last items), ``recurrent``, or ``mixed``: the members of
        an ensemble are of both classes by turns, the first being pooled.
    :param members: how many choice models are trained from different beginnings; the first is what
        other stages read utilities and rewards from, all together are the user in simulators.
    :param bootstrap: whether each member learns from a bootstrap sample of the users of its own,
        drawn by the data's seed; each is then a refit of the user model, and how far they differ
        is what refitting does (Efron 1979).
    :param history_length: how many of a history's last items are read; as in the data.
    :param feature_size: length of the features made of an item's vector.
    :param hidden_size: width of the hidden layers.
    :param identity_size: length of what is learned for each item by itself.
    :param discount: γ of one step, how far users are assumed to look ahead; 0 makes the reward
        the utility of a conditional logit.
    :param leave_rate: assumed probability that a session ends after a step.
    :param learning_rate: AdamW's, at its highest.
    :param weight_decay: AdamW's, on matrices.
    :param identity_precision: of the Gaussian prior on what is learned for each item by itself;
        items' biases have unit variance.
    :param ridge: of the continuation value's least squares.
    :param warmup: share of all steps in which the learning rate rises.
    :param max_offers: at most so many training states serve to fit the continuation value.
    :param learner: of the reward, trained beside the user model; null for the two-step estimator,
        which reads the reward off the first choice model.
        ``{class_path: MaxEnt}`` is another.
    :param use_popularity: whether the items' log popularity enters utilities, with a learned
        weight. Counts hold the very choices that are explained: where items were chosen a few
        times only, the weight is learned too high.
    """

    monitor: ClassVar[str] = "validation/log_likelihood"
    mode: ClassVar[Literal["min", "max"]] = "max"

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        model: Literal["pooled", "recurrent", "mixed"] = "pooled",
        members: int = 1,
        bootstrap: bool = False,
        history_length: int = 20,
        feature_size: int = 32,
        hidden_size: int = 128,
        identity_size: int = 8,
        discount: float = 0.9,
        leave_rate: float = 0.05,
        learning_rate: float = 1e-2,
        weight_decay: float = 1e-4,
        identity_precision: float = 20.0,
        ridge: float = 1e-3,
        warmup: float = 0.1,
        max_offers: int | None = 100_000,
        learner: RewardLearner | None = None,
        use_popularity: bool = True,
    ) -> None:
        super().__init__(num_items, vector_size)
        self.save_hyperparameters()
        if members < 1:
            raise RecipeError(f"members is {members}; an ensemble has one member or more.")
        classes: dict[str, list[type[PooledChoice | RecurrentChoice]]] = {
            "pooled": [PooledChoice],
            "recurrent": [RecurrentChoice],
            "mixed": [PooledChoice, RecurrentChoice],
        }
        kinds = classes[model]

        def make(number: int = 0) -> ChoiceModel:
            return kinds[number % len(kinds)](
                num_items,
                vector_size,
                history_length,
                feature_size=feature_size,
                hidden_size=hidden_size,
                identity_size=identity_size,
            )

        models = [make(number) for number in range(members)]
        self.choice: ChoiceModel = models[0]
        self.others = torch.nn.ModuleList(models[1:])
        self.discount, self.leave_rate, self.ridge = discount, leave_rate, ridge
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.identity_precision = identity_precision
        self.warmup, self.max_offers = warmup, max_offers
        self.use_popularity = use_popularity
        self.bootstrap = bootstrap
        self._times: list[Tensor] = []
        self.train_events = 1
        self.learner = learner
        if learner is not None:
            learner.build(make, discount * (1 - leave_rate))

    def setup(self, stage: str) -> None:
        """Take item vectors and popularity, and whether the log records nothing."""
        data = self._data
        if data.history_length != self.choice.history_length:
            raise RecipeError(
                f"The recipe cuts histories to {data.history_length} items in its data section and "
                f"to {self.choice.history_length} in its model section: history_length must be "
                "the same in both."
            )
        self.train_events = max(1, len(data.events(TRAIN)))
        if self.bootstrap:
            self._times = [bootstrap_times(data, number) for number in range(len(self.members))]
        if stage == "fit":
            for member in self._networks:
                popularity = data.log_popularity if self.use_popularity else None
                member.set_items(data.vectors, popularity)
                member.nothing_recorded.fill_(data.records_nothing)
            if self.learner is not None:
                self.learner.start()
                if self.learner.reads_next:
                    data.sets.tell_next(session_ends(data, self.leave_rate))

    @property
    def members(self) -> list[ChoiceModel]:
        """All choice models; one unless an ensemble is trained."""
        return [self.choice, *(m for m in self.others if isinstance(m, ChoiceModel))]

    @property
    def _networks(self) -> list[ChoiceModel]:
        return [*self.members, *(self.learner.networks if self.learner is not None else [])]

    @property
    def _data(self) -> ChoiceData:
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, ChoiceData):
            raise RecipeError(
                "ChoiceModule is trained on ChoiceData: write `class_path: ChoiceData` in the "
                f"recipe's data section, not {type(data).__name__}."
            )
        return data

    def training_step(self, batch: Batch, batch_index: int) -> Tensor:
        """Minus the mean log-posterior of the batch's choices."""
        weight = batch[Key.WEIGHT]
        losses = [
            -(self._times_drawn(number, batch) * weight * _told(member, batch)).sum() / weight.sum()
            for number, member in enumerate(self.members)
        ]
        mean = -losses[0] if len(losses) == 1 else -torch.stack(losses).mean()
        name, size = "train/log_likelihood", len(weight)
        self.log(name, mean, on_step=False, on_epoch=True, batch_size=size, sync_dist=True)
        if self.learner is not None:
            progress = self.global_step / self.trainer.estimated_stepping_batches
            losses.append(self.learner.loss(batch, progress))
        priors = [m.prior(self.identity_precision) / self.train_events for m in self._networks]
        # Members share nothing, so that the sum's gradient is each one's own.
        part = part_of_all(weight.sum())
        return sum(losses[1:], losses[0]) * part + sum(priors[1:], priors[0])

    def _times_drawn(self, number: int, batch: Batch) -> Tensor | float:
        """How often the users of a batch's rows (R,) stand in a member's bootstrap sample."""
        if not self._times:
            return 1.0
        users = batch[Key.USER]
        self._times[number] = self._times[number].to(users.device)
        return self._times[number][users]

    def on_train_batch_end(self, outputs: Any, batch: Batch, batch_index: int) -> None:
        """Let the learner's averaged networks follow."""
        if self.learner is not None:
            self.learner.stepped()

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the mean log-likelihood of held-out choices."""
        self._evaluate(batch, "validation")

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Log the mean log-likelihood of held-out choices."""
        self._evaluate(batch, "test")

    def _evaluate(self, batch: Batch, part: str) -> None:
        weight = batch[Key.WEIGHT]
        mean = (weight * _told(UserModel(self.members), batch)).sum() / weight.sum()
        # Lightning weights the batches' means by these sizes.
        size = len(weight)
        self.log(f"{part}/log_likelihood", mean, prog_bar=True, batch_size=size, sync_dist=True)
        if self.learner is not None:
            log_p = learned_log_probabilities(self.learner, batch)
            mean = (weight * _of_choice(log_p, batch)).sum() / weight.sum()
            name = f"{part}/learner/log_likelihood"
            self.log(name, mean, batch_size=size, sync_dist=True)

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with a linear warm-up and a cosine to zero; vectors and scalars do not decay."""
        named = [pair for member in self.members for pair in member.named_parameters()]
        learned = [(n, p) for n, p in named if not n.startswith("value.")]
        if self.learner is not None:
            learned += [(n, p) for n, p in self.learner.named_parameters() if p.requires_grad]
        groups: list[dict[str, Any]] = [
            {"params": [p for n, p in learned if p.ndim > 1 and not n.endswith("identity")]},
            {
                "params": [p for n, p in learned if p.ndim <= 1 or n.endswith("identity")],
                "weight_decay": 0.0,
            },
        ]
        optimizer = torch.optim.AdamW(groups, self.learning_rate, weight_decay=self.weight_decay)
        total = self.optimizer_steps

        def rate(step: int) -> float:
            rising = min(1.0, (step + 1) / (self.warmup * total)) if self.warmup else 1.0
            return rising * (1 + math.cos(math.pi * min(step / total, 1.0))) / 2

        return self.scheduled(optimizer, rate)

    @torch.no_grad()
    def write(self, folder: Path) -> dict[str, float]:
        """Calibrate, fit the continuation value and what else users do, write and judge it all."""
        self.eval()
        data = self._data
        for member in self.members:
            calibrate(member, data)
            fit_continuation(
                member,
                offers(data, self.max_offers, self.device),
                discount=self.discount,
                leave_rate=self.leave_rate,
                ridge=self.ridge,
            )
        parts, fitted = UserParts(self.choice, data).fit()
        reward_model = None if self.learner is None else self.learner.reward_model()
        users = UserModel(
            self.members, reward_model=reward_model, offers=data.offer_settings, **parts
        ).eval()
        users.save_pretrained(folder)
        metrics = self._assessed(users) | fitted | explain(users, self.learner, data, folder)
        metrics["temperature"] = float(self.choice.temperature)
        metrics["nothing_shift"] = float(self.choice.nothing_shift)
        return metrics

    def _assessed(self, users: UserModel) -> dict[str, float]:
        """Assess choices and reward on held-out choices of one's own half, and of the other."""
        data = self._data
        other: Half = {"a": "b", "b": "a"}.get(data.half, "all")  # type: ignore[assignment]
        popularity = fit_popularity(data)
        alone = users.replaced(members=users.members[:1])
        metrics = assess(alone, popularity, data, TEST, data.half)
        for prefix, model, part, half in (
            ("validation", alone, VALIDATION, data.half),
            *([("other_half", alone, TEST, other)] if other != data.half else []),
            *([("ensemble", users, TEST, data.half)] if len(users.members) > 1 else []),
        ):
            found = assess(model, popularity, data, part, half)
            metrics |= {f"{prefix}/{name}": value for name, value in found.items()}
        metrics["auc"] = choice_auc(users, data, TEST, data.half)
        if other != data.half:
            metrics["other_half/auc"] = choice_auc(users, data, TEST, other)
        metrics["future_share"] = future_share(users, data, TEST, data.half)
        return metrics


def bootstrap_times(data: ChoiceData, number: int) -> Tensor:
    """(U,) float32: how often each user stands in a bootstrap sample.

    Counts are Poisson with mean 1, which multinomial ones come near to for many users (Oza and
    Russell 2001, "Online bagging and boosting").

    :param number: of the sample.
    """
    counts = np.random.default_rng((data.seed, number)).poisson(1.0, data.num_users)
    return torch.from_numpy(counts.astype(np.float32))


def _told(model: ChoiceModel | UserModel, batch: Batch) -> Tensor:
    return _of_choice(model.log_probabilities(batch[Key.HISTORY], batch[Key.CANDIDATES]), batch)


def _of_choice(log_p: Tensor, batch: Batch) -> Tensor:
    return log_p.gather(1, batch[Key.CHOICE].unsqueeze(1)).squeeze(1)


def learned_log_probabilities(learner: RewardLearner, batch: Batch) -> Tensor:
    """Log-probabilities (R, C + 1) of a batch's sets and nothing, by what a learner knows."""
    return with_nothing(learner.utilities(batch[Key.HISTORY], batch[Key.CANDIDATES])).log_softmax(
        -1
    )


def session_ends(data: ChoiceData, leave_rate: float) -> NDArray[np.bool_]:
    """(E,) whether a session of one's own half of the users ended with an event.

    Ends are taken from the log where it records slates of which nothing was chosen. In any other
    the steps after the last choice are not known; and where ``leave_rate`` is above 0 the discount
    has the ends in it already. There no session counts as ended.
    """
    ended = np.zeros(len(data.store), bool)
    if data.store.has_nothing and leave_rate == 0:
        table = SessionTable(data.store, data)
        ended[table.ends[~table.cut] - 1] = True
    return ended


def offers(
    data: ChoiceData, limit: int | None, device: torch.device | str = "cpu"
) -> Iterator[Offer]:
    """The training states with their offers, for ``fit_continuation``.

    :param limit: at most so many events; None for all.
    """
    for batch in data.batches(TRAIN, limit=limit):
        yield (
            batch[Key.HISTORY].to(device),
            batch[Key.CANDIDATES].to(device),
            batch[Key.WEIGHT].to(device),
        )
