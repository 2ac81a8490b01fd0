"""A short training of a module, as the pipeline would do it."""

from functools import partial

import lightning.pytorch as pl
import torch
from lightning.pytorch.callbacks import ModelCheckpoint

FIRST = "epoch=0.ckpt"


class EpochSeed(pl.Callback):
    """What the pipeline does, so that epochs can be resumed."""

    def on_train_epoch_start(self, trainer, pl_module):
        torch.manual_seed(100 + trainer.current_epoch)


def train(module, data, epochs, folder=None, checkpoint=None):
    """Train, keep each epoch's checkpoint where a folder is given; give module and trainer."""
    kept = [] if folder is None else [ModelCheckpoint(folder, "{epoch}", save_top_k=-1)]
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=bool(kept),
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        callbacks=[EpochSeed(), *kept],
    )
    torch.manual_seed(1)
    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    return module, trainer


def resumed(fit, folder):
    """Train two epochs, and the second of them again from the first one's checkpoint.

    :param fit: from epochs, folder and checkpoint to module and trainer.
    :returns: the module of both epochs and the one that was resumed, of the same weights.
    """
    whole, _ = fit(2, folder)
    first = torch.load(folder / FIRST, weights_only=True)["state_dict"]
    later, _ = fit(2, None, folder / FIRST)
    assert any(not torch.equal(value, first[name]) for name, value in whole.state_dict().items())
    for name, value in whole.state_dict().items():
        assert torch.equal(value, later.state_dict()[name]), name
    return whole, later


def fit(data, kind, epochs, folder=None, checkpoint=None, policy=None, **settings):
    """Make a module of a kind for the data, and train it.

    :param policy: settings of the data's policy.
    """
    if policy is not None:
        data.policy = partial(data.policy, **policy)
    module = kind(data.num_items, data.vector_size, **settings)
    return train(module, data, epochs, folder, checkpoint)
