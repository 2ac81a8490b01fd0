"""The base class of evaluators."""

from abc import ABC, abstractmethod
from pathlib import Path


class Evaluator(ABC):
    """Turns a finished run into metrics.

    Subclass it in a plugin, return the class from ``lightrec_evaluators``, and name it in the
    recipe ``evaluate.yaml`` under ``evaluators``.
    """

    @abstractmethod
    def evaluate(self, run: Path, work: Path, seed: int) -> dict[str, float]:
        """Compute metrics.

        :param run: the run folder, with the stages ``data`` to ``policy`` finished.
        :param work: a folder for partial results, kept if the process is killed and gone when the
            stage is finished.
        :param seed: whatever is drawn is drawn from it, so that the same run gives the
            same metrics.
        :returns: flat keys such as ``test/ndcg@10``; finite numbers only.
        """
