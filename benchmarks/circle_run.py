"""The circle on one run: a cell of `make bench NAME=circle`.

``python -m benchmarks.circle_run RUN OUT SEED SESSIONS TEMPERATURE TEMPERATURE``: the run is served
by the command, as two arms which draw slates of one item from its policy at two temperatures. The
client is a simulator: users of user model B answer and leave as it says, all at the same time. What
was served is exported, checked, appended and reloaded, and each arm is estimated from what the
other one logged.

**Which estimator.** What an arm shows changes what it can show later: what was shown does not come
again, and what was accepted is read from then on. A bandit's estimate over all slates would take
the states of the log for those of the arm that is judged. So whole sessions are weighed: each
reward by how much likelier the other arm was to come to it, step by step (per-decision importance
weights), divided by the step's mean weight. The other arm's probabilities come from its own engine,
asked offline in the states that the export tells: the run's log, what was accepted in the session,
and what was shown in it. A user's sessions are one cluster of the interval, and a user meets one
arm.
"""

import asyncio
import contextlib
import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import torch
from lightrec_ope.estimators import (
    Estimate,
    PerDecisionIPS,
    SequenceLog,
    TrajectoryIPS,
    Verdict,
)
from lightrec_ope.estimators.estimate import around
from torch import Tensor

from benchmarks.cells import LIGHTREC
from benchmarks.serving_client import Connection, request
from lightrec.data.store import EventStore
from lightrec.intervals import Interval
from lightrec.keys import Column, Key
from lightrec.nn.plackett_luce import PlackettLuce
from lightrec.policies.base import session_start, without_nothing
from lightrec.recommend import Recommender
from lightrec.run import Run
from lightrec.simulators.rollout import Acting, judge
from lightrec.simulators.user_model import LogStarts, UserModelSimulator

STEPS = 5
"""Slates after which a session is cut."""
REMEMBERED = 200
"""Steps of a history that the simulator hands on, more than any part reads."""
CLIENTS = 64
"""Connections that ask at once."""
TOGETHER = 20
"""Events that are sent in one request."""
TWICE = 10
"""Every so many of these requests are sent again."""
ROUNDS = 5
"""Sessions of each user by which an arm's truth is known."""
BATCH = 64
ESTIMATORS = {
    "estimate": PerDecisionIPS(normalized=True),
    "plain": PerDecisionIPS(),
    "trajectory": TrajectoryIPS(normalized=True),
}
"""The first is the one to be judged; it was named before there were numbers."""


def users_of(run: Run, count: int) -> UserModelSimulator:
    """Make the users of user model B, whose whole logs lie behind them."""
    store = run.data
    starts = LogStarts.from_store(store, ends=store.without_cold.offsets[1:])
    return UserModelSimulator(
        run.users_b,
        starts,
        count,
        max_steps=STEPS,
        history_length=REMEMBERED,
        repeats=store.repeats,
    )


@contextlib.contextmanager
def serving(run: Path, temperatures: Sequence[str], errors: Path) -> Iterator[int]:
    """Serve a run as one arm for each temperature; give the port."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [LIGHTREC, "serve", *[str(run)] * len(temperatures), "--by", "policy"]
    command += ["--port", str(port), "--temperature", *temperatures]
    with errors.open("w") as log:
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=log)
        try:
            while True:
                with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port)):
                    break
                if process.poll() is not None:
                    raise RuntimeError(f"The service ended: {errors.read_text()[-2000:]}")
                time.sleep(0.2)
            yield port
        finally:
            process.terminate()
            process.wait()


async def ask_all(port: int, path: str, bodies: Sequence[object]) -> list[dict]:
    """Post bodies over some connections at once; give the answers in their order."""
    answers: list[dict] = [{}] * len(bodies)
    waiting = iter(enumerate(bodies))

    async def client() -> None:
        connection = await Connection.open(port)
        for place, body in waiting:
            status, content = await connection.ask(request(path, body))
            if status != 200:
                raise RuntimeError(f"{path} answered {status}: {content.decode()}")
            answers[place] = json.loads(content)
        connection.writer.close()

    await asyncio.gather(*(client() for _ in range(min(CLIENTS, len(bodies)))))
    return answers


def play(
    port: int, simulator: UserModelSimulator, store: EventStore, seed: int
) -> tuple[pl.DataFrame, int]:
    """Let the simulator's users visit the service, step by step, until all have left.

    All sessions begin before anybody answers, so that a user's sessions know nothing of each other.

    :returns: a row for each slate: user, session, step, arm, item, propensity, accepted; and how
        many events were sent twice.
    :raises RuntimeError: where an event counts twice, or not at all.
    """
    simulator.set_seed(seed)
    state = simulator.reset()
    names, items = store.user_ids, store.catalog[Column.ITEM]
    numbers = {item: number for number, item in enumerate(items, start=1)}
    users = names.gather(state[Key.USER].tolist()).to_list()
    sessions: list[str | None] = [None] * len(users)
    alive, rows, resent = torch.ones(len(users), dtype=torch.bool), [], 0
    for step in range(STEPS):
        there = alive.nonzero().squeeze(1).tolist()
        bodies = [{"user": users[row], "k": 1, "explore": True} for row in there]
        for row, body in zip(there, bodies, strict=True):
            body |= {"session": sessions[row]} if step else {}
        slates = asyncio.run(ask_all(port, "/recommend", bodies))
        action = state[Key.MASK].int().argmax(1, keepdim=True)  # for those who have left, anything
        for row, slate in zip(there, slates, strict=True):
            sessions[row] = slate["session"]
            action[row] = numbers[slate["items"][0]["item"]]
        following = simulator.step(state.set(Key.ACTION, action))["next"]
        events = []
        for row, slate in zip(there, slates, strict=True):
            (shown,), taken = slate["items"], bool(following[Key.TAKEN][row, 0])
            event = {"id": str(step), "session": slate["session"], "answer": slate["answer"]}
            event |= {"item": shown["item"], "kind": "accepted" if taken else "dismissed"}
            events.append(event)
            made = users[row], slate["session"], step, slate["arm"]
            rows.append((*made, shown["item"], shown["propensity"], taken))
        bodies = [{"events": events[at : at + TOGETHER]} for at in range(0, len(events), TOGETHER)]
        stored = asyncio.run(ask_all(port, "/feedback", bodies + bodies[::TWICE]))
        again = sum(len(body["events"]) for body in bodies[::TWICE])
        counts = tuple(sum(answer[name] for answer in stored) for name in ("stored", "known"))
        if counts != (len(events), again):
            raise RuntimeError(
                f"{len(events)} events and {again} of them again: {counts} are stored and known."
            )
        resent += again
        alive &= ~following["done"].squeeze(1)
        state = following.exclude("reward")
        print(f"step {step}: {len(there)} slates", flush=True)
        if not alive.any():
            break
    head = ["user", "session", "step", "arm", "item", "propensity", "accepted"]
    return pl.DataFrame(rows, head, orient="row"), resent


def sessions_of(shown: pl.DataFrame) -> pl.DataFrame:
    """Number the slates of an export in their sessions, and list what had happened before each."""
    return shown.sort("session", "time", maintain_order=True).with_columns(
        pl.int_range(pl.len()).over("session").alias("step"),
        (pl.col("value") > 0).alias("accepted"),
    )


def laws(run: Path, shown: pl.DataFrame, temperatures: Sequence[float]) -> Tensor:
    """Give the probabilities (E, M) of what was shown under the policy at M temperatures.

    It is asked as the service asks it, but for all items in order of their scores.

    :param shown: E rows of :func:`sessions_of`.
    """
    from lightrec_serve.engine import Query
    from lightrec_serve.run_engine import RunEngine

    engine = RunEngine(run, "policy")
    queries, before, session = [], list[tuple[str, bool]](), ""
    for row in shown.iter_rows(named=True):
        if row["session"] != session:
            session, before = row["session"], []
        accepted = tuple(item for item, taken in before if taken)
        refused = tuple(item for item, taken in before if not taken)
        queries.append(
            Query(row["user"], accepted=accepted, dismissed=refused, k=engine.store.num_items)
        )
        before.append((row["item"], row["accepted"]))
    found = []
    for start in range(0, len(queries), BATCH):
        items = shown["item"][start : start + BATCH]
        for ranked, item in zip(engine.answer(queries[start : start + BATCH]), items, strict=True):
            if isinstance(ranked, Exception):
                raise ranked
            place = ranked.items.index(engine.catalog.number(item))
            scores = torch.tensor(ranked.scores, dtype=torch.float64)
            found.append([float((scores / t).log_softmax(0)[place].exp()) for t in temperatures])
    return torch.tensor(found, dtype=torch.float64)


def numbers(column: pl.Series) -> Tensor:
    """Give a column as a tensor; names by their places in order, from 0."""
    if column.dtype == pl.String:
        column = column.rank("dense").cast(pl.Int64) - 1
    return torch.tensor(column.to_list())


def sequence_log(shown: pl.DataFrame, target: Tensor) -> SequenceLog:
    """Make one arm's sessions a log for the other arm.

    Of all actions only two are told apart: what was shown, and anything else.

    :param shown: E rows of :func:`sessions_of`.
    :param target: (E,) the other arm's probabilities.
    """
    place = numbers(shown["session"]), numbers(shown["step"])
    count = int(place[0].max()) + 1

    def table(values: Tensor, empty: float) -> Tensor:
        return torch.full((count, STEPS), empty, dtype=values.dtype).index_put(place, values)

    logged = numbers(shown["propensity"]).double()
    own, other = table(logged, 1.0), table(target, 1.0)
    first = shown.filter(pl.col("step") == 0).sort("session")
    return SequenceLog(
        action=torch.zeros(count, STEPS, dtype=torch.int64),
        reward=table(numbers(shown["accepted"]).double(), 0.0),
        target=torch.stack([other, 1 - other], 2),
        propensity=own,
        there=table(torch.ones(len(logged), dtype=torch.bool), False),
        users=numbers(first["user"]),
        behavior=torch.stack([own, 1 - own], 2),
    )


def truth(run: Run, temperature: float, seed: int) -> Interval:
    """Give what an arm earns in a session, by many sessions in the simulator without a service."""
    users = torch.arange(run.data.num_users)
    policy = Recommender(run.path, "policy").model

    def drawn(state: dict[str, Tensor]) -> Tensor:
        history = without_nothing(state[Key.HISTORY], run.data.num_items)
        scores = policy.scores(session_start(history, state[Key.USER]))
        return PlackettLuce(scores / temperature, state[Key.MASK], 1).sample()

    seeds = [1_000 * (seed + 1) + each for each in range(ROUNDS)]
    found = judge({"arm": Acting(drawn)}, users_of(run, len(users)), users, seeds)["arm"]
    return around(found.accepted.double().flatten(), users.repeat(ROUNDS))


def told(name: str, found: Interval | Estimate) -> dict[str, float]:
    """Write a number with its ends as metrics."""
    value = found.mean if isinstance(found, Interval) else found.value
    return {name: value, f"{name}/low": found.low, f"{name}/high": found.high}


def compared(shown: pl.DataFrame, arms: Sequence[str], laws_: Tensor) -> dict[str, float]:
    """Estimate each arm from the other's sessions, beside what it earned in its own."""
    metrics: dict[str, float] = {}
    parts = {}
    for place, arm in enumerate(arms):
        rows = numbers(shown["arm"] == arm)
        parts[arm] = (shown.filter(pl.col("arm") == arm), laws_[rows])
        logged = numbers(parts[arm][0]["propensity"]).double()
        off = (laws_[rows][:, place] - logged).abs() / logged
        metrics[f"arm-{place}/offline_error"] = float(off.max())
    for place, arm in enumerate(arms):
        own = sequence_log(parts[arm][0], parts[arm][1][:, place])
        served = around(own.reward.double().sum(1), own.users)
        metrics |= told(f"arm-{place}/served", served)
        metrics[f"arm-{place}/sessions"] = len(own.reward)
        metrics[f"arm-{place}/users"] = len(own.users.unique())
        metrics[f"arm-{place}/slates"] = int(own.taken.sum())
        other = parts[arms[1 - place]]
        log = sequence_log(other[0], other[1][:, place])
        for name, estimator in ESTIMATORS.items():
            found = estimator(log)
            metrics |= told(f"arm-{place}/{name}", found)
            metrics[f"arm-{place}/{name}/verdict"] = [*Verdict][::-1].index(found.verdict)
            metrics[f"arm-{place}/{name}/effective"] = found.diagnosis.effective
    return metrics


def command(*words: str) -> str:
    """Do a command of lightrec, which must succeed; give what it printed."""
    done = subprocess.run([LIGHTREC, *words], capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"lightrec {' '.join(words)}: {done.stdout}{done.stderr}")
    return done.stdout


def served_sessions(
    path: Path, out: Path, seed: int, sessions: int, temperatures: Sequence[str]
) -> dict[str, float]:
    """Serve a copy of the run, append what was served, and reload; give what was counted."""
    run, exported, given = out / path.name, out / "served", Run(path)
    shutil.copytree(path, run)
    metrics: dict[str, float] = {}
    with serving(run, temperatures, out / "service.log") as port:
        client, metrics["sent_twice"] = play(port, users_of(given, sessions), given.data, seed)
        client.write_parquet(out / "client.parquet")
        command("served", str(run / "served.db"), str(exported))
        command("data", "check", str(exported / "log"))
        command("update", str(run), "--log", str(exported / "log"))
        for place, arm in enumerate(sorted(client["arm"].unique())):
            (about,) = asyncio.run(ask_all(port, f"/admin/reload?arm={arm}", [None]))
            metrics[f"arm-{place}/version"] = about["version"]
        asyncio.run(ask_all(port, "/recommend", [{"user": given.data.user_ids[0]}]))
    # Of a film that a user met in two sessions, the log of films, which are seen once, keeps one.
    metrics["pairs"] = client.select("user", "item").n_unique()
    metrics["appended"] = len(Run(run).data.items) - len(given.data.items)
    return metrics


def judged(path: Path, out: Path, seed: int, temperatures: Sequence[float]) -> dict[str, float]:
    """Compare what was served with what was exported, and each arm's estimate with the truth."""
    client, given = pl.read_parquet(out / "client.parquet"), Run(path)
    shown = sessions_of(pl.read_parquet(out / "served" / "shown" / "*.parquet"))
    alike = client.join(shown, on=["session", "step", "item", "arm", "accepted"], validate="1:1")
    metrics: dict[str, float] = {"slates": len(client), "exported": len(shown)}
    metrics["exported_alike"] = int((alike["propensity"] == alike["propensity_right"]).sum())
    metrics["accepted"] = int(client["accepted"].sum())
    arms = sorted(shown["arm"].unique())
    metrics |= compared(shown, arms, laws(path, shown, temperatures))
    for place, temperature in enumerate(temperatures):
        metrics[f"arm-{place}/temperature"] = temperature
        metrics |= told(f"arm-{place}/truth", truth(given, temperature, seed))
    return metrics


if __name__ == "__main__":
    path, out = map(Path, sys.argv[1:3])
    seed, sessions = map(int, sys.argv[3:5])
    found = served_sessions(path, out, seed, sessions, sys.argv[5:])
    found |= judged(path, out, seed, [float(each) for each in sys.argv[5:]])
    (out / "metrics.json").write_text(json.dumps(found))
