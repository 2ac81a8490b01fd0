"""Whether a policy's value is estimated from what its own service has logged, in a made-up shop.

The service draws each slate from the policy at twice its temperature; who is shown a product looks
at it, puts it into the cart or buys it by the shop's known law. `lightrec served` writes the log,
and `lightrec estimate` says what the policy at its own temperature would earn, by the field's worth
of each kind of event. The truth is that of the law, in the states that the log has met.
"""

import json
import subprocess

import numpy as np
import torch
from lightrec_ecommerce.domain import EcommerceDomain
from lightrec_ecommerce.made_up import make
from lightrec_serve.engine import Query
from lightrec_serve.run_engine import RunEngine
from scipy.special import expit

from benchmarks import LIGHTREC
from benchmarks.measure import Cell
from benchmarks.measure.serving import ask, served

PORT, K = 8391, 3
LOOKS, PUTS = 0.4, 0.2
"""Share of what is shown that is looked at; of that what is put into the cart and not bought."""
SHOP = {"events": 30_000, "customers": 2_000, "products": 300}


def measure(cell: Cell) -> dict[str, float]:
    """Learn, serve, write what was served, estimate, and compare with the truth."""
    log, goods, people, appeal = make(cell.seed, **SHOP)
    buys = LOOKS * expit(appeal)
    carts, views = PUTS * (LOOKS - buys), (1 - PUTS) * (LOOKS - buys)
    chances = np.stack([buys, carts, views, 1 - LOOKS + 0 * buys], -1)
    kinds = ("purchase", "cart", "view", None)
    worth = np.array([EcommerceDomain.feedback.get(kind, 0.0) for kind in kinds])
    tables = {"log": log.drop("price paid"), "items": goods, "users": people}
    words = ["ecommerce", "--fast-dev-run", "--until", "policy"]
    for name, table in tables.items():
        table.write_ndjson(cell.out / f"{name}.jsonl")
        words += [f"--{name}", str(cell.out / f"{name}.jsonl")]
    run = cell.run(*words)
    known = {user: row for row, user in enumerate(people["user"])}
    place = {item: column for column, item in enumerate(goods["item"])}
    database = cell.out / "served.db"
    options = ("--store", f"sqlite:///{database}", "--by", "policy")
    options += ("--temperature", cell["temperature"])
    draw, slates = np.random.default_rng(3), []
    with served(cell, run.base, PORT, *options):
        for user in people["user"].sample(cell["visits"], seed=cell.seed).to_list():
            slate = ask("POST", "/recommend", {"user": user, "k": K, "explore": True}, PORT)
            shown = [each["item"] for each in slate["items"]]
            slates.append((user, shown))
            done = [draw.choice(4, p=chances[known[user], place[item]]) for item in shown]
            events = [
                {"id": item, "item": item, "kind": kinds[what], "session": slate["session"]}
                for item, what in zip(shown, done, strict=True)
                if kinds[what]
            ]
            if events:
                sent = [each | {"answer": slate["answer"]} for each in events]
                ask("POST", "/feedback", {"events": sent}, PORT)
    out, found = cell.out / "out", cell.out / "estimates.json"
    subprocess.run([LIGHTREC, "served", database, out], check=True)
    judge = [LIGHTREC, "estimate", run.base, out / "shown", "--by", "policy", "--out", found]
    subprocess.run(judge, check=True)
    engine = RunEngine(run.base, "policy")
    items = [place[item] for item in engine.catalog.items["item"]]
    truth, seen = list[float](), list[float]()
    for user, shown in slates:
        (ranked,) = engine.answer([Query(user, k=len(items))])
        value = torch.zeros(len(items) + 1, dtype=torch.float64)
        value[1:] = torch.from_numpy(chances[known[user], items] @ worth)
        scores = torch.full((len(items) + 1,), -torch.inf, dtype=torch.float64)
        scores[ranked.items] = torch.tensor(ranked.scores).double()
        for item in shown:
            truth.append(float(scores.softmax(0) @ value))
            (number,) = engine.catalog.numbers([item])
            seen.append(float(value[number]))
            scores[number] = -torch.inf
    metrics = {"truth": float(np.mean(truth)), "served": float(np.mean(seen))}
    metrics |= {"believed": 0.0, "right": 0.0}
    for name, each in json.loads(found.read_text()).items():
        metrics |= {f"{name}/{part}": each[part] for part in ("value", "low", "high")}
        at = metrics["served" if name == "log" else "truth"]
        if each["verdict"] != "unusable":
            metrics[f"{name}/inside"] = float(each["low"] <= at <= each["high"])
            metrics["believed"] += name != "log"
            metrics["right"] += name != "log" and metrics[f"{name}/inside"]
    return metrics
