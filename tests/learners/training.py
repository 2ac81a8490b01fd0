"""A short training of a module, as the pipeline would do it."""

import lightning.pytorch as pl
import torch


class EpochSeed(pl.Callback):
    """What the pipeline does, so that epochs can be resumed."""

    def on_train_epoch_start(self, trainer, pl_module):
        torch.manual_seed(100 + trainer.current_epoch)


def train(module, data, epochs, folder=None, checkpoint=None):
    """Train, keep a checkpoint where a folder is given, and give module and trainer."""
    trainer = pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[EpochSeed()],
    )
    torch.manual_seed(1)
    trainer.fit(module, data, ckpt_path=checkpoint, weights_only=True)
    if folder:
        trainer.save_checkpoint(folder / "last.ckpt")
    return module, trainer


def fit(data, kind, epochs, folder=None, checkpoint=None, **settings):
    """Make a module of a kind for the data, and train it."""
    module = kind(data.num_items, data.vector_size, **settings)
    return train(module, data, epochs, folder, checkpoint)
