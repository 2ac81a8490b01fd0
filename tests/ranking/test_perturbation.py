"""The second gradient is the one at the worst place nearby."""

import lightning.pytorch as pl
import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader

from lightrec.errors import RecipeError
from lightrec.ranking.perturbation import AdversarialPerturbation


class Squares(pl.LightningModule):
    """Loss: half the squared distance of the rows of a table from a batch's rows."""

    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.tensor([[3.0, 4.0], [0.0, 2.0], [0.0, 0.0]]))
        self.gradient = None

    def loss(self, batch):
        return ((self.table - batch) ** 2).sum() / 2

    def training_step(self, batch):
        return self.loss(batch)

    def on_before_optimizer_step(self, optimizer):
        self.gradient, self.place = self.table.grad.clone(), self.table.detach().clone()

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def train(module, callback, **settings):
    trainer = pl.Trainer(
        max_epochs=1,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[callback],
        **settings,
    )
    trainer.fit(module, DataLoader(torch.zeros(2, 3, 2), batch_size=None))


def test_the_gradient_is_that_of_both_losses():
    # At x the gradient is x, at the place moved by ε x / |x| it is x + ε x / |x|.
    start = Squares().table.detach()
    direction = torch.tensor([[0.6, 0.8], [0.0, 1.0], [0.0, 0.0]])
    module = Squares()
    train(module, AdversarialPerturbation(0.5, 2.0, "table"), limit_train_batches=1)
    assert torch.equal(module.place, start), "the table is put back before the step"
    assert torch.allclose(module.gradient, start + 2 * (start + 0.5 * direction))


def test_accumulated_gradients_are_divided_alike():
    start = Squares().table.detach()
    direction = torch.tensor([[0.6, 0.8], [0.0, 1.0], [0.0, 0.0]])
    module = Squares()
    train(module, AdversarialPerturbation(0.5, 1.0, "table"), accumulate_grad_batches=2)
    assert torch.allclose(module.gradient, 2 * start + 0.5 * direction)


@pytest.mark.parametrize("settings", [{"epsilon": 0}, {"weight": -1.0}])
def test_numbers_are_above_0(settings):
    with pytest.raises(RecipeError, match="give a number above 0"):
        AdversarialPerturbation(**settings)


def test_a_table_that_is_not_there_is_told_with_those_that_are():
    with pytest.raises(RecipeError, match=r"'ranker.items.ids'.*no such parameter. It has: table."):
        train(Squares(), AdversarialPerturbation())


def test_a_module_without_a_loss_is_refused(monkeypatch):
    module = Squares()
    monkeypatch.setattr(Squares, "loss", None)
    with pytest.raises(RecipeError, match="Squares has no method `loss"):
        train(module, AdversarialPerturbation(embeddings="table"))
