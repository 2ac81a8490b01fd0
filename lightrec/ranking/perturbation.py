"""Adversarial training of embeddings, as a callback that a recipe can name."""

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import Callback
from torch import nn

from lightrec.errors import RecipeError
from lightrec.ranking.sequence_data import Batch


class AdversarialPerturbation(Callback):
    """Trains on the worst of all small changes of the embeddings, too.

    After a batch's backward pass each embedding row is moved by ``epsilon`` in the direction of its
    gradient, the loss is computed once more, its gradient is added, and the embeddings are put
    back: the fast gradient method (Goodfellow et al. 2015) on embeddings (Miyato et al. 2017), row
    by row as in adversarial personalized ranking (He et al. 2018). A batch takes twice as long.

    :param epsilon: length of a row's move, in the embeddings' own unit; above 0.
    :param weight: of the second loss next to the first (λ of He et al.); above 0.
    :param embeddings: the parameter that is moved, (rows, D), by its name in the module.
    :raises RecipeError: where a number is not above 0.
    """

    def __init__(
        self, epsilon: float = 0.1, weight: float = 1.0, embeddings: str = "ranker.items.ids"
    ) -> None:
        for name, value in (("epsilon", epsilon), ("weight", weight)):
            if not value > 0:
                raise RecipeError(
                    f"AdversarialPerturbation got {name} {value}: give a number above 0."
                )
        self.epsilon, self.weight, self.embeddings = epsilon, weight, embeddings
        self._batch: Batch | None = None

    def on_fit_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Look whether the module, and the way it is trained, allow it.

        :raises RecipeError: where they do not.
        """
        self._parameter(pl_module)
        if not callable(getattr(pl_module, "loss", None)):
            raise RecipeError(
                f"AdversarialPerturbation computes a batch's loss twice, and "
                f"{type(pl_module).__name__} has no method `loss(batch)` to do it with. Take it "
                "out of this recipe's callbacks."
            )
        if trainer.world_size > 1 or trainer.scaler is not None:
            raise RecipeError(
                "AdversarialPerturbation works on one device and without a gradient scaler: set "
                "trainer.devices to 1, and trainer.precision to 32-true or bf16-mixed."
            )

    def _parameter(self, module: pl.LightningModule) -> nn.Parameter:
        parameters = dict(module.named_parameters())
        if self.embeddings in parameters:
            return parameters[self.embeddings]
        tables = ", ".join(name for name, value in parameters.items() if value.ndim == 2)
        raise RecipeError(
            f"AdversarialPerturbation is to move {self.embeddings!r}, and "
            f"{type(module).__name__} has no such parameter. It has: {tables}."
        )

    def on_train_batch_start(
        self, trainer: pl.Trainer, pl_module: pl.LightningModule, batch: Batch, batch_idx: int
    ) -> None:
        """Keep the batch for its second pass."""
        self._batch = batch

    def on_after_backward(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Add the gradient at the worst place nearby."""
        parameter, batch = self._parameter(pl_module), self._batch
        if parameter.grad is None or batch is None:
            return
        place = parameter.detach().clone()
        with torch.no_grad():
            parameter.add_(nn.functional.normalize(parameter.grad, dim=-1), alpha=self.epsilon)
        with trainer.precision_plugin.train_step_context():
            loss = pl_module.loss(batch)  # type: ignore[operator]
        # Lightning divides the first loss in the same way.
        pl_module.backward(loss * self.weight / trainer.accumulate_grad_batches)
        with torch.no_grad():
            parameter.copy_(place)
