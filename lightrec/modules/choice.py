"""The reward and judge stages' LightningModule: a choice model by likelihood, then its reward.

Lightning's epochs fit the choices (the first step of the two-step estimator). The second, the
continuation value, is one linear solve on the best epoch's model, done when the part is written.
"""

import json
import math
from collections.abc import Iterator
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor

from lightrec.data.store import TEST, TRAIN, VALIDATION
from lightrec.errors import RecipeError
from lightrec.evaluation.calibration import Reliability
from lightrec.irl.two_step import Offer, fit_continuation
from lightrec.keys import Key
from lightrec.modules.choice_data import ChoiceData
from lightrec.modules.choice_sets import Batch, Half
from lightrec.modules.reward_explained import explain
from lightrec.modules.stage import StageModule
from lightrec.modules.user_parts import UserParts
from lightrec.nn.choice import ChoiceModel, PooledChoice, RecurrentChoice
from lightrec.nn.ensemble import Ensemble, UserModel
from lightrec.nn.popularity_choice import PopularityChoice
from lightrec.nn.temperature import fit_temperature

OFFERS = "offers.json"
"""Beside a choice model: by which settings its states and offers were made."""


class ChoiceModule(StageModule):
    """Trains a :class:`~lightrec.nn.choice.ChoiceModel` by likelihood, nothing included.

    :param num_items: linked from the data.
    :param vector_size: linked from the data.
    :param model: ``pooled`` (sums over the last items), ``recurrent``, or ``mixed``: the members of
        an ensemble are of both classes by turns, the first being pooled.
    :param members: how many choice models are trained from different beginnings; the first is what
        other stages read utilities and rewards from, all together are the user in simulators.
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
    """

    monitor: ClassVar[str] = "validation/log_likelihood"
    mode: ClassVar[Literal["min", "max"]] = "max"

    def __init__(
        self,
        num_items: int,
        vector_size: int,
        model: Literal["pooled", "recurrent", "mixed"] = "pooled",
        members: int = 1,
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
        models: list[ChoiceModel] = [
            kinds[number % len(kinds)](
                num_items,
                vector_size,
                history_length,
                feature_size=feature_size,
                hidden_size=hidden_size,
                identity_size=identity_size,
            )
            for number in range(members)
        ]
        self.choice: ChoiceModel = models[0]
        self.others = torch.nn.ModuleList(models[1:])
        self.discount, self.leave_rate, self.ridge = discount, leave_rate, ridge
        self.learning_rate, self.weight_decay = learning_rate, weight_decay
        self.identity_precision = identity_precision
        self.warmup, self.max_offers = warmup, max_offers
        self.train_events = 1

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
        if stage == "fit":
            for member in self.members:
                member.set_items(data.vectors, data.log_popularity)
                member.nothing_recorded.fill_(data.records_nothing)

    @property
    def members(self) -> list[ChoiceModel]:
        """All choice models; one unless an ensemble is trained."""
        return [self.choice, *(m for m in self.others if isinstance(m, ChoiceModel))]

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
        losses = [-(weight * _told(m, batch)).sum() / weight.sum() for m in self.members]
        mean = -losses[0] if len(losses) == 1 else -torch.stack(losses).mean()
        self.log("train/log_likelihood", mean, on_step=False, on_epoch=True, batch_size=1)
        priors = [m.prior(self.identity_precision) / self.train_events for m in self.members]
        # Members share nothing, so that the sum's gradient is each one's own.
        return sum(losses[1:], losses[0]) + sum(priors[1:], priors[0])

    def validation_step(self, batch: Batch, batch_index: int) -> None:
        """Log the mean log-likelihood of held-out choices."""
        self._evaluate(batch, "validation")

    def test_step(self, batch: Batch, batch_index: int) -> None:
        """Log the mean log-likelihood of held-out choices."""
        self._evaluate(batch, "test")

    def _evaluate(self, batch: Batch, part: str) -> None:
        weight = batch[Key.WEIGHT]
        model = self.choice if not self.others else Ensemble(self.members)
        mean = (weight * _told(model, batch)).sum() / weight.sum()
        # Lightning weights the batches' means by these sizes.
        self.log(f"{part}/log_likelihood", mean, prog_bar=True, batch_size=len(weight))

    def configure_optimizers(self) -> OptimizerLRScheduler:
        """AdamW with a linear warm-up and a cosine to zero; vectors and scalars do not decay."""
        named = [pair for member in self.members for pair in member.named_parameters()]
        learned = [(n, p) for n, p in named if not n.startswith("value.")]
        groups: list[dict[str, Any]] = [
            {"params": [p for n, p in learned if p.ndim > 1 and n != "identity"]},
            {
                "params": [p for n, p in learned if p.ndim <= 1 or n == "identity"],
                "weight_decay": 0.0,
            },
        ]
        optimizer = torch.optim.AdamW(groups, self.learning_rate, weight_decay=self.weight_decay)
        total = float(self.trainer.estimated_stepping_batches)
        if math.isinf(total):
            raise RecipeError(
                "The learning rate's schedule needs to know the length of training: give "
                "trainer.max_epochs or trainer.max_steps."
            )

        def rate(step: int) -> float:
            rising = min(1.0, (step + 1) / (self.warmup * total)) if self.warmup else 1.0
            return rising * (1 + math.cos(math.pi * min(step / total, 1.0))) / 2

        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, rate)
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

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
        ensemble = Ensemble(self.members)
        ensemble.save_pretrained(folder)
        parts = UserParts(self.choice, data).write(folder)
        (folder / OFFERS).write_text(json.dumps(data.offer_settings, indent=2) + "\n")
        other: Half = {"a": "b", "b": "a"}.get(data.half, "all")  # type: ignore[assignment]
        popularity = fit_popularity(data)
        metrics = assess(self.choice, popularity, data, TEST, data.half)
        validation = assess(self.choice, popularity, data, VALIDATION, data.half)
        metrics |= {f"validation/{name}": value for name, value in validation.items()}
        if other != data.half:
            others = assess(self.choice, popularity, data, TEST, other)
            metrics |= {f"other_half/{name}": value for name, value in others.items()}
        if self.others:
            together = assess(ensemble, popularity, data, TEST, data.half)
            metrics |= {f"ensemble/{name}": value for name, value in together.items()}
        metrics |= parts | explain(self.choice, data, folder)
        metrics["temperature"] = float(self.choice.temperature)
        metrics["nothing_shift"] = float(self.choice.nothing_shift)
        return metrics


def _told(model: UserModel, batch: Batch) -> Tensor:
    log_p = model.log_probabilities(batch[Key.HISTORY], batch[Key.CANDIDATES])
    return log_p.gather(1, batch[Key.CHOICE].unsqueeze(1)).squeeze(1)


def load(folder: Path | str) -> ChoiceModel:
    """Load the choice model that a reward or judge stage left.

    :raises RunError: where the folder holds none.
    """
    return ChoiceModel.load(folder)


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


def fit_popularity(data: ChoiceData, limit: int = 20_000) -> PopularityChoice:
    """Fit the popularity baseline on training choices."""
    model = PopularityChoice(data.log_popularity)
    batches = list(data.batches(TRAIN, limit=limit))
    columns = (Key.CANDIDATES, Key.CHOICE, Key.WEIGHT)
    with torch.enable_grad():
        model.fit(*(torch.cat([batch[key] for batch in batches]) for key in columns))
    return model


@torch.no_grad()
def calibrate(model: ChoiceModel, data: ChoiceData) -> None:
    """Fit a model's temperature and its shift of nothing on validation choices, in place."""
    device = model.bias.device
    utilities, choices, weights = [], [], []
    for batch in data.batches(VALIDATION, limit=data.max_evaluated):
        sets = batch[Key.CANDIDATES].to(device)
        state = model.state(batch[Key.HISTORY].to(device))
        state = state.repeat(len(sets) // len(state), 1)
        utilities.append(model.utilities(state, sets).cpu())
        choices.append(batch[Key.CHOICE])
        weights.append(batch[Key.WEIGHT])
    if not utilities:
        return
    found, shift = fit_temperature(torch.cat(utilities), torch.cat(choices), torch.cat(weights))
    # What is measured from a model that was calibrated before comes on top of it.
    model.nothing_shift.div_(found).add_(shift)
    model.temperature.mul_(found)


@torch.no_grad()
def assess(
    model: UserModel, popularity: PopularityChoice, data: ChoiceData, part: int, half: Half
) -> dict[str, float]:
    """Judge a choice model on held-out choices, beside popularity.

    :returns: ``log_likelihood`` and ``popularity``, mean over weighted rows, in nats;
        ``accuracy``, how often what was chosen was the likeliest; and ``calibration_error``, see
        :attr:`~lightrec.evaluation.calibration.Reliability.error`, of all alternatives. Of an
        ensemble also ``disagreement``, its mean uncertainty in nats.
    """
    device = next(model.parameters()).device
    names = ["log_likelihood", "popularity", "accuracy"]
    if isinstance(model, Ensemble):
        names.append("disagreement")
    sums = torch.zeros(1 + len(names), dtype=torch.float64)
    curves: list[Reliability] = []
    for batch in data.batches(part, half, limit=data.max_evaluated):
        weight, choice = batch[Key.WEIGHT].double(), batch[Key.CHOICE].unsqueeze(1)
        history, sets = batch[Key.HISTORY].to(device), batch[Key.CANDIDATES]
        if isinstance(model, Ensemble):
            found, doubt = model.predict(history, sets.to(device))
            sums[4] += (weight * doubt.double().cpu()).sum()
        else:
            found = model.log_probabilities(history, sets.to(device))
        ours = found.double().cpu()
        theirs = popularity.log_probabilities(sets)
        curves.append(Reliability.of_choices(ours, batch[Key.CHOICE], weight))
        hit = (ours.argmax(1) == choice.squeeze(1)).double()
        sums[0] += weight.sum()
        sums[1] += (weight * ours.gather(1, choice).squeeze(1)).sum()
        sums[2] += (weight * theirs.gather(1, choice).squeeze(1)).sum()
        sums[3] += (weight * hit).sum()
    if not sums[0]:
        return {}
    means = (sums[1:] / sums[0]).tolist()
    return {**dict(zip(names, means, strict=True)), "calibration_error": reduce(add, curves).error}
