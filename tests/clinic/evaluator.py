"""A metric."""

from markupsafe import Markup

from lightrec.evaluation.base import Evaluator, Findings, Section, Table


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
        table = Table(["<b>", "users"], [["under 18", f"{count:g}"]])
        section = Section("Minors & others", Markup("<script>alert()</script>"), [table])
        lines = f"{count:g} users are under 18."
        return Findings({self.key: count}, [section], [lines], lines)
