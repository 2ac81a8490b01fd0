"""What the report shows of the user models."""

import json

from lightrec.data.files import RELIABILITY
from lightrec.evaluation.base import Curve, Metrics, Section, Table
from lightrec.run import Run

MODELS = {"a": "user model A", "b": "user model B"}
COLUMNS = {
    "log_likelihood": "log-likelihood",
    "popularity": "popularity",
    "calibration_error": "calibration error",
    "temperature": "temperature",
}
PARTS = {
    f"{model}/{name}": f"{title}, user model {model.upper()}"
    for name, title in {
        "leaving": "leaving after a step",
        "value": "value of what was chosen",
        "return": "time until the next session",
    }.items()
    for model in MODELS
}
SEEN = 20
"""Bins with fewer forecasts are not drawn."""


def user_models_section(run: Run, metrics: Metrics) -> Section:
    """Show how well the user models predict held-out choices, leaving, values and returns."""
    compared = {"log_likelihood": "log-likelihood", "constant": "same for all users"}
    choices = Table.of(metrics, "choice/{}/{}", MODELS, COLUMNS)
    parts = Table.of(metrics, "choice/{}/{}", PARTS, compared)
    return Section(
        "The user models",
        "Mean log-likelihood of a held-out choice among its candidates, in nats (higher is "
        "better), next to a model that knows popularity only, fitted in the same way; the expected "
        "calibration error of the probabilities of all alternatives; and the temperature by which "
        "validation choices calibrated them.",
        [choices, parts] if parts.rows else [choices],
        [*filter(None, (calibration(run, name) for name in MODELS))],
        returns_left_out(metrics),
    )


def calibration(run: Run, model: str) -> Curve | None:
    """Draw how often forecasts of held-out choices came true; None where it was not noted."""
    path = run.folder(f"users_{model}") / RELIABILITY
    if not path.is_file():
        return None
    counts = json.loads(path.read_text(encoding="utf-8"))
    return Curve.of_reliability(counts, MODELS[model], SEEN)


def returns_left_out(metrics: Metrics) -> str:
    """Say why the days until users come back are missing; nothing where they are not."""
    found = metrics.get("choice/b/return/log_likelihood")
    if found is None or any(key.endswith("/days_away") for key in metrics):
        return ""
    start = "The days until users of model B come back are left out: "
    if found <= metrics["choice/b/return/constant"]:
        return f"{start}held-out sessions are predicted no better than by one law for all users."
    return f"{start}most users are not expected back within the time that the log spans."
