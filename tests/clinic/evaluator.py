"""A metric."""

from lightrec.data.store import EventStore
from lightrec.evaluation.base import Evaluator


class Minors(Evaluator):
    """Counts the users who are not of age.

    :param key: of the metric.
    :param fault: what goes wrong: ``nan``, ``error``, or nothing.
    """

    def __init__(self, key: str = "clinic/minors", fault: str = "") -> None:
        self.key, self.fault = key, fault

    def evaluate(self, run, work, seed):
        ages = EventStore.open(run / "data").users["age"].cast(int)
        if self.fault == "error":
            return {self.key: ages["month"]}
        return {self.key: float("nan") if self.fault == "nan" else float((ages < 18).sum())}
