"""What an export loses and saves, and how fast its indexes are: `make bench NAME=exports`.

The cell ``ml-100k`` trains the domain ``video``'s ranker on its sample, MovieLens-100K, and exports
it in full, by whole numbers of 8 bits, and with half of the dimensions; each export ranks the test
events. ``batch`` gives 10,000 items of 64 dimensions to many users at once, in one thread: the
search alone, and with the query of a policy of two towers before it. ``graph`` searches a million
vectors of 2,000 clusters in one thread, exactly and approximately. ``students/seed-N`` trains the
same ranker from a seed, teaches students what its blend says, and ranks the test events by all of
them; the settings of students were chosen on the validation events of other seeds.
"""

import json
import sys
from pathlib import Path
from statistics import fmean
from time import process_time

import torch
from lightrec_export.export import export
from lightrec_export.exported import Exported
from lightrec_export.index import Approximate, Flat
from torch import Tensor

from benchmarks.cells import Benchmark, markdown
from lightrec.__main__ import main as lightrec
from lightrec.data.sequences import Batch, Sequences
from lightrec.data.store import TEST
from lightrec.keys import Key
from lightrec.policies.base import session_start
from lightrec.policies.tower import TowerPolicy
from lightrec.ranking.blending import scorer
from lightrec.ranking.evaluation_events import EvaluationEvents
from lightrec.ranking.metrics import RankingResult, evaluate_scores
from lightrec.ranking.scorers import Scorer
from lightrec.run import Run

WAYS = {"full": {}, "int8": {"int8": True}, "half": {"size": 32}}
STUDENTS = {"student": {}, "student, half": {"size": 32, "layers": 1}}
SEEDS = (3, 4, 5)
SERVED = ("query.onnx", "query.pt2", "items.safetensors")
ITEMS, SIZE, K, USERS, SEEN = 10_000, 64, 10, 4_096, 100
CLUSTERED, CLUSTERS, SPREAD, ASKED = 1_000_000, 2_000, 0.6, 1_000
ROUNDS = 5
"""Times are those of the processor, in one thread; the best of so many."""


def exports(out: Path) -> dict[str, object]:
    """Train, export, and rank the test events by each export."""
    run, events = _trained(out, 0)
    metrics: dict[str, object] = {"events": sum(len(batch[Key.TARGET]) for batch in events)}
    results = {"run": _ranked(scorer(run.ranker), events)}
    for name, settings in WAYS.items():
        parity = export(run, out / name, what="ranker", **settings)["parity"]
        metrics |= {f"{name}/{key}": parity[key] for key in ("onnx", "torch", "top10", "text")}
        results[name] = _ranked(_scorer(Exported(out / name)), events)
        for file in SERVED:
            metrics[f"{name}/bytes/{file}"] = (out / name / file).stat().st_size
        whole = sum(f.stat().st_size for f in (out / name).rglob("*") if f.is_file())
        metrics[f"{name}/bytes"] = whole
    return metrics | _compared(results, "run")


def students(out: Path, seed: int) -> dict[str, object]:
    """Train, teach students, and rank the test events by all of them."""
    run, events = _trained(out, seed)
    metrics: dict[str, object] = {}
    results = {name: _ranked(scorer(getattr(run, name)), events) for name in ("blend", "ranker")}
    for name, settings in STUDENTS.items():
        made = export(run, out / name, distill="blend", seed=seed, **settings)
        taught = made["distilled"]
        metrics[f"{name}/epoch"] = taught["epoch"]
        parts = {**taught["parts"], name: taught["parts"]["student"]}
        for part in ("blend", "ranker", name):
            metrics |= {f"{part}/{key}": parts[part][key] for key in ("mib", "ms")}
            metrics[f"{part}/validation/ndcg@10"] = parts[part]["ndcg@10"]
        results[name] = _ranked(_scorer(Exported(out / name)), events)
        metrics[f"{name}/lead"] = list(results[name].bootstrap(results["ranker"]))
    return metrics | _compared(results, "blend")


def batch() -> dict[str, object]:
    """Search 10,000 items for many users at once."""
    generator = torch.Generator().manual_seed(0)
    policy = TowerPolicy(ITEMS, SIZE - 16, pools=4, history_length=20).eval()
    policy.set_items(torch.randn(ITEMS + 1, SIZE - 16, generator=generator))
    torch.nn.init.normal_(policy.query_network[-1].weight, generator=generator)
    histories = torch.randint(1, ITEMS + 1, (USERS, 20), generator=generator)
    seen = torch.randint(1, ITEMS + 1, (USERS, SEEN), generator=generator)
    with torch.inference_mode():
        index, queries = Flat(policy.item_table()), policy.query(session_start(histories))
        found = {
            "search": lambda: index.search(queries, K),
            "search, seen left out": lambda: index.search(queries, K, seen=seen),
            "tower and search": lambda: index.search(policy.query(session_start(histories)), K),
            "topk": lambda: (queries @ index.table.T + index.bias).topk(K),
        }
        return {f"{name}/users a second": USERS / _seconds(made) for name, made in found.items()}


def graph() -> dict[str, object]:
    """Search a million vectors exactly and approximately."""
    generator = torch.Generator().manual_seed(0)
    centres = torch.randn(CLUSTERS, SIZE, generator=generator)
    sizes = torch.rand(CLUSTERS, generator=generator).square()

    def drawn(count: int) -> Tensor:
        which = torch.multinomial(sizes, count, True, generator=generator)
        return centres[which] + SPREAD * torch.randn(count, SIZE, generator=generator)

    table, sample, asked = drawn(CLUSTERED + 1), drawn(ASKED), drawn(ASKED)
    bias = 2 * torch.randn(CLUSTERED + 1, generator=generator)
    flat = Flat(table, bias)
    began = process_time()
    near = Approximate(table, bias, sample)
    metrics: dict[str, object] = {"seconds to build": process_time() - began, "width": near.width}
    exact, found = flat.search(asked, K).items, near.search(asked, K).items
    metrics["recall@10"] = float((exact[:, :, None] == found[:, None]).any(2).float().mean())
    metrics["recall@10 of its sample"] = near.recall
    for name, index in {"flat": flat, "graph": near}.items():
        seconds = _seconds(lambda index=index: index.search(asked, K), 1 if name == "flat" else 3)
        metrics[f"{name}/queries a second"] = ASKED / seconds
        one = _seconds(lambda index=index: [index.search(each[None], K) for each in asked[:50]], 1)
        metrics[f"{name}/queries a second, one by one"] = 50 / one
    return metrics


def main() -> None:
    """Run the cells and print the table."""
    benchmark = Benchmark("exports")
    for key in ("ml-100k", "batch", "graph"):
        if benchmark.wants(key):
            command = [sys.executable, "-m", "benchmarks.exports", "{out}", key]
            benchmark.cell(key, command, 0, "metrics.json")
    for seed in SEEDS:
        if benchmark.wants(key := f"students/seed-{seed}"):
            command = [sys.executable, "-m", "benchmarks.exports", "{out}", "students", str(seed)]
            benchmark.cell(key, command, seed, "metrics.json")
    print(table(benchmark.cells), taught(benchmark.cells), sep="\n\n")


def table(cells: dict[str, dict]) -> str:
    """Set what was asked beside what was measured as a Markdown table."""
    rows = []
    if "ml-100k" in cells:
        own = cells["ml-100k"]["metrics"]
        found = max(own["full/onnx"]["scores"], own["full/torch"]["scores"])
        rows.append(["largest difference of a score", "1e-4", f"{found:.1g}"])
        ratio = sum(own[f"int8/bytes/{f}"] for f in SERVED) / sum(
            own[f"full/bytes/{f}"] for f in SERVED
        )
        rows.append(["int8: size of networks and rows", "30 %", f"{100 * ratio:.1f} %"])
        ratio = own["int8/bytes"] / own["full/bytes"]
        rows.append(
            ["int8: size of all, the text encoder included", "30 %", f"{100 * ratio:.1f} %"]
        )
        rows.append(["int8: same ten best", "98 %", f"{100 * own['int8/overlap@10']:.1f} %"])
        for name, asked in (("int8", "1 %"), ("half", "2 %")):
            lost = 1 - own[f"{name}/ndcg@10"] / own["run/ndcg@10"]
            rows.append([f"{name}: NDCG@10 lost", asked, f"{100 * lost:.1f} %"])
    if "graph" in cells:
        own = cells["graph"]["metrics"]
        rows.append(["a million vectors: recall@10", "0.98", f"{own['recall@10']:.3f}"])
        faster = own["graph/queries a second"] / own["flat/queries a second"]
        rows.append(["a million vectors: queries a second", "5 × flat", f"{faster:.1f} × flat"])
    if "batch" in cells:
        for name, value in cells["batch"]["metrics"].items():
            rows.append([f"10,000 items, one core: {name}", "20,000", f"{value:,.0f}"])
    return markdown(["what", "asked", "measured"], rows)


def taught(cells: dict[str, dict]) -> str:
    """Set students beside the blend and the ranker as a Markdown table, means over the seeds."""
    found = [cell["metrics"] for key, cell in cells.items() if key.startswith("students/")]
    rows = []
    for name in ("blend", "ranker", *STUDENTS) if found else ():
        kinds = "ndcg@10", "overlap@10", "mib", "ms"
        ndcg, same, mib, ms = (fmean(own[f"{name}/{kind}"] for own in found) for kind in kinds)
        leads = [own[f"{name}/lead"] for own in found if f"{name}/lead" in own]
        told = "; ".join(f"{mean:+.4f} ({low:+.4f} to {high:+.4f})" for mean, low, high in leads)
        same = f"{100 * same:.1f} %"
        rows.append([name, f"{ndcg:.4f}", told or "–", same, f"{mib:.1f}", f"{ms:.2f}"])
    seeds = "seed" if len(found) == 1 else "seeds"
    numbers = ", ".join(key.partition("-")[2] for key in cells if key.startswith("students/"))
    head = [f"{seeds} {numbers}", "NDCG@10", "less the ranker's (95 %)", "the blend's ten best"]
    return markdown([*head, "MiB", "ms a user"], rows)


def _trained(out: Path, seed: int) -> tuple[Run, list[Batch]]:
    """Train the ranker of the domain ``video``, and give the run and its test events."""
    command = ["run", "video", "--out", str(out / "run"), "--until", "ranker", "--seed", str(seed)]
    if status := lightrec(command):
        raise SystemExit(status)
    run = Run(out / "run")
    targets = Sequences.targets(run.data, TEST)
    events = EvaluationEvents(Sequences.all_events(run.data), targets, None, 256, None, 0)
    return run, [*events]


def _ranked(scores: Scorer, events: list[Batch]) -> RankingResult:
    return evaluate_scores(scores, events, list_length=K)


def _compared(results: dict[str, RankingResult], best: str) -> dict[str, object]:
    metrics: dict[str, object] = {}
    for name, result in results.items():
        same = (result.lists[:, :, None] == results[best].lists[:, None]).any(2)
        metrics[f"{name}/overlap@10"] = float(same.float().mean())
        metrics[f"{name}/ndcg@10"] = result.metrics()["ndcg@10"]
    return metrics


def _scorer(held: Exported) -> Scorer:
    return lambda batch: held.queries(batch[Key.HISTORY]) @ held.table.T + held.bias


def _seconds(made, rounds: int = ROUNDS) -> float:
    times = []
    for _ in range(rounds + 1):  # the first one warms up
        began = process_time()
        made()
        times.append(process_time() - began)
    return min(times[1:])


if __name__ == "__main__":
    if len(sys.argv) > 2 and not sys.argv[1].startswith("--"):
        torch.set_num_threads(1)
        folder, cell = Path(sys.argv[1]), sys.argv[2]
        cells = {"ml-100k": lambda: exports(folder), "batch": batch, "graph": graph}
        cells["students"] = lambda: students(folder, int(sys.argv[3]))
        made = cells[cell]()
        (folder / "metrics.json").write_text(json.dumps(made))
    else:
        main()
