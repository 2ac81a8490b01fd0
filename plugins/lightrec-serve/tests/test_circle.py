"""The circle: what a simulator's users do at the service comes back as a log, and is appended."""

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
from lightrec_serve.schema import Ask, Event, Slate
from lightrec_serve.service import Arm, Service
from lightrec_serve.store import Store

from lightrec.__main__ import main
from lightrec.keys import Key
from lightrec.run import Run
from lightrec.simulators.user_model import LogStarts, UserModelSimulator
from lightrec.testing import tiny

USERS, STEPS, PLACES = 16, 3, 2
TEMPERATURES = {"even": 2.0, "sharp": 0.5}


async def visit(folder: Path, store: Store) -> tuple[list[Slate], list[Event]]:
    """Let users of user model B visit two arms; give the slates and what was sent, twice."""
    run = Run(folder)
    names, items = run.data.user_ids, run.data.catalog["item"].to_list()
    ends = torch.from_numpy(run.data.offsets[1:].copy())
    starts = LogStarts.from_store(run.data, ends=ends)
    simulator = UserModelSimulator(
        run.users_b, starts, USERS, slate_size=PLACES, max_steps=STEPS, ending="fixed"
    )
    simulator.fix(torch.arange(USERS), 0)
    arms = [Arm(name, loader(folder, "policy", heat)) for name, heat in TEMPERATURES.items()]
    service, state = Service(arms, store), simulator.reset()
    sessions: list[str | None] = [None] * USERS
    slates, events = [], []
    for step in range(STEPS):
        asks = [
            Ask(user=names[row], session=sessions[row], k=PLACES, explore=True)
            for row in range(USERS)
        ]
        answers = [slate for slate, _ in await asyncio.gather(*map(service.recommend, asks))]
        shown = [[items.index(place.item) + 1 for place in slate.items] for slate in answers]
        following = simulator.step(state.set(Key.ACTION, torch.tensor(shown)))["next"]
        for slate, taken in zip(answers, following[Key.TAKEN].tolist(), strict=True):
            given = [
                Event(
                    id=f"{step}-{place.rank}",
                    session=slate.session,
                    answer=slate.answer,
                    item=place.item,
                    kind="accepted" if took else "dismissed",
                )
                for place, took in zip(slate.items, taken, strict=True)
            ]
            assert await service.feedback(given) == (PLACES, 0)
            assert await service.feedback(given) == (0, PLACES)
            events += given
        sessions, state = [slate.session for slate in answers], following.exclude("reward")
        slates += answers
    service.close()
    return slates, events


@pytest.fixture(scope="module")
def round_(tmp_path_factory):
    folder = tmp_path_factory.mktemp("circle")
    run = Path(shutil.copytree(tiny.kit_run(), folder / "tiny"))
    slates, events = asyncio.run(visit(run, Store(f"sqlite:///{run / 'served.db'}")))
    served(str(run / "served.db"), folder / "served")
    return run, folder / "served", slates, events


def test_the_export_has_the_propensities_of_the_answers(round_):
    _, exported, slates, _ = round_
    shown = pl.read_parquet(exported / "shown" / "*.parquet")
    columns = ["impression", "position", "session", "arm", "item", "propensity"]
    answered = [
        (slate.answer, place.rank, slate.session, slate.arm, place.item, place.propensity)
        for slate in slates
        for place in slate.items
    ]
    assert set(shown.select(columns).iter_rows()) == set(answered)
    assert len(shown) == len(answered) == USERS * STEPS * PLACES
    assert set(shown["arm"]) == set(TEMPERATURES)


def test_an_arm_asked_offline_has_the_propensities_that_were_logged(round_):
    """What off-policy estimates rest on: the export holds all that a state is made of."""
    run, exported, _, _ = round_
    shown = pl.read_parquet(exported / "shown" / "*.parquet").sort("time", "impression", "position")
    engine = RunEngine(run, "policy")
    for session in shown.partition_by("session"):
        accepted, refused = [], []
        for slate in session.partition_by("impression", maintain_order=True):
            known = {"accepted": tuple(accepted), "dismissed": tuple(refused)}
            query = Query(slate["user"][0], **known, k=tiny.ITEMS)
            (ranked,) = engine.answer([query])
            places = [ranked.items.index(n) for n in engine.catalog.find(slate["item"].to_list())]
            scores = torch.tensor(ranked.scores).double() / TEMPERATURES[slate["arm"][0]]
            for place, logged in zip(places, slate["propensity"], strict=True):
                assert float(scores.softmax(0)[place]) == pytest.approx(logged, rel=1e-4)
                scores[place] = -torch.inf
            for item, value in slate.select("item", "value").iter_rows():
                (accepted if value > 0 else refused).append(item)


def test_the_log_is_accepted_and_appended_once(round_, capsys):
    run, exported, _, events = round_
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
