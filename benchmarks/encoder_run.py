"""Train an encoder, rank the held-out log with it and with every item model, write the metrics.

Used by benchmark cells: ``python -m benchmarks.encoder_run OUT DOMAIN [lightrec run's options]``.
"""

import json
import sys
import time
from pathlib import Path

from lightrec.__main__ import main as lightrec
from lightrec.evaluation.held_out import HeldOutLog
from lightrec.run import Run


def main() -> None:
    """Run, and leave ``metrics.json`` in the folder OUT."""
    out, *arguments = sys.argv[1:]
    run = Path(out) / "run"
    status = lightrec(["run", *arguments, "--out", str(run), "--until", "ranker"])
    if status:
        raise SystemExit(status)
    seconds = time.process_time()
    metrics = HeldOutLog(max_events=None).without_policy(Run(run), 0)
    metrics |= json.loads((run / "ranker" / "metrics.json").read_text())
    metrics["encoder_cpu_seconds"] = round(seconds, 1)
    (Path(out) / "metrics.json").write_text(json.dumps(metrics, indent=2, sort_keys=True))


if __name__ == "__main__":
    main()
