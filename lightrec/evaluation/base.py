"""The base class of evaluators, and what they find."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from lightrec.evaluation.sections import Chart, Section
from lightrec.run import Run


@dataclass(frozen=True)
class Findings:
    """What an evaluator found, as numbers and as parts of the report.

    :param metrics: flat keys such as ``test/ndcg@10``; finite numbers only.
    :param sections: of the page.
    :param verdict: whole sentences that open the page, the unwelcome ones included.
    :param summary: a table for the terminal.
    :param headline: charts of the picture that shows the whole result.
    """

    metrics: Mapping[str, float]
    sections: Sequence[Section] = ()
    verdict: Sequence[str] = ()
    summary: str = ""
    headline: Sequence[Chart] = ()


class Evaluator(ABC):
    """Turns a finished run into metrics and sections of the report.

    Subclass it in a plugin, return the class from ``lightrec_evaluators``, and name it in the
    recipe ``evaluate.yaml`` under ``evaluators``.
    """

    @abstractmethod
    def evaluate(self, run: Run, seed: int) -> Findings:
        """Compute metrics, and say what they mean.

        :param run: the run, with the stages before ``evaluate`` finished. It is only read.
        :param seed: whatever is drawn is drawn from it, so that the same run gives the
            same metrics.
        """
