"""The base class of the LightningModules that train the parts of one stage of a run."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Final, Literal, NoReturn, TypeVar

import lightning.pytorch as pl
import torch
from lightning.fabric.utilities.data import AttributeDict
from lightning.pytorch.plugins.precision import MixedPrecision
from lightning.pytorch.utilities.types import OptimizerLRScheduler
from torch import Tensor
from torch.optim import Optimizer

from lightrec.data.stage_data import StageData
from lightrec.errors import RecipeError
from lightrec.nn.item_tower import ItemTower
from lightrec.trust import PlainCheckpoint, described

_Data = TypeVar("_Data")


LAST: Final = "epoch"
"""The monitor of modules that keep their last epoch, having no metric to choose by."""
WARMUP: Final = 0.1
"""Share of all steps in which the learning rate of :func:`warm_cosine` rises."""


def warm_cosine(step: int, total: float, begin: float = 1e-3) -> float:
    """Share of the highest learning rate: a short rise, then half a cosine down to 0.

    :param begin: share of all steps that counts as done before the first one.
    """
    done = step / max(total, 1)
    rising = min(1.0, (done + begin) / WARMUP)
    return rising * (1 + math.cos(math.pi * min(done, 1.0))) / 2


class Settings(AttributeDict):
    """The settings of a module by name; one that its constructor does not take is asked for.

    :param module: whose they are, as ``save_hyperparameters()`` keeps them.
    """

    def __init__(self, module: pl.LightningModule) -> None:
        super().__init__(module.hparams)
        object.__setattr__(self, "_module", module)  # beside the settings

    def __setitem__(self, name: str, value: Any) -> None:
        """Change a setting of the module."""
        super().__setitem__(name, value)
        object.__getattribute__(self, "_module").hparams[name] = value

    def __missing__(self, name: str) -> NoReturn:
        if name.startswith("__"):  # of Python's own protocols
            raise KeyError(name)
        whose = type(object.__getattribute__(self, "_module")).__name__
        raise RecipeError(
            f"{whose} has no setting {name!r}, which its base class reads. Give the constructor of "
            f"{whose} an argument `{name}` with a type and a default."
        )


class StageModule(PlainCheckpoint, pl.LightningModule):
    """A LightningModule that trains a part (a ranker, a user model, a policy), and leaves it.

    The part is a ``torch.nn.Module`` that saves and loads itself; the module around it lives only
    while training. Checkpoints hold the constructor's arguments as plain Python, parts as their
    descriptions, so that they load with ``weights_only=True``. The command line links ``num_items``
    and ``vector_size`` from the data module.

    :param num_items: number of items N; tables have N + 1 rows, row 0 for padding.
    :param vector_size: length of the item vectors that the data module gives.
    """

    monitor: ClassVar[str]
    """The logged metric by which the best epoch is chosen."""
    mode: ClassVar[Literal["min", "max"]]
    """Whether the monitored metric is to be small or large."""
    shards: ClassVar[bool] = False
    """Whether FSDP and FSDP2 may share its weights out among processes."""

    def __init__(self, num_items: int, vector_size: int) -> None:
        super().__init__()
        self.num_items, self.vector_size = num_items, vector_size

    def item_vectors(self) -> Tensor | None:
        """The items as the module sees them, (N + 1, D); None where there are no such."""
        return None

    def scores_of(self, histories: Tensor) -> Tensor | None:
        """Score all items for histories, to show lists while training continues.

        :param histories: (B, L) int64, padded on the left; N + 1 where nothing was chosen.
        :returns: (B, N + 1), higher is better, row 0 minus infinity; None where it scores none.
        """
        return None

    def _texts(self) -> dict[str, Tensor]:
        """The text vectors by their names in the state."""
        parts = self.named_modules()
        return {f"{n}.vectors": x.vectors for n, x in parts if isinstance(x, ItemTower)}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Leave out text vectors, which are the data's: of a large catalog they are gigabytes."""
        for name in self._texts():
            checkpoint["state_dict"].pop(name, None)

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put them back, for averaged weights, too."""
        checkpoint["state_dict"] = {**self._texts(), **checkpoint["state_dict"]}

    def load_state_dict(self, state_dict: Mapping[str, Any], *how: Any, **named: Any) -> Any:
        """Load as torch does; text vectors that are not there stay."""
        return super().load_state_dict({**self._texts(), **state_dict}, *how, **named)

    def _set_hparams(self, settings: Any) -> None:
        super()._set_hparams(described(settings))

    @property
    def settings(self) -> Settings:
        """The constructor's arguments, kept by ``save_hyperparameters()``."""
        return Settings(self)

    def __getattr__(self, name: str) -> Any:
        """Find a parameter or module; say what went wrong in a property that has no value.

        :raises RuntimeError: for an AttributeError within a property, in whose place torch would
            say that there is no such property.
        """
        made = getattr(type(self), name, None)
        if isinstance(made, property | cached_property):
            try:
                return made.__get__(self)
            except AttributeError as error:
                raise RuntimeError(str(error)).with_traceback(error.__traceback__) from None
        return super().__getattr__(name)

    def data_of(self, kind: type[_Data]) -> _Data:
        """The data module of a training, which is of one class.

        :raises RecipeError: where it is not.
        """
        data = getattr(self.trainer, "datamodule", None)
        if not isinstance(data, kind):
            raise RecipeError(
                f"{type(self).__name__} is trained on {kind.__name__}: write `class_path: "
                f"{kind.__name__}` in the recipe's data section, not {type(data).__name__}."
            )
        return data

    @property
    def fused(self) -> bool:
        """Whether its optimizer may go over weights in one pass.

        In mixed precision, Lightning clips no gradients of optimizers that do.
        """
        mixed = isinstance(self.trainer.precision_plugin, MixedPrecision)
        return not (mixed and self.trainer.gradient_clip_val)

    def scheduled(
        self, optimizer: Optimizer, rate: Callable[[int, float], float]
    ) -> OptimizerLRScheduler:
        """An optimizer whose learning rate is multiplied by ``rate(step, steps in all)``.

        :raises RecipeError: where the length of training is not known.
        """
        total = float(self.trainer.estimated_stepping_batches)
        if math.isinf(total):
            raise RecipeError(
                "The learning rate's schedule needs to know the length of training: give "
                "trainer.max_epochs or trainer.max_steps."
            )
        scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate(step, total))
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": scheduler, "interval": "step"},
        }

    @abstractmethod
    def write(self, folder: Path) -> dict[str, float]:
        """Write what the next stages read into an existing, empty folder.

        Called once after training, on the first process, with the best epoch's weights loaded and
        ``self.trainer`` still attached.

        :returns: metrics, by flat keys such as ``validation/ndcg@10``.
        """


class AfterTraining(ABC):
    """Adds files and metrics to what a trained stage leaves; see ``lightrec_after_training``."""

    watcher: pl.Callback | None = None
    """Onlooker while the stage is trained; it must change nothing and draw nothing."""

    @abstractmethod
    def add(
        self, module: StageModule, data: StageData, folder: Path, logs: Path
    ) -> Mapping[str, float]:
        """Add to a stage, without gradients; nothing where it is not of the kind that this is for.

        :param folder: in which the stage's parts lie already.
        :param logs: of the stage, for TensorBoard.
        :returns: further metrics by flat keys, for the stage's ``metrics.json`` and its logs.
        """
