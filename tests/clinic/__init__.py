"""A plugin as a stranger would write it: a domain that forbids, and a part of every other kind.

The modules of `tests/frozen/clinic`, mended, are installed as ``lightrec-clinic`` 1.0.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest
from lightrec_testing import tiny

from lightrec import plugins
from lightrec.stages.run import run
from tests.frozen import MENDS, texts
from tests.installed import install

ADULTS = range(20, tiny.USERS)
"""Users who are of age; for the others lamps are forbidden."""

FAILING = ("FailingLoss", "FailingModel", "Ragged")
"""Further components, which raise an error when they are called."""

SETTINGS: Mapping[str, Sequence[str]] = {
    "values": tiny.FAST["values"],
    "data": tiny.FAST["data"],
    "ranker": [
        "--trainer.max_epochs=1",
        "--model.init_args.size=16",
        "--model.init_args.tower=Fading",
        "--data.init_args.text_encoder=LetterShares",
        "--model.init_args.item_models=[{class_path: Popularity}]",
    ],
    "users_a": ["--trainer.max_epochs=1"],
    "users_b": ["--trainer.max_epochs=1"],
    "policy": [
        "--data.init_args.policy={class_path: Habit, init_args: {first: 0.5}}",
        "--data.init_args.reward=Calm",
        "--trainer.max_epochs=1",
        "--model.init_args.sessions=16",
        "--model.init_args.steps=4",
        "--data.init_args.iterations=1",
    ],
    "evaluate": [
        "--evaluators=[HeldOutLog,"
        "{class_path: SimulatedSessions, init_args: {max_steps: 5}},Minors]"
    ],
}
"""Settings with which a run takes seconds, and in which each part of the plugin has its place."""


@contextmanager
def installed(folder: Path) -> Iterator[None]:
    """Install the plugin into a folder for the length of a block."""
    with pytest.MonkeyPatch.context() as patch:
        failing = (Path(__file__).parent / "failing.py").read_text()
        mends = {**MENDS, '"VisitData")': '"VisitData") | _of("failing", *FAILING)'}
        mends["LIGHTREC_API = 1"] = f"LIGHTREC_API = 2\nFAILING = {FAILING}"
        install(folder, "clinic", failing=failing, **texts("clinic", mends))
        patch.syspath_prepend(folder)
        plugins.installed.cache_clear()
        yield
    plugins.installed.cache_clear()


def clinic_run(folder: Path) -> Path:
    """Make a whole run of the domain over the tiny log."""
    log, items = tiny.write_log(folder)
    users = folder / "users.csv"
    ages = [f"u{user},{40 if user in ADULTS else 12}" for user in range(tiny.USERS)]
    users.write_text("\n".join(["customer,age", *ages]) + "\n")
    return run(
        "clinic", out=folder / "clinic", log=log, items=items, users=users, overrides=SETTINGS
    )
