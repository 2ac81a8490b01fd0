"""In worlds whose truth is known: how far a learned reward orders items as the true one does."""

from collections.abc import Mapping

import torch
from scipy.stats import rankdata
from torch import Tensor

from lightrec.evaluation.base import Evaluator, Findings
from lightrec.evaluation.sections import Section, Table, number
from lightrec.run import Run
from lightrec.simulators.worlds.far_log import HeldOut

TITLES = {
    "learned": "learned reward",
    "logit": "conditional logit (γ = 0)",
    "popularity": "popularity",
}


class KnownTruth(Evaluator):
    """In a world whose truth is known: how a learned reward orders the items of an offer."""

    def evaluate(self, run: Run, seed: int) -> Findings:
        """Give ``truth/<score>/spearman``; nothing where the run's log is a real one."""
        path = run.folder("data") / "truth.safetensors"
        if not path.is_file():
            return Findings({})
        held_out = HeldOut.load(path)
        users = run.users_a
        popularity = torch.from_numpy(run.data.popularity()).float()
        with torch.inference_mode():
            scores = {
                "learned": users.reward(held_out.history, held_out.candidates),
                "logit": users.utilities(held_out.history, held_out.candidates),
                "popularity": popularity[held_out.candidates],
                "value": held_out.value,
            }
        metrics = {
            f"truth/{name}/spearman": spearman_within_sets(score, held_out.reward)
            for name, score in scores.items()
        }
        return Findings(metrics, [section(metrics)], summary=line(metrics))


def spearman_within_sets(score: Tensor, truth: Tensor) -> float:
    """Give the mean over sets of Spearman's correlation; equal values share their mean rank.

    :param score: ``(S, C)``: one set of C candidates a row.
    :param truth: ``(S, C)``.
    :returns: the mean over sets in which both vary; 0 where there is none.
    """
    ranks = [rankdata(x.double().numpy(), axis=1) for x in (score, truth)]
    left, right = (r - r.mean(1, keepdims=True) for r in ranks)
    scale = ((left**2).sum(1) * (right**2).sum(1)) ** 0.5
    varied = scale > 0
    if not varied.any():
        return 0.0
    return float(((left * right).sum(1)[varied] / scale[varied]).mean())


def section(metrics: Mapping[str, float]) -> Section:
    """Show how much of the truth was recovered."""
    rows = [[title, number(metrics[f"truth/{n}/spearman"])] for n, title in TITLES.items()]
    return Section(
        "The truth, known in this world",
        "Mean within-set Spearman correlation of each score with the true reward, over the "
        "candidates of fresh sessions that no stage has seen.",
        [Table(["", "Spearman"], rows, "learned reward")],
    )


def line(metrics: Mapping[str, float]) -> str:
    """Set how much of the truth was recovered; nothing in a log of people."""
    if "truth/learned/spearman" not in metrics:
        return ""
    found = (f"{name} {metrics[f'truth/{name}/spearman']:.3f}" for name in TITLES)
    return "within-set Spearman with the true reward: " + ", ".join(found)
