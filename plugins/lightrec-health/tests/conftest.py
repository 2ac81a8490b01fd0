"""A run on the made-up log, up to a blend of item models, once a session."""

from pathlib import Path
from typing import NamedTuple

import pytest
from lightrec_health.made_up import write

from lightrec.stages.run import run

FAST = {
    "values": ["--text_encoder=null"],
    "text": ["--model.init_args.tune=none"],
    "ranker": [
        "--trainer.max_epochs=0",
        "--model.init_args.size=8",
        "--model.init_args.tower.init_args.layers=1",
        "--model.init_args.item_models="
        "[{class_path: Popularity},{class_path: EASE},{class_path: Demographic}]",
    ],
}


class MadeUp(NamedTuple):
    log: Path
    run: Path


@pytest.fixture(scope="session")
def made_up(tmp_path_factory) -> MadeUp:
    folder = tmp_path_factory.mktemp("health")
    log = write(folder, 0)
    out = run("health", out=folder / "run", log=log, until="ranker", overrides=FAST)
    return MadeUp(log, out)
