"""The evaluator of a learned reward in a world whose truth is known."""

import torch
from scipy.stats import rankdata
from torch import Tensor

from lightrec.api import Run
from lightrec.evaluation.base import Evaluator, Findings, Section, Table
from lightrec.simulators.worlds.far_log import HeldOut

TRUTH = {
    "learned": "learned reward",
    "logit": "conditional logit (γ = 0)",
    "popularity": "popularity",
}
"""Titles of what is compared with the truth of a world."""


class KnownTruth(Evaluator):
    """In a world whose truth is known: how a learned reward orders the items of an offer."""

    def evaluate(self, run: Run, seed: int) -> Findings:
        """``truth/<score>/spearman``; nothing where the run's log is a real one."""
        path = run.folder("data") / "truth.safetensors"
        if not (path.is_file() and run.has("users_a")):
            return Findings({})
        held_out = HeldOut.load(path)
        offers = held_out.history, held_out.candidates
        popularity = torch.from_numpy(run.data.popularity()).float()
        with torch.inference_mode():
            scores = {
                "learned": run.users_a.reward(*offers),
                "logit": run.users_a.utilities(*offers),
                "popularity": popularity[held_out.candidates],
                "value": held_out.value,
            }
        metrics = {
            f"truth/{name}/spearman": spearman_within_sets(score, held_out.reward)
            for name, score in scores.items()
        }
        head = {"spearman": "Spearman"}
        section = Section(
            "The truth, known in this world",
            "Mean within-set Spearman correlation of each score with the true reward, over the "
            "candidates of fresh sessions that no stage has seen.",
            [Table.of(metrics, "truth/{}/{}", TRUTH, head, own="learned reward")],
        )
        said = (f"{name} {metrics[f'truth/{name}/spearman']:.3f}" for name in TRUTH)
        line = "within-set Spearman with the true reward: " + ", ".join(said)
        return Findings(metrics, [section], summary=line)


def spearman_within_sets(score: Tensor, truth: Tensor) -> float:
    """The mean of Spearman's correlation over the sets, rows (S, C), in which both vary.

    Equal values share their mean rank. It is 0 where there is no such set.
    """
    ranks = [rankdata(x.double().numpy(), axis=1) for x in (score, truth)]
    left, right = (r - r.mean(1, keepdims=True) for r in ranks)
    scale = ((left**2).sum(1) * (right**2).sum(1)) ** 0.5
    correlations = (left * right).sum(1)[scale > 0] / scale[scale > 0]
    return float(correlations.mean()) if len(correlations) else 0.0
