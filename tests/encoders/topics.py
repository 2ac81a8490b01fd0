"""Texts of some topics, and trainings of the stage `text` on a log in which people keep to one."""

import itertools

import torch

from lightrec.encoders import tuning, tuning_data
from lightrec.encoders.text import TextEncoder
from lightrec.encoders.tuning import TextModule
from lightrec.encoders.tuning_data import TextData
from lightrec.intervals import Interval
from tests.ranking.training import trainer

TOPICS = ("red", "lamp", "tea", "rope")
OTHERS = list(itertools.product(("a", "of", "and", "song"), repeat=3))
TEXTS = [" ".join((TOPICS[n % 4], *OTHERS[n // 4 * 2 + n % 2])) for n in range(128)]
"""What goes together is those with the same first word; the other three say nothing."""
USERS, STEPS = 480, 8


def patched(patch, folder):
    patch.setattr(tuning_data, "MIN_TEXTS", 50)
    patch.setattr(tuning_data, "MIN_EVENTS", 40)
    patch.setattr(tuning, "RECALLED", 3)  # of twelve
    # Who chose what says all here, so that no text is ever taken, see below.
    patch.setattr(tuning, "compared", lambda *_: ({}, Interval(0.2, 0.1, 0.3)))
    patch.setenv("LIGHTREC_CACHE", str(folder / "cache"))


def texts_of(folders, **settings):
    data, model = folders
    settings = {"text_encoder": TextEncoder(str(model), device="cpu"), "batch_size": 64} | settings
    return TextData(str(data), **settings)


def fitted(folders, folder, data=None, epochs=2, given=None, **how):
    data = data or texts_of(folders)
    torch.manual_seed(0)
    given = {"learning_rate": 0.03, "temperature": 0.3} | (given or {})
    module = TextModule(data.num_items, data.vector_size, **given)
    trainer(epochs, folder, **how).fit(module, data)
    return module, data


def written(module, folder):
    folder.mkdir()
    return module.write(folder)
