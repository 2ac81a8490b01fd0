"""Rankers of a run's items: the values of ``--by``, and those that lightrec brings."""

from contextlib import nullcontext
from typing import Self

from torch import Tensor

from lightrec import plugins
from lightrec.blame import blaming
from lightrec.errors import RunError
from lightrec.nn.session import State
from lightrec.policies.base import ScoredPolicy, among_candidates
from lightrec.policies.mixture import Earlier, Mixture, utilities
from lightrec.ranking.blend import Blend
from lightrec.ranking.scorers import ItemScorer, by_history
from lightrec.run import Run

WEIGHT = "simulator/mixture/weight"
"""Key of ``metrics.json``: of user model A's utilities in the mixture, chosen by its sessions."""


class RunRanker(ScoredPolicy):
    """Ranks a run's items by what scores them, which may read more of a history than a state has.

    This one ranks by the blend, which says what comes next.

    :param num_items: number of items N.
    :param scorer: what scores all items.
    :param about: a sentence about it that belongs beside its lists, such as what it does not know.
    """

    def __init__(self, num_items: int, scorer: ItemScorer, about: str = "") -> None:
        super().__init__(num_items)
        self.scorer, self.about = scorer, about

    @classmethod
    def from_run(cls, run: Run) -> Self:  # type: ignore[override]
        """Make it of a run; :attr:`~lightrec.run.Run.judged` says which events it has learned."""
        scorer, about = cls.scorer_of(run)
        return cls(run.data.num_items, scorer, about)

    @classmethod
    def scorer_of(cls, run: Run) -> tuple[ItemScorer, str]:
        """The scorer of a run's items, and what is to be said of it."""
        return run.served, ""

    def logits(self, state: State) -> Tensor:
        """Scores of a state's columns, as if its session were to begin."""
        return among_candidates(state, by_history(self.scorer)(state))


def ranker_of(run: Run, by: str) -> RunRanker:
    """The ranker of a run's items, by a value of ``--by``; see the hook ``lightrec_rankers``.

    :raises PluginError: where no installed package provides it.
    :raises RunError: where the run lacks a stage, or no weight was chosen for its mixture.
    """
    kind = plugins.installed().get("rankers", by).load()
    # What fails in lightrec's own is a damaged run, which the command line looks for.
    of_core = kind.__module__.startswith("lightrec.")
    with nullcontext() if of_core else blaming(kind, "rank a run's items"):
        made = kind.from_run(run)
    return made if isinstance(made, RunRanker) else RunRanker(run.data.num_items, made)


class ByRanker(RunRanker):
    """Ranks by the blend's transformer alone."""

    @classmethod
    def scorer_of(cls, run: Run) -> tuple[ItemScorer, str]:
        """The run's ranker."""
        return Blend(run.ranker), ""


class ByPolicy(RunRanker):
    """Ranks by the policy: the long run."""

    @classmethod
    def scorer_of(cls, run: Run) -> tuple[ItemScorer, str]:
        """The run's policy, or that of an earlier version."""
        learned = run.holding("policy")
        if learned is run:
            return run.policy, ""
        older = Earlier(learned.policy, run.data, learned.data)
        return older, _of_version("The policy", learned, older)


class ByEvenMixture(RunRanker):
    """Ranks by the even mixture of the blend's transformer and user model A."""

    @classmethod
    def scorer_of(cls, run: Run) -> tuple[ItemScorer, str]:
        """The mixture with the run's user model A, or with that of an earlier version."""
        learned, liked, about = run.holding("users_a"), None, ""
        users, weight = learned.users_a, cls.weight(learned)
        if learned is not run:
            older = Earlier(users, run.data, learned.data)
            liked, about = older.scores, _of_version("User model A", learned, older)
        if weight is None:
            return Mixture.even(run.served, users, liked), about
        return Mixture(run.served, liked or utilities(users), weight), about

    @staticmethod
    def weight(learned: Run) -> float | None:
        """The weight that user model A's utilities have beside the blend; None for even."""
        return None


class ByMixture(ByEvenMixture):
    """Ranks by the mixture of the blend and user model A whose sessions were best in A."""

    @staticmethod
    def weight(learned: Run) -> float | None:
        """The weight that the run's evaluation chose."""
        weight = learned.metrics().get(WEIGHT) if learned.has("evaluate") else None
        if weight is None:
            raise RunError(
                f"{learned.path} has no weight for the mixture, which the sessions of its stage "
                "evaluate choose. Finish the run with `lightrec run`, or take the even mixture "
                "(--by even-mixture), which needs none."
            )
        return float(weight)


def _of_version(title: str, learned: Run, older: Earlier) -> str:
    return (
        f"{title} is that of version {learned.version}, and does not know {older.unknown:,} of the "
        "items."
    )
