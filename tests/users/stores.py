"""Prepared logs for tests of data and of user models."""

import polars as pl

from lightrec.data.domain import Domain
from lightrec.data.log import InteractionLog
from lightrec.data.prepare import prepare


def prepared(events, folder, **settings):
    """Prepare events as they are: nothing filtered, and each user's last ones held out."""
    usual = {"domain": Domain(), "k_core": 0, "seed": 0}
    log = events if isinstance(events, InteractionLog) else InteractionLog(pl.DataFrame(events))
    return prepare(log, folder, **usual | settings)
