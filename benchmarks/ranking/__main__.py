"""lightrec's ranker and its peers on one log and one split: `make bench NAME=ranking`.

Arguments: ``--log PATH`` (or the variable LIGHTREC_BENCH_LOG; else the domain's sample),
``--only NAME …``, ``--seed N``, ``--cap SECONDS`` and ``--fresh``. MovieLens-100K is what the
table is about. BERT4Rec takes hundreds of epochs, so that it is only run where it is named.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.cells import Benchmark
from benchmarks.ranking.environments import environment
from benchmarks.ranking.export import export
from benchmarks.ranking.peers.protocol import CAP
from benchmarks.ranking.table import numbers, table, towers

THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "ARROW_NUM_THREADS")
PEERS = {
    "replay-sasrec": ("replay", "replay_sasrec.py", []),
    "rectools-sasrec": ("rectools", "rectools_transformers.py", ["sasrec"]),
    "rectools-esasrec": ("rectools", "rectools_transformers.py", ["esasrec"]),
    "recbole-gru4rec": ("recbole", "recbole_gru4rec.py", []),
    "torch-pooling": ("rectools", "torch_pooling.py", []),
    "implicit-als": ("implicit", "implicit_als.py", []),
    "rectools-bert4rec": ("rectools", "rectools_transformers.py", ["bert4rec"]),
}
OPTIONAL = {"rectools-bert4rec"}
RANDOM = {"model.init_args.start": "random"}
OWN = {
    "lightrec": {"model.init_args.start": "cooccurrence"},
    "lightrec-random-start": RANDOM,
    "lightrec-ligr-random-start": RANDOM | {"model.init_args.tower": "LigrTransformer"},
    "lightrec-gru-random-start": RANDOM | {"model.init_args.tower": "GRU"},
    # Fewest weights, smallest gradients: from a random start it takes more epochs than the others.
    "lightrec-pooling-random-start": RANDOM
    | {"model.init_args.tower": "MeanPooling", "trainer.max_epochs": "40"},
}
LENGTH = "100"


def run_data(log: Path | None, out: str) -> list[str]:
    """Give the command that prepares the log, with what both its callers add to it."""
    given = ["--log", "{log}"] if log else []
    return [sys.executable, "-m", "lightrec", "run", "video", *given, "--out", out]


def lightrec_command(log: Path | None, own: dict[str, str], seed: int) -> list[str]:
    """Give the ranker stage's command: its shipped recipe with ids alone and the sizes asked.

    :param own: settings in which this cell differs from the others.
    """
    settings = {
        "data.init_args.text_encoder": "null",
        "data.init_args.max_length": LENGTH,
        "model.init_args.max_length": LENGTH,
        "model.init_args.size": "64",
        "trainer.accelerator": "cpu",
    } | own
    command = [*run_data(log, "{out}/video"), "--seed", str(seed), "--until", "ranker"]
    for name, value in settings.items():
        command += [f"--ranker.{name}", value]
    command.append("--ranker.trainer.callbacks+=benchmarks.ranking.callback.TrainingCourse")
    course = {"split": "{split}", "out": "{out}/metrics.json", "max_length": LENGTH}
    return command + [f"--ranker.trainer.callbacks.{n}={v}" for n, v in course.items()]


def main() -> None:
    """Run the cells and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ranking")
    parser.add_argument("--log", type=Path, default=os.environ.get("LIGHTREC_BENCH_LOG"))
    parser.add_argument("--only", nargs="*", choices=[*OWN, *PEERS], default=None)
    parser.add_argument("--seed", type=int, default=0, help="other seeds have cells of their own")
    parser.add_argument("--cap", default=CAP, help="CPU seconds of training for each peer")
    parser.add_argument("--fresh", action="store_true")
    chosen = parser.parse_args()
    log = Path(chosen.log).absolute() if chosen.log else None
    os.environ |= dict.fromkeys(THREADS, "1")
    benchmark = Benchmark("ranking")
    with tempfile.TemporaryDirectory() as folder:
        prepare = [part.format(log=log) for part in run_data(log, f"{folder}/video")]
        subprocess.run([*prepare, "--until", "data"], check=True)
        split = Path(folder) / "split.npz"
        export(Path(folder) / "video" / "data", split)
        for name in chosen.only or [n for n in (*OWN, *PEERS) if n not in OPTIONAL]:
            key = f"ml-100k/{name}" + (f"/seed-{chosen.seed}" if chosen.seed else "")
            if name in OWN:
                command = lightrec_command(log, OWN[name], chosen.seed)
                benchmark.cell(key, command, chosen.seed, "metrics.json", split=split, log=log)
                continue
            where, script, more = PEERS[name]
            # The environment is only made where the cell has yet to be measured.
            python = "" if benchmark.has(key) else environment(where)
            script = os.path.relpath(Path(__file__).parent / "peers" / script)
            command = [python, script, "{split}", "{out}/metrics.json", str(chosen.seed)]
            command += [*more, chosen.cap]
            benchmark.cell(key, command, chosen.seed, "metrics.json", split=split)
    benchmark.numbers = numbers(benchmark.cells)
    benchmark.write()
    print(table(benchmark.cells), towers(benchmark.cells), sep="\n\n")


if __name__ == "__main__":
    main()
