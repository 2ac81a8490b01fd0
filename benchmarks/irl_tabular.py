"""Exact tabular inverse reinforcement learning: `make bench NAME=irl_tabular`.

The frozen problem of `imitation` 1.0.1 (10 states × 4 actions, horizon 20), whose numbers, kept in
the same file, stand beside ours; and random problems of 50 states × 8 actions. The file is
``mce_irl.npz`` in the folder that ``LIGHTREC_TEST_REFERENCE`` names. ``--measure FILE FOLDER`` does
the measuring and writes ``metrics.json``.
"""

import json
import os
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks.cells import Benchmark, markdown
from benchmarks.tabular_irl import (
    TabularProcess,
    TabularReward,
    fit_occupancy,
    occupancy,
    soft_policy,
)

RUNS = 5
PEERS = {"imitation": "exact_default_lr1e-2_1000it", "imitation, finer": "exact_lr5e-2_3000it"}


def timed(process: TabularProcess, expert: np.ndarray) -> tuple[TabularReward, float]:
    """Fit a few times; give the result and the CPU seconds of the fastest."""
    seconds = []
    for _ in range(RUNS):
        begin = time.process_time()
        found = fit_occupancy(process, expert)
        seconds.append(time.process_time() - begin)
    return found, min(seconds)


def frozen(path: Path) -> dict[str, float]:
    """Recover the frozen expert, and quote what imitation reached."""
    given = np.load(path)
    process = TabularProcess(given["T"], given["p0"], 20)
    # There the state after the last action is counted and not rewarded.
    visits = TabularProcess(given["T"], given["p0"], 21)
    found, seconds = timed(process, given["expert_D"][:20].sum(0))
    policy = np.concatenate([found.policy, found.policy[-1:]])
    error = abs(occupancy(visits, policy) - given["expert_Dcum"]).max()
    metrics = {
        "lightrec/seconds": seconds,
        "lightrec/error": float(error),
        "lightrec/evaluations": found.evaluations,
    }
    theirs = json.loads(str(given["metrics_json"]))
    for name, key in PEERS.items():
        metrics[f"{name}/seconds"] = theirs[key]["time_s"]
        metrics[f"{name}/error"] = theirs[key]["occ_Linf_vs_true_expert"]
    return metrics


def drawn(kind: str, horizon: int | None, discount: float) -> dict[str, float]:
    """Recover experts in ten random worlds; give the means of seconds and the largest error."""
    seconds, errors = [], []
    for seed in range(10):
        draw = np.random.default_rng(seed)
        transitions = draw.dirichlet(np.ones(50), (50, 8))
        transitions /= transitions.sum(-1, keepdims=True)
        process = TabularProcess(transitions, draw.dirichlet(np.ones(50)), horizon, discount)
        shape = (50,) if kind == "state" else (50, 8)
        policy = soft_policy(process, draw.normal(size=shape)).probabilities
        expert = occupancy(process, policy, actions=kind != "state")
        found, once = timed(process, expert)
        seconds.append(once)
        errors.append(abs(found.occupancy - expert).max())
    name = f"50x8, reward of {kind}, " + (f"horizon {horizon}" if horizon else f"γ {discount}")
    return {f"{name}/seconds": float(np.mean(seconds)), f"{name}/error": float(max(errors))}


def measure(path: Path, folder: Path) -> None:
    """Measure everything and write ``metrics.json``."""
    metrics = frozen(path)
    for kind in ("state", "state and action"):
        metrics |= drawn(kind, 20, 1.0) | drawn(kind, None, 0.95)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "metrics.json").write_text(json.dumps(metrics))


def main() -> None:
    """Run the cell and print the table."""
    if "--measure" in sys.argv:
        place = sys.argv.index("--measure")
        measure(Path(sys.argv[place + 1]), Path(sys.argv[place + 2]))
        return
    path = Path(os.environ["LIGHTREC_TEST_REFERENCE"]) / "mce_irl.npz"
    benchmark = Benchmark("irl_tabular")
    command = [sys.executable, "-m", "benchmarks.irl_tabular", "--measure"]
    benchmark.cell(
        "exact",
        [*command, "{reference}", "{out}/measured"],
        0,
        "measured/metrics.json",
        reference=path,
    )
    print(table(benchmark.cells))


def table(cells: dict[str, dict]) -> str:
    """Set seconds and errors as Markdown, lightrec and its peer first."""
    found = cells["exact"]["metrics"]
    names = [key.removesuffix("/error") for key in found if key.endswith("/error")]
    names.sort(key=lambda name: (name.startswith("50x8"), name != "lightrec", len(name), name))
    rows = [
        [name, f"{found[f'{name}/seconds']:.4f}", f"{found[f'{name}/error']:.1e}"] for name in names
    ]
    return markdown(["", "seconds", "largest error of the occupancy"], rows)


if __name__ == "__main__":
    main()
