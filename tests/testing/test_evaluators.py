"""Each check of an evaluator fails for an evaluator that is wrong in just that."""

import itertools

import pytest
import torch

from lightrec.evaluation.base import Evaluator, Findings
from lightrec.testing import EvaluatorChecks, check_all


class Right(Evaluator):
    """Counts the run's files."""

    def evaluate(self, run, seed):
        return Findings({"files/count": len(list(run.path.iterdir())), "seed/half": seed / 2})


class Nested(Right):
    def evaluate(self, run, seed):
        return Findings({("files", "count"): 1.0})


class Tensors(Right):
    def evaluate(self, run, seed):
        return Findings({"files/share": torch.tensor(1.0)})


class Counting(Right):
    calls = itertools.count()

    def evaluate(self, run, seed):
        return Findings({"files/calls": float(next(self.calls))})


class WritesIntoTheRun(Right):
    calls = itertools.count()

    def evaluate(self, run, seed):
        (run.path / "notes").write_text(str(next(self.calls)))
        return Findings({"files/share": 1.0})


@pytest.fixture
def run(tmp_path):
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "metrics.json").write_text("{}")
    return tmp_path / "run"


def test_a_right_one_passes(run, failing):
    assert failing(EvaluatorChecks(Right, run)) == set()
    assert failing(EvaluatorChecks(Right, lambda: run)) == set()
    check_all(EvaluatorChecks(Right, run))


@pytest.mark.parametrize(
    ("wrong", "names"),
    [
        (Nested, {"metrics"}),
        (Tensors, {"metrics"}),
        (Counting, {"deterministic"}),
        (WritesIntoTheRun, {"input unchanged"}),
    ],
)
def test_a_wrong_one_fails(wrong, names, run, failing):
    assert failing(EvaluatorChecks(wrong, run)) == names
