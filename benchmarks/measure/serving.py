"""Answers a second of the service, beside a small service of implicit's ALS.

A log of 100,000 items is made up and the shipped ranker takes one step on it: what it learned costs
nothing more or less. It is exported and served; clients, service and the service beside it share
the machine's cores, and measure one after the other.
"""

import json
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np
import polars as pl
import torch
from lightrec_export.export import export
from lightrec_export.exported import Exported

from benchmarks import LIGHTREC
from benchmarks.measure import Cell
from benchmarks.measure.serving_als import ITEMS

USERS, LENGTH, K = 2_500, 50, 10
PORT = 8351
SHARES = (0.0001, 0.001, 0.01, 0.1, 0.5)
"""Of the items that a filter lets pass."""
SETTINGS = [
    *("--until", "ranker", "--fast-dev-run", "--values.text_encoder", "null"),
    *("--data.k_core", "0", "--data.equal_times", "shuffle"),
    *("--ranker.model.init_args.item_models", "null"),
]


def exported(cell: Cell) -> Path:
    """Make up a log in which each item comes, learn from it hardly, and export what was learned."""
    rng = np.random.default_rng(cell.seed)
    again = rng.integers(ITEMS, size=USERS * LENGTH - ITEMS)
    items = np.concatenate([rng.permutation(ITEMS), again])
    users = np.repeat(np.arange(USERS), LENGTH)
    events = pl.DataFrame({"user": users, "item": items, "time": np.arange(len(users)) + 1e9})
    words = rng.choice([f"word{n}" for n in range(2_000)], size=(ITEMS, 3))
    table = pl.DataFrame(
        {
            "item": np.arange(ITEMS),
            "title": [" ".join(row) + f" {n}" for n, row in enumerate(words)],
            "share": (rng.permutation(ITEMS) / ITEMS).round(6),
        }
    )
    paths = [cell.out / "log.csv", cell.out / "items.csv"]
    events.write_csv(paths[0])
    table.write_csv(paths[1])
    tables = ["--log", str(paths[0]), "--items", str(paths[1])]
    export(cell.run("generic", *tables, *SETTINGS), cell.out / "export", what="ranker")
    return cell.out / "export"


def ask(method: str, path: str, body: object = None, port: int = PORT) -> dict:
    """Ask the service."""
    content = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}{path}",
        content,
        {"content-type": "application/json"},
        method=method,
    )
    with urllib.request.urlopen(request) as answer:
        return json.loads(answer.read())


class Served:
    """A service in a process of its own, which ends with its block."""

    def __init__(self, port: int, *command: object, log: Path) -> None:
        self.port = port
        self.process = subprocess.Popen(
            list(map(str, command)), stdout=log.open("wb"), stderr=subprocess.STDOUT
        )
        for _ in range(600):
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/openapi.json").read()
                return
            except OSError:
                time.sleep(0.1)
        raise RuntimeError(f"The service did not begin: {log.read_text()[-2000:]}")

    def load(self, file: Path, clients: int, seconds: float) -> dict[str, float]:
        """Let clients ask for some seconds."""
        module = "benchmarks.measure.serving_client"
        command = [sys.executable, "-m", module, self.port, clients, seconds, file]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=True)
        return json.loads(done.stdout)

    def __enter__(self) -> "Served":
        return self

    def __exit__(self, *error: object) -> None:
        self.process.terminate()
        self.process.wait(30)


def served(cell: Cell, run: Path, port: int, *options: object) -> Served:
    """Serve a run or an export by `lightrec serve`, whose log lies in the cell's folder."""
    command = (LIGHTREC, "serve", run, "--port", port, *options)
    return Served(port, *command, log=cell.out / f"{port}.log")


def recalls(folder: Path, histories: list[list[str]]) -> dict[str, float]:
    """Compare filtered slates with those of all products, computed here."""
    held, found = Exported(folder), {}
    number = {item: n for n, item in enumerate(held.catalog["item"], 1)}
    share = torch.tensor([2.0, *held.catalog["share"].to_list()])
    for least in SHARES:
        right = total = 0
        for history in histories[:50]:
            numbers = torch.tensor([[number[item] for item in history]])
            scores = held.queries(numbers) @ held.table.T + held.bias
            scores[0, numbers[0]] = -torch.inf
            scores[0, share >= least] = -torch.inf
            best = {held.catalog["item"][int(n) - 1] for n in scores[0].topk(K).indices}
            body = {"history": history, "k": K, "only": [f"share<{least}"]}
            slate = {each["item"] for each in ask("POST", "/recommend", body)["items"]}
            right, total = right + len(best & slate), total + len(slate | best)
        found[f"recall/{least:g}"] = right / total
    return found


def visible() -> float:
    """Milliseconds from putting an item to an answer that holds it, as a median."""
    times = []
    for number in range(20):
        item = {"item": f"new-{number}", "title": f"word{number} word7 of today"}
        began = perf_counter()
        ask("PUT", "/items", {"items": [item]})
        body = {"history": ["1"], "k": K, "candidates": ["1", f"new-{number}"]}
        slate = ask("POST", "/recommend", body)
        times.append((perf_counter() - began) * 1000)
        assert slate["items"][-1]["item"] == f"new-{number}", slate
    return median(times)


def measured(service: Served, file: Path, name: str, seconds: float) -> dict[str, float]:
    """Let one client ask, then 32, once the service is warm."""
    found = {}
    service.load(file, 1, 3)
    for clients, long in ((1, seconds / 3), (32, seconds)):
        rates = service.load(file, clients, long)
        found |= {f"{name}/{clients}/{metric}": value for metric, value in rates.items()}
    return found


def measure(cell: Cell) -> dict[str, float]:
    """Export a ranker that has hardly learned, serve it, and ask."""
    out, seconds, folder = cell.out, cell["seconds"], exported(cell)
    rng = np.random.default_rng(cell.seed + 1)
    histories = [list(map(str, rng.integers(ITEMS, size=LENGTH))) for _ in range(500)]
    requests = out / "requests.json"
    requests.write_text(json.dumps([["/recommend", {"history": h, "k": K}] for h in histories]))
    with served(cell, folder, PORT) as service:
        metrics = measured(service, requests, "lightrec", seconds)
        metrics |= recalls(folder, histories)
        metrics["visible_ms"] = visible()
    module, port = "benchmarks.measure.serving_als", PORT + 1
    with Served(port, sys.executable, "-m", module, port, log=out / "als.log") as service:
        return metrics | measured(service, requests, "als", seconds)
