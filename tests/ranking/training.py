"""A log made into a data stage, and a trainer that says and keeps nothing."""

import lightning.pytorch as pl

from lightrec.data.domain import Domain
from lightrec.data.log import InteractionLog
from lightrec.data.prepare import prepare


def prepared(log, folder, domain=None, k_core=0):
    """Prepare a frame or a log, leave-one-out, and give the folder."""
    log = log if isinstance(log, InteractionLog) else InteractionLog(log)
    prepare(log, folder, domain=domain or Domain(), k_core=k_core, seed=0)
    return folder


def trainer(epochs, folder, **settings):
    return pl.Trainer(
        max_epochs=epochs,
        accelerator="cpu",
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        default_root_dir=folder,
        **settings,
    )
