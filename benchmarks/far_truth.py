"""One cell of the benchmark `far`: the stages up to the reward, and the truth beside it."""

import argparse
import json
from pathlib import Path

import lightrec
from lightrec.evaluation.user_models import KnownTruth
from lightrec.run import Run


def main() -> None:
    """Run the stages and write ``metrics.json``."""
    parser = argparse.ArgumentParser()
    parser.add_argument("out", type=Path)
    parser.add_argument("seed", type=int)
    chosen = parser.parse_args()
    run = lightrec.fit("generic", out=chosen.out, offline=True, seed=chosen.seed, until="users_a")
    metrics = dict(KnownTruth().evaluate(Run(run), chosen.seed).metrics)
    gain = metrics["truth/learned/spearman"] - metrics["truth/logit/spearman"]
    metrics |= {"truth/gain": gain} | json.loads((run / "users_a" / "metrics.json").read_text())
    (chosen.out / "metrics.json").write_text(json.dumps(metrics))


if __name__ == "__main__":
    main()
