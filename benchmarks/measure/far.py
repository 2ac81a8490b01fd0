"""The reward that a run learns in the world `far`, beside the truth."""

from lightrec_audit.user_models import KnownTruth

from benchmarks.measure import Cell


def measure(cell: Cell) -> dict[str, float]:
    """Do the stages up to the reward."""
    run = cell.run("generic", "--offline", "--until", "users_a", *cell.options)
    metrics = dict(KnownTruth().evaluate(run, cell.seed).metrics)
    gain = metrics["truth/learned/spearman"] - metrics["truth/logit/spearman"]
    return metrics | {"truth/gain": gain}
