"""The contract of policies: scores, slates and the probabilities with which they are drawn."""

import copy
import itertools
from functools import cached_property
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor

from lightrec.api import PADDING, Key, LearnedPolicy, Policy, Run
from lightrec.errors import RunError
from lightrec_testing import tiny
from lightrec_testing.contract import DoesNotApply, Faults, NotChecked, promise
from lightrec_testing.invariants import TOLERANCE, HistoryChecks, differences, of_items, seeded
from lightrec_testing.simulators import TinyWorld

ROWS, LENGTH = 6, 8
DRAWS = 4000
"""Slates drawn where frequencies are compared with probabilities."""
PAIRS = torch.tensor(list(itertools.permutations(range(1, 5), 2)))
"""All ordered pairs (12, 2) of the items 1 to 4."""


class PolicyChecks(HistoryChecks):
    """The checks of a policy.

    :param make: builds a fresh policy of 6 or more items.
    """

    inputs, outputs = "sessions", "scores"
    may_draw = True
    hint = (
        "End `logits` with `lightrec.policies.base.among_candidates(state, scores)`, since 0 is no "
        "item; treat a history without items on its own, since a mean over none of them is NaN, "
        "and take declined slates out with `lightrec.policies.base.without_nothing`."
    )

    def _ready(self) -> Policy:
        return super()._ready().requires_grad_(False)

    def _unarranged(self) -> Policy:
        """A policy whose slates stay as its law gives them: only of these are there promises."""
        policy = self._ready()
        policy.arrange = lambda slate: slate  # type: ignore[method-assign]
        return policy

    def _input(self, part: Policy) -> TensorDict:
        mask = torch.rand(ROWS, part.num_items + 1) < 0.7
        mask[:, 1:5], mask[:, PADDING] = True, False
        step = torch.arange(ROWS).unsqueeze(1)
        history = torch.randint(1, part.num_items + 1, (ROWS, LENGTH))
        state = {
            Key.HISTORY: history * (torch.arange(LENGTH) >= step),
            Key.MASK: mask,
            Key.STEP: step,
            Key.ACCEPTED_TOTAL: step.float() / 2,
        }
        return TensorDict(state, [ROWS])

    def _call(self, part: Policy, state: TensorDictBase) -> Tensor:
        # Outside simulators a state is a plain mapping.
        return part.scores_in(dict(state.exclude(Key.MASK).items()))

    def _odd(self, part: Policy) -> dict[str, TensorDictBase]:
        declined = self.standard(part)
        declined[Key.HISTORY][:, -2] = part.num_items + 1
        return {**super()._odd(part), "declined slates (N + 1) in histories": declined}

    def _not_finite(self, output: Tensor) -> int:
        # Minus infinity is a score, and that of column 0; whoever is shown nothing has no score.
        wrong = (output[:, PADDING] != -torch.inf) | (output[:, 1:] == -torch.inf).all(1)
        return int((output.isnan() | (output == torch.inf)).sum() + wrong.sum())

    def few(self, policy: Policy, rows: int) -> TensorDictBase:
        """Make one state many times over, with four items that may be shown."""
        state = self.standard(policy)[3:4].expand(rows).clone()
        mask = torch.isin(torch.arange(policy.num_items + 1), PAIRS)
        return state.set(Key.MASK, mask.expand(rows, -1))

    @promise("Give `distribution` logits, and leave what may not be shown to the state's mask.")
    def probabilities(self) -> Faults:
        """In every state the probabilities of all items, and of all ordered pairs, add up to 1."""
        policy, whole = self.fresh()
        items = torch.arange(1, policy.num_items + 1).unsqueeze(1)
        for slates, state in ((items, whole), (PAIRS, self.few(policy, ROWS))):
            law = policy.distribution(state, slates.shape[1])
            total = law.log_prob(slates.unsqueeze(1).expand(-1, ROWS, -1)).exp().sum(0)
            if not ((total - 1).abs() <= TOLERANCE).all():
                yield f"For slates of {slates.shape[1]} they add up to {total.tolist()}."

    @promise("Leave slates to `Policy.act`, or draw them with `PlackettLuce` and the state's mask.")
    def valid_slates(self) -> Faults:
        """A slate holds distinct items of the mask, and 0 in the last places where nothing is
        left.
        """
        policy, state = self.fresh()
        state[Key.MASK][:2] = False
        state[Key.MASK][1, 2] = True
        for deterministic in (True, False):
            slates = policy.act(state.clone(), 3, deterministic)[Key.ACTION]
            if slates.shape != (ROWS, 3):
                yield f"{ROWS} slates of 3 places came as {tuple(slates.shape)}."
            for slate, mask in zip(slates.tolist(), state[Key.MASK], strict=True):
                allowed = set(mask.nonzero().flatten().tolist())
                shown, rest = slate[: len(allowed)], slate[len(allowed) :]
                if len({*shown} & allowed) < len(shown) or any(rest):
                    yield f"With deterministic={deterministic}, a slate is {slate}."

    @promise("End `logits` with `among_candidates(state, scores)`, which picks those of an offer.")
    def candidates(self) -> Faults:
        """Candidates that a state offers are shown by the law that a mask of the same items has."""
        self.must_be_steady(drawn=True)
        policy = self._ready()
        masked = self.few(policy, ROWS)
        offer = torch.tensor([4, 2, 3, 1, PADDING]).expand(ROWS, -1)
        offered = masked.exclude(Key.MASK).set(Key.CANDIDATES, offer)
        slates = PAIRS.unsqueeze(1).expand(-1, ROWS, -1)
        one, other = (policy.distribution(each, 2).log_prob(slates) for each in (masked, offered))
        yield from differences(one, other)

    @promise("Draw from `distribution`, and write its `log_prob`; leave both to `Policy.act`.")
    def frequencies(self) -> Faults:
        """Slates come as often as the probabilities say whose logarithms are `action_log_prob`;
        `arrange` comes after.
        """
        policy = self._unarranged()
        state = self.few(policy, DRAWS)
        with seeded():
            acted = policy.act(state.clone(), 2, deterministic=False)
        with seeded():  # the same chance for scores that are drawn
            law = policy.distribution(state, 2)
        shown = acted[Key.ACTION]
        yield from differences(acted[Key.LOG_PROBABILITY], law.log_prob(shown))
        expected = law.log_prob(PAIRS.unsqueeze(1).expand(-1, DRAWS, -1)).exp().mean(1)
        shares = (PAIRS.unsqueeze(1) == shown).all(-1).float().mean(1)
        apart = (shares - expected).abs()
        apart /= 5 * (expected * (1 - expected) / DRAWS).sqrt() + 1e-4  # five standard errors
        worst = int(apart.argmax())
        if not apart[worst] <= 1:
            pair, share, chance = PAIRS[worst].tolist(), shares[worst], expected[worst]
            yield f"{pair} came in {share:.3f} of {DRAWS} draws, where {chance:.3f} was expected."

    @promise(
        "Leave slates to `Policy.act`, draw nothing where `deterministic` is True, and diversify "
        "in `arrange`, from the slate alone."
    )
    def best_first(self) -> Faults:
        """Deterministic slates hold the items of highest score that may be shown, best first, and
        are the same again; what is shown is then what `arrange` makes of them.
        """
        policy = self._unarranged()
        state, scores = self.standard(policy), self.output(policy)
        with seeded():
            slate = policy.act(state.clone(), 3, deterministic=True)[Key.ACTION]
        best = scores.masked_fill(~state[Key.MASK], -torch.inf).topk(3).values
        yield from differences(scores.gather(1, slate), best)
        del policy.arrange  # the class has its own
        with seeded():
            shown = policy.act(state.clone(), 3, deterministic=True)[Key.ACTION]
        yield from differences(policy.arrange(slate.clone()), shown)
        alike = (scores[:, 1:] == scores[:, 1:2]).all()
        if not (alike or any(differences(scores, self.output(policy, seed=1)))):
            yield from differences(shown, policy.act(state, 3)[Key.ACTION])

    @promise(
        "Set `feature_size` in the constructor, look for a division by a count that is 0 where a "
        "session or a history begins, and compute each row from itself."
    )
    def session_features(self) -> Faults:
        """Critics read a row of `feature_size` finite float32 numbers for each session, the same
        in a batch and alone.
        """
        policy, state = self.fresh()
        if not isinstance(policy, LearnedPolicy):
            raise DoesNotApply("It is no LearnedPolicy, so that no critic reads features of it.")
        rows = policy.session_features(state.clone())
        if rows.shape != (ROWS, policy.feature_size) or rows.dtype != torch.float32:
            yield f"They are {tuple(rows.shape)} {rows.dtype}, not {(ROWS, policy.feature_size)}."
        if not rows.isfinite().all():
            yield f"{int((~rows.isfinite()).sum())} of {rows.numel()} are NaN or infinite."
        alone = [policy.session_features(state[row : row + 1].clone()) for row in range(ROWS)]
        yield from differences(rows, torch.cat(alone))


class RankerChecks(HistoryChecks):
    """The checks of what ranks a run's items, made of the kit's run.

    :param make: the class, of which ``from_run`` makes one.
    """

    inputs, outputs = "histories", "scores"
    hint = "Score every item for any history, and treat one without items on its own."
    # It belongs to a run, and is made of it again.
    saved = gradients = devices = None  # type: ignore[assignment]

    def _ready(self) -> Policy:
        kind: Any = self.make
        try:
            ranker: Policy = kind.from_run(Run(tiny.kit_run()))
        except RunError as error:
            raise NotChecked(f"The kit's run is not enough for it: {error}") from error
        return ranker.eval().requires_grad_(False)

    def _call(self, part: Policy, state: TensorDictBase) -> Tensor:
        return of_items(part.scores(state[Key.HISTORY], torch.arange(len(state))))


class PolicyMakerChecks(PolicyChecks):
    """The checks of the policy that a policy maker makes in the tiny world.

    :param make: builds a policy maker.
    """

    @cached_property
    def made(self) -> Policy:
        """The policy, which has learned."""
        world = TinyWorld(8, offer_size=None)
        policy: Policy = self.make().policy(world, torch.arange(8))
        return policy.eval().requires_grad_(False)

    def _ready(self) -> Policy:
        return copy.deepcopy(self.made)

    def _input(self, part: Policy) -> TensorDict:
        return super()._input(part).set(Key.OBSERVATION, torch.rand(ROWS, 1))
