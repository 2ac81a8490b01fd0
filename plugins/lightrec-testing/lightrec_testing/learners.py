"""The contract of learners of policies, which need TorchRL."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from itertools import permutations
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn

from lightrec.api import PADDING, Key, Learner, Ranker
from lightrec.learners.transitions import CLICKED_COLUMN, FEATURES, STEPS_AHEAD
from lightrec.nn.session import perceptron
from lightrec.policies.candidate import CandidatePolicy
from lightrec_testing.contract import DoesNotApply, Faults, promise
from lightrec_testing.invariants import differences, seeded
from lightrec_testing.learning import Alike, LearningChecks


@dataclass(eq=False)
class LearnerChecks(LearningChecks):
    """The checks of a learner of policies, on transitions that show one of two items.

    :param make: the class.
    :param settings: of its loss.
    :param slate_size: places of the slates that it learns from.
    """

    inputs, outputs = "transitions", "losses"
    passes = ("policy", "critic", "others", "slate_size", "settings")
    may_draw = True
    # A batch is learned from once: what a loss writes into it is nobody's business.
    input_unchanged = None  # type: ignore[assignment]
    ITEMS, ROWS, STRANGE = 6, 8, 5
    ALLOWED = ((1, 3, 4), (2, 3, 6))
    """Items that may be shown, before a step and after it; STRANGE may not."""

    settings: Mapping[str, Any] = field(default_factory=dict)
    slate_size: int = 1

    def _ready(self, strange: float = 0.0) -> Learner:
        """Build a learner around a policy.

        :param strange: added to the vector of the item that may not be shown.
        """
        kind: Any = self.make
        with seeded():
            ranker: Any = Ranker(self.ITEMS, size=4)
            nn.init.normal_(ranker.items.ids)
            policy: Any = CandidatePolicy(ranker, size=4, hidden=8)
            policy.item_vectors[self.STRANGE] += strange
            nn.init.normal_(policy.query_network[-1].weight)
            policy = kind.wrap(policy, self.slate_size, (8,))
            critic = perceptron([policy.feature_size, 8, 1])
            others = nn.ModuleDict(kind.networks(policy, (8,)))
            sizes = {"slate_size": self.slate_size, "discount": 0.9, "tau": 0.1}
            learner: Learner = kind(policy, critic, others, settings=self.settings, **sizes)
            with torch.no_grad():  # target networks too, away from the learned ones
                for number, parameter in enumerate(learner.parameters()):
                    parameter.add_(0.1 * (-1) ** number)
        return learner

    def _input(self, part: Learner, offers: bool = False, barren: bool = False) -> TensorDict:
        """Transitions (R,): three of four show the first item that may be shown, and are rewarded,
        the others the second, and are not.

        :param offers: whether what may be shown is offered, and not given by a mask.
        :param barren: whether nothing may be shown afterwards.
        """
        good = (torch.arange(self.ROWS) % 4 > 0).unsqueeze(1)
        columns = torch.tensor((0, 1, 2) if offers else self.ALLOWED[0])
        with seeded():
            batch = self._state(part, self.ALLOWED[0], offers)
            batch["next"] = self._state(part, (0,) * 3 if barren else self.ALLOWED[1], offers)
        shown = torch.where(good, columns, columns[[1, 0, 2]])[:, : self.slate_size]
        row = torch.arange(self.ROWS).unsqueeze(1)
        batch[Key.ACTION], batch[CLICKED_COLUMN] = shown, torch.where(row > 0, shown[:, :1], -1)
        batch[Key.LOG_PROBABILITY] = torch.full((self.ROWS,), -1.1)
        batch["next", "reward"] = batch["value_target"] = good.float()
        batch["advantage"] = good.float() - 0.5
        batch[STEPS_AHEAD] = torch.ones(self.ROWS, 1, dtype=torch.int64)
        batch["next", "done"] = batch["next", "terminated"] = torch.arange(8).unsqueeze(1) > 5
        return batch

    def _state(self, part: Learner, items: tuple[int, ...], offers: bool) -> TensorDict:
        seen = {Key.USER_VECTOR: torch.randn(self.ROWS, 4)}
        seen[Key.STEP] = torch.arange(self.ROWS).unsqueeze(1)
        state = TensorDict({**seen, Key.ACCEPTED_TOTAL: torch.rand(self.ROWS, 1)}, [self.ROWS])
        state[FEATURES] = part.policy.session_features(state)
        allowed = torch.tensor(items).expand(self.ROWS, -1)
        if offers:
            return state.set(Key.CANDIDATES, allowed)
        mask = torch.zeros(self.ROWS, self.ITEMS + 1, dtype=torch.bool).scatter(1, allowed, True)
        return state.set(Key.MASK, mask.index_fill(1, torch.tensor([PADDING]), False))

    def _call(self, part: Learner, batch: TensorDict) -> dict[str, Tensor]:
        losses = part.losses(batch.clone())
        return {name: loss for name, loss in losses.items() if name.startswith("loss")}

    def _stepped(self, part: Learner) -> None:
        part.follow_up()

    def _alike(self, part: Learner) -> Alike:
        batch = self.standard(part)
        yield "an offer in place of a mask", part, self._input(part, offers=True)
        yield "other scores of what may not be shown", self._ready(strange=100.0), batch
        if not any(differences(*self.trials[0])):
            rows = [*reversed(range(self.ROWS))] * 2
            yield "the transitions in another order, each twice", part, batch[rows]

    @promise("Give a state in which nothing may be shown the critic's value, or 0.")
    def nothing_to_show(self) -> Faults:
        """Losses are finite where nothing may be shown after a step."""
        part = self._ready()
        for offers in (False, True):
            for name, loss in self.losses(part, self._input(part, offers, barren=True)).items():
                if not loss.isfinite():
                    yield f"Then {name} is {loss.item()}."

    @promise("Look at signs, and at what is held constant; the loss must reach `self.policy`.")
    def preferred(self) -> Faults:
        """A policy comes to score what is shown more often, and rewarded, above the other."""
        if self.slate_size > 1:
            raise DoesNotApply("What is learned of slates need not be in scores of single items.")
        leads = []
        for steps in (0, 60):
            learner = self.trained(steps)
            logits = learner.policy.logits(self.standard(learner))
            more, less, _ = logits[:, self.ALLOWED[0]].mean(0).tolist()
            leads.append(more - less)
        if not leads[1] > leads[0]:
            yield f"In 60 steps the lead of its score went from {leads[0]:.3g} to {leads[1]:.3g}."

    @promise("Return a PlackettLuce, or one derived from it, over the columns of the state.")
    def law(self) -> Faults:
        """What is shown to learn from is drawn from what may be shown, and from nothing else."""
        part, slates = self._ready(), [*permutations(self.ALLOWED[0], self.slate_size)]
        shown = torch.tensor(slates).unsqueeze(1).expand(-1, self.ROWS, -1)
        with torch.no_grad():
            total = part.law(self.standard(part)).log_prob(shown).exp().sum(0)
        if not ((total - 1).abs() < 1e-4).all():
            yield f"The probabilities of what may be shown add up to {total.tolist()}."
