"""The cost of healthier lists in liking: the whole trade-off, from held-out events."""

from collections.abc import Mapping
from typing import Final

import torch
from torch import Tensor
from torch.nn.functional import pad

from lightrec.api import (
    PADDING,
    Curve,
    Evaluator,
    Findings,
    HeldOutLog,
    Key,
    NotApplicable,
    RecipeError,
    RewardContext,
    Run,
    Section,
    Table,
    by_history,
)
from lightrec.data.domain import LogMask
from lightrec.ranking.metrics import rankable
from lightrec_health.domain import HealthDomain
from lightrec_health.harm import SCORE, is_asked
from lightrec_health.reward import health_scores

TITLE: Final = "Liking and health"
SHOWN: Final = 10
_NDCG: Final = f"ndcg@{SHOWN}"


class HealthTradeOff(Evaluator):
    """Re-ranks the blend's scores by health, with weights from 0 to 1, and measures both.

    :param attribute: of the items, a number from 0 to 1, high for what is healthy.
    :param steps: equal steps from weight 0 to weight 1.
    :param max_events: at most so many test events, drawn by the seed; None for all.
    :raises RecipeError: where there is no step.
    """

    def __init__(
        self, attribute: str = SCORE, steps: int = 10, max_events: int | None = 20_000
    ) -> None:
        if steps < 1:
            raise RecipeError(f"steps is {steps}; the trade-off takes 1 or more.")
        self.attribute, self.steps, self.max_events = attribute, steps, max_events

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``health/WEIGHT/ndcg@10`` and ``health/WEIGHT/score``, the mean of what is shown.

        Where the items have no health score there are no metrics, and the section says why.
        """
        try:
            column = RewardContext(store=run.data).item_attribute(self.attribute)
            health = pad(health_scores(column), (1, 0))
        except NotApplicable as error:
            return Findings({}, [Section(TITLE, str(error), note=HealthDomain.disclaimer)])
        metrics: dict[str, float] = {}
        log, liking = HeldOutLog(self.max_events), by_history(run.blend)
        allowed = LogMask(run.data)
        for weight in self.weights:

            def scores(batch: Mapping[str, Tensor], weight: float = weight) -> Tensor:
                liked, may = liking(batch), allowed(batch[Key.USER], batch[Key.END])
                shown = rankable(liked, batch[Key.SEEN], eligible=may)
                return traded_off(liked, health, weight, shown)

            result, key = log.rank(run.data, scores, seed), f"health/{weight:.2f}"
            if len(result.ranks):
                shown = result.lists[result.lists != PADDING]
                metrics[f"{key}/{_NDCG}"] = result.metrics([SHOWN])[_NDCG]
                metrics[f"{key}/score"] = float(health[shown].sum() / max(len(shown), 1))
        return Findings(metrics, [self.section(run, metrics)])

    @property
    def weights(self) -> list[float]:
        """The weights of health, ascending."""
        return [step / self.steps for step in range(self.steps + 1)]

    def section(self, run: Run, metrics: dict[str, float]) -> Section:
        """Set the trade-off as a table and a curve."""
        attributes = is_asked(run.data.users)
        checked = (
            f"Nothing is shown that goes against the {' or the '.join(attributes)} of its user."
            if attributes
            else "Nobody was asked for allergies or conditions, so nothing was left out for them."
        )
        rows = {f"{weight:.2f}": f"{weight:.2f}" for weight in self.weights}
        columns = {_NDCG: "NDCG@10", "score": "health score shown"}
        table = Table.of(metrics, "health/{}/{}", rows, columns, "weight of health")
        text = (
            "Lists are made again with a weight of health: 0 is the blend's own order, 1 that of "
            f"health alone. NDCG@10 says how well the held-out events are ranked, the score is the "
            f"mean of the ten items shown. {checked}"
        )
        labels = "mean health score of what is shown", "NDCG@10"
        scores, ndcg = ([float(row[column]) for row in table.rows] for column in (2, 1))
        curve = Curve(scores, ndcg, labels, TITLE, [row[0] for row in table.rows])
        return Section(TITLE, text, [table], [curve], HealthDomain.disclaimer)


def traded_off(scores: Tensor, health: Tensor, weight: float, shown: Tensor) -> Tensor:
    """Weigh scores with health: (1 − weight) · liking + weight · health.

    Liking is the score on a scale from 0, that of the lowest item that may be shown to the user, to
    1, that of the highest.

    :param scores: (B, N + 1) of any scale.
    :param health: (N + 1,) from 0 to 1.
    :param shown: (B, N + 1) bool, what may be shown.
    :returns: (B, N + 1); what may not be shown has some finite number.
    """
    low = scores.masked_fill(~shown, torch.inf).amin(1, keepdim=True)
    high = scores.masked_fill(~shown, -torch.inf).amax(1, keepdim=True)
    liking = ((scores - low) / (high - low).clamp_min(1e-12)).masked_fill(~shown, 0.0)
    return (1 - weight) * liking + weight * health
