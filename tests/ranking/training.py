"""Small rankers trained on a prepared log, and a trainer that says nothing."""

from functools import partial

import lightning.pytorch as pl

from lightrec.nn.towers import CausalTransformer
from lightrec.ranking.module import RankingModule
from lightrec.ranking.sequence_data import SequenceData
from tests.learners.training import QUIET

TOWER = partial(CausalTransformer, dropout=0.0)


def fitted(store, folder, epochs=8, length=8, **settings):
    """Train a small ranker: the module, its trainer, and the data."""
    pl.seed_everything(0, verbose=False)
    data = SequenceData(str(store.folder), max_length=length, batch_size=length)
    given = {"size": 16, "max_length": length, "tower": TOWER, "learning_rate": 0.02}
    given |= {"feedback_kinds": data.feedback_kinds, "use_feedback": False}
    module = RankingModule(data.num_items, 0, **given | settings)
    training = trainer(epochs, folder)
    training.fit(module, datamodule=data)
    return module.eval(), training, data


def trainer(epochs, folder, **settings):
    how = {"accelerator": "cpu", "default_root_dir": folder, **QUIET}
    return pl.Trainer(max_epochs=epochs, **how | settings)
