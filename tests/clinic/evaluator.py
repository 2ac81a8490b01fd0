"""A metric."""

from lightrec.evaluation.base import Evaluator, Findings


class Minors(Evaluator):
    """Counts the users who are not of age.

    :param key: of the metric.
    :param fault: what goes wrong: ``nan``, ``error``, or nothing.
    """

    def __init__(self, key: str = "clinic/minors", fault: str = "") -> None:
        self.key, self.fault = key, fault

    def evaluate(self, run, seed):
        ages = run.data.users["age"].cast(int)
        if self.fault == "error":
            return Findings({self.key: ages["month"]})
        count = float("nan") if self.fault == "nan" else float((ages < 18).sum())
        return Findings({self.key: count}, summary=f"{count:g} users are under 18.")
