"""A log in which people keep to texts of one topic, and trainings of the stage `text` on it."""

import itertools

import numpy as np
import polars
import torch
from lightrec_testing.tiny import tiny_text_model

from lightrec.data.catalog import Catalog
from lightrec.encoders import tuning, tuning_data
from lightrec.encoders.text import TextEncoder
from lightrec.encoders.tuning import TextModule
from lightrec.encoders.tuning_data import TextData
from lightrec.intervals import Interval
from tests.ranking.training import trainer
from tests.users.stores import prepared

TOPICS = ("red", "lamp", "tea", "rope")
OTHERS = list(itertools.product(("a", "of", "and", "song"), repeat=3))
TEXTS = [" ".join((TOPICS[n % 4], *OTHERS[n // 4 * 2 + n % 2])) for n in range(128)]
"""What goes together is those with the same first word; the other three say nothing."""
USERS, STEPS = 480, 8


def write_topics(folder):
    """Write the prepared log, and a text model of random weights."""
    generator = np.random.default_rng(0)
    rows = [
        (f"u{user}", f"i{4 * item + user % 4}")
        for user in range(USERS)
        for item in generator.permutation(len(TEXTS) // 4)[:STEPS]
    ]
    # The last two items have the text of the first two, and one item has none.
    items = polars.DataFrame(
        {"item": [f"i{n}" for n in range(len(TEXTS))], "text": [*TEXTS[:-3], *TEXTS[:2], None]}
    )
    log = polars.DataFrame(rows, ["user", "item"], orient="row")
    titles = polars.lit(None, polars.String)
    prepared(log, folder / "data", catalog=Catalog(items.with_columns(title=titles)))
    (folder / "model").mkdir()
    return folder / "data", tiny_text_model(folder / "model")


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
