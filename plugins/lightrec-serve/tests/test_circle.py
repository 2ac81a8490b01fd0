"""The circle: what people do at the service comes back as a log, and is appended."""

import asyncio
import shutil
from pathlib import Path

import polars as pl
import pytest
import torch

pytest.importorskip("fastapi", reason="the service is not installed")

from lightrec_serve.commands import loader, served
from lightrec_serve.engine import Query
from lightrec_serve.run_engine import RunEngine
from lightrec_serve.schema import Ask, Event
from lightrec_serve.service import Arm, Service
from lightrec_serve.store import Store
from lightrec_testing import tiny

from lightrec.__main__ import main
from lightrec.run import Run

USERS, STEPS, PLACES = 16, 3, 2
TEMPERATURES = {"even": 2.0, "sharp": 0.5}
KINDS = [("accepted", "dismissed"), ("dismissed", "accepted"), ("dismissed", "dismissed")]


async def visit(folder, store):
    """Let users visit two arms; give the events, each of which was sent twice."""
    arms = [Arm(name, loader(folder, "policy", heat)) for name, heat in TEMPERATURES.items()]
    service, events, sessions = Service(arms, store), [], [None] * USERS
    for step in range(STEPS):
        asks = [
            Ask(user=f"u{row}", session=session, k=PLACES, explore=True)
            for row, session in enumerate(sessions)
        ]
        answers = [slate for slate, _ in await asyncio.gather(*map(service.recommend, asks))]
        for row, slate in enumerate(answers):
            said = {"session": slate.session, "answer": slate.answer}
            sent = [
                Event(id=f"{step}-{place.rank}", item=place.item, kind=kind, **said)
                for place, kind in zip(slate.items, KINDS[(row + step) % 3], strict=True)
            ]
            assert await service.inbox.take(sent, service.kinds) == (PLACES, 0, 0)
            assert await service.inbox.take(sent, service.kinds) == (0, PLACES, 0)
            events += sent
        sessions = [slate.session for slate in answers]
    service.close()
    return events


@pytest.fixture(scope="module")
def round_(tmp_path_factory):
    folder = tmp_path_factory.mktemp("circle")
    run = Path(shutil.copytree(tiny.kit_run(), folder / "tiny"))
    events = asyncio.run(visit(run, Store(f"sqlite:///{run / 'served.db'}")))
    served(str(run / "served.db"), folder / "served")
    return run, folder / "served", events


def test_an_arm_asked_offline_has_the_propensities_that_were_logged(round_):
    """What off-policy estimates rest on: the export holds all that a state is made of."""
    run, exported, _ = round_
    shown = pl.read_parquet(exported / "shown" / "*.parquet").sort("time", "impression", "position")
    assert len(shown) == USERS * STEPS * PLACES
    assert set(shown["arm"]) == set(TEMPERATURES)
    engine = RunEngine(run, "policy")
    for session in shown.partition_by("session"):
        accepted, refused = [], []
        for slate in session.partition_by("impression", maintain_order=True):
            past = {"accepted": tuple(accepted), "dismissed": tuple(refused)}
            query = Query(slate["user"][0], **past, k=tiny.ITEMS)
            (ranked,) = engine.answer([query])
            places = [ranked.items.index(n) for n in engine.catalog.find(slate["item"].to_list())]
            scores = torch.tensor(ranked.scores).double() / TEMPERATURES[slate["arm"][0]]
            for place, logged in zip(places, slate["propensity"], strict=True):
                assert float(scores.softmax(0)[place]) == pytest.approx(logged, rel=1e-4)
                scores[place] = -torch.inf
            for item, value in slate.select("item", "value").iter_rows():
                (accepted if value > 0 else refused).append(item)


def test_the_log_is_accepted_and_appended_once(round_, capsys):
    run, exported, events = round_
    log = str(exported / "log")
    assert len(pl.read_parquet(exported / "log" / "*.parquet")) == len(events)
    assert main(["data", "check", log]) == 0
    before = Run(run)
    assert main(["update", str(run), "--log", log]) == 0
    after = Run(run)
    assert (before.version, after.version) == (1, 2)
    assert len(after.data.items) - len(before.data.items) == len(events)
    assert main(["update", str(run), "--log", log]) == 0
    assert Run(run).version == 2
    capsys.readouterr()
    (ranked,) = RunEngine(run, "policy").answer([Query("u0", k=PLACES)])
    assert len(ranked.items) == PLACES
