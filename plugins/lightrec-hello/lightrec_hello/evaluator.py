"""Metrics, and a section of the report."""

from lightrec.api import Evaluator, Findings, Run, Section, Table


class HelloEvaluator(Evaluator):
    """The share of the items that anybody has chosen."""

    def evaluate(self, run: Run, seed: int) -> Findings:
        """Count the items with a training event."""
        counts = run.data.popularity()[1:].tolist()
        share = sum(count > 0 for count in counts) / len(counts)
        table = Table(["items", "share"], [["chosen by anybody", f"{share:.0%}"]])
        text = "How many of the items have a training event."
        return Findings({"hello/chosen": share}, [Section("Items that are chosen", text, [table])])
