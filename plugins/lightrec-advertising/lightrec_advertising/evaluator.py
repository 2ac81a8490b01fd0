"""The worth of the click model, and whether its probabilities can be paid for."""

import json

from lightrec.api import Curve, Evaluator, Findings, Run, Section, Table
from lightrec.data.files import RELIABILITY

ROWS = {"crossed": "crossed features", "logistic": "logistic regression", "base": "the base rate"}
COLUMNS = {"log_loss": "log-loss (nats)", "calibration_error": "calibration error"}


class ClickCalibration(Evaluator):
    """Log-loss and calibration of the stage `clicks`, on the offers of the test part."""

    def evaluate(self, run: Run, seed: int) -> Findings:
        """The metrics of the stage; nothing where a run has none."""
        metrics = run.metrics("clicks") if run.has("clicks") else {}
        if not metrics:
            return Findings({})
        counts = json.loads((run.folder("clicks") / RELIABILITY).read_text())
        curve = Curve.of_reliability(counts, "clicks")
        text = (
            f"{metrics['clicks/rows']:,.0f} offers of the test part, of which "
            f"{metrics['clicks/rate']:.1%} were clicked. The calibration error is the mean distance"
            " between prediction and share of clicks over ten groups of equal size. A bid is "
            "multiplied by the probability, so that a bias of it is paid for."
        )
        table = Table.of(metrics, "clicks/{}/{}", ROWS, COLUMNS, "model", "crossed features")
        return Findings(metrics, [Section("Click probabilities", text, [table], [curve])])
