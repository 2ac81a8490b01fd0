"""The contracts of what learns from a log: ranking losses, item, user and reward models."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Any

import torch
from tensordict import TensorDict
from torch import Tensor, nn
from torch.nn.functional import normalize, pad

from lightrec.api import Evidence, ItemModel, NotApplicable, Ranker, RankingLoss, RewardLearner
from lightrec.data.store import TRAIN
from lightrec.keys import PADDING, Column, Key
from lightrec.trust import ARGUMENTS
from lightrec.users.choice_model import ChoiceModel, PooledChoice
from lightrec_testing import tiny
from lightrec_testing.contract import Faults, promise
from lightrec_testing.invariants import (
    HistoryChecks,
    PartChecks,
    described,
    differences,
    drawn_histories,
    of_items,
    seeded,
)

COARSE = 0.05
"""Distance by which losses in bfloat16 may differ from those in float32; relative above 1."""
Example = dict[str, Tensor]
Alike = Iterator[tuple[str, Any, Any]]


class LearningChecks(PartChecks):
    """The checks of what gives losses that are to be made small."""

    def _losses(self, part: Any, example: Any) -> dict[str, Tensor]:
        """The losses by name."""
        given = self._call(part, example)
        return given if isinstance(given, dict) else {"the loss": given}

    def _alike(self, part: Any) -> Alike:
        """What is changed, and part and input after it, none of which may change the losses."""
        yield from ()

    def losses(self, part: Any, example: Any, mixed: bool = False) -> dict[str, Tensor]:
        """The losses under a seed, with gradients, in bfloat16 where asked for."""
        with seeded(), torch.enable_grad(), torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            return self._losses(part, example)

    def slopes(self, part: Any, example: Any, mixed: bool = False) -> dict[str, Tensor]:
        """The gradient of the losses by all that is learned."""
        learned = self._learned(part, example)
        total = torch.stack([*self.losses(part, example, mixed).values()]).sum()
        total = total + 0 * sum(value.sum() for value in learned.values())
        found = torch.autograd.grad(total, [*learned.values()])
        return dict(zip(learned, found, strict=True))

    def trained(self, steps: int) -> Any:
        """Train a part, always under one seed."""
        with seeded(), torch.enable_grad():
            part = self._ready()
            example = self._input(part)
            optimizer = torch.optim.Adam(self._learned(part, example).values(), 0.02)
            for _ in range(steps):
                optimizer.zero_grad()
                torch.stack([*self._losses(part, example).values()]).sum().backward()
                optimizer.step()
                self._stepped(part)
        return part

    def _stepped(self, part: Any) -> None:
        """Do what follows a step of the optimizer."""

    @promise(
        "Take means over rows, keep logarithms, roots and divisions away from 0, and sum over many "
        "items in float32, as `lightrec.nn.precision` helps to. {hint}"
    )
    def output_as_declared(self) -> Faults:
        """Each of the {outputs} is one finite number, and nearly the same in bfloat16."""
        part, example = self.fresh()
        whole, mixed = (self.losses(part, example, mixed) for mixed in (False, True))
        if not whole:
            yield "There are none."
        for name, loss in whole.items():
            if loss.shape != () or not loss.isfinite():
                yield f"{name} is {described(loss)}, {loss.tolist()!s:.80}."
            elif not (mixed[name] - loss).abs() <= COARSE * loss.abs().clamp_min(1):
                yield f"{name} is {loss.item():.4g}, and {mixed[name].item():.4g} in bfloat16."

    @promise("Take `detach`, `no_grad` and `numpy` out of it. {hint}")
    def gradients(self) -> Faults:
        """The gradient of the {outputs} reaches what is learned; it is finite, in bfloat16 too."""
        part = self._ready()
        for mixed in (False, True):
            slopes = self.slopes(part, self.standard(part), mixed)
            if bad := [name for name, slope in slopes.items() if not slope.isfinite().all()]:
                yield f"By {', '.join(bad)} it is NaN or infinite."
            if not any(slope.any() for slope in slopes.values()):
                yield f"It reaches none of {', '.join(slopes)}."

    @promise(
        "Average over rows by their weights, leave out what is 0, mask what may not be shown "
        "before sums and maxima, and go by scores, not by places or numbers."
    )
    def alike(self) -> Faults:
        """The {outputs} are the same where nothing has changed that they may look at."""
        part, example = self.fresh()
        expected = self.losses(part, example)
        for what, other, changed in self._alike(part):
            for fault in differences(expected, self.losses(other, changed)):
                yield f"With {what}: {fault}"

    @promise("Draw from torch's global generator alone, and keep no state in the class.")
    def same_seed(self) -> Faults:
        """Parts that are trained alike under one seed have the same weights to the bit."""
        one, other = (dict(self.trained(2).named_parameters()) for _ in range(2))
        yield from differences(one, other, exact=True)


class LossChecks(LearningChecks):
    """The checks of a ranking loss, on six predictions over nine items."""

    inputs, outputs = "predictions", "losses"
    hint = "`states`, the ranker's `item_vectors()` and its `bias` are what scores are made of."
    may_draw = True
    same_seed = None  # type: ignore[assignment] # a loss has nothing to train
    ITEMS, SIZE, SEEN = 9, 4, (3, 8)
    """Every row has seen two items, none of which is a target."""

    def _ready(self) -> RankingLoss:
        loss: RankingLoss = super()._ready()
        loss.prepare(5.0 * (torch.arange(self.ITEMS + 1) > PADDING))
        return loss

    def _loaded(self, part: RankingLoss) -> RankingLoss:
        fresh = type(part)(**part.description[ARGUMENTS])
        fresh.prepare(5.0 * (torch.arange(self.ITEMS + 1) > PADDING))
        fresh.load_state_dict(part.state_dict())
        return fresh.eval()

    def _input(self, part: RankingLoss | None) -> Example:
        seen = torch.zeros(6, 4, dtype=torch.int64)
        seen[:, 1:3], seen[1, 0] = torch.tensor(self.SEEN), 5  # and row 1 its own target
        vectors = normalize(torch.randn(self.ITEMS + 1, self.SIZE), dim=1)
        vectors[PADDING] = 0
        states, biases = torch.randn(6, self.SIZE), 0.1 * torch.randn(self.ITEMS + 1)
        target = torch.tensor([2, 5, 7, 2, 1, 4])
        learned = {"states": states, "vectors": vectors, "biases": biases}
        learned = {name: value.requires_grad_() for name, value in learned.items()}
        return {**learned, "target": target, "seen": seen}

    def _call(self, part: RankingLoss, example: Example) -> Tensor:
        ranker = Ranker(self.ITEMS, size=self.SIZE)
        # The tensors themselves, so that gradients reach them.
        for module, name, key in ((ranker.items, "ids", "vectors"), (ranker, "bias", "biases")):
            delattr(module, name)
            setattr(module, name, example[key])
        return part(ranker, example["states"], example["target"], example["seen"].__getitem__)

    def _learned(self, part: RankingLoss, example: Example) -> dict[str, Tensor]:
        return {name: example[name] for name in ("states", "vectors", "biases")}

    def _alike(self, part: RankingLoss) -> Alike:
        whole = self.standard()
        yield "more padding among what was seen", part, whole | {"seen": pad(whole["seen"], (2, 3))}
        if any(differences(*self.trials[0])):
            return  # of what is drawn, other rows and numbers have other draws
        rows = [5, 3, 1, 0, 2, 4] * 2
        some = {name: whole[name][rows] for name in ("states", "target", "seen")}
        yield "the rows in another order, each twice", part, whole | some
        order = pad(torch.randperm(self.ITEMS) + 1, (1, 0))
        moved = {name: whole[name][order] for name in ("vectors", "biases")}
        moved |= {name: order.argsort()[whole[name]] for name in ("target", "seen")}
        yield "the items numbered in another order", part, whole | moved

    @promise("Divide sums by `max(rows, 1)`.")
    def no_predictions(self) -> Faults:
        """Where there are no predictions the loss is 0."""
        whole = self.standard()
        none = {name: whole[name][:0] for name in ("states", "target", "seen")}
        if (loss := self.output(self._ready(), whole | none)) != 0:
            yield f"It is {loss.item():.3g}."

    @promise("Mask the scores of what `seen(rows)` gives, and column 0, before they are summed.")
    def seen_items(self) -> Faults:
        """What a row has seen, and padding, is no negative: no gradient moves it."""
        slopes = self.slopes(*self.fresh())
        for item in (PADDING, *self.SEEN):
            if slopes["vectors"][item].any() or slopes["biases"][item]:
                yield f"Every row has seen item {item}, and its vector or bias has a gradient."

    @promise("Look at the sign: the loss falls as the target's score rises above the others'.")
    def better_ranked(self) -> Faults:
        """Predictions that rank their targets first cost less than those that rank them last."""
        part, whole = self.fresh()
        states = whole["vectors"][whole["target"]]
        first, last = (self.output(part, whole | {"states": by * states}) for by in (6.0, -6.0))
        if not first < last:
            yield f"Ranked first they cost {first.item():.4g}, ranked last {last.item():.4g}."


@dataclass(eq=False)
class ItemModelChecks(HistoryChecks):
    """The checks of an item model, fitted to the tiny log.

    :param evidence: makes what it is fitted to; by default the training events of the tiny log,
        with vectors and texts of the items, and attributes of items and users.
    """

    inputs, outputs = "histories", "scores"
    hint = "Score from what `fit` kept, and leave out what is 0 in a history."
    sample = "evidence"

    evidence: Callable[[], Evidence] = tiny.kit_evidence

    def _ready(self) -> ItemModel:
        return self.fitted(self.evidence())

    def fitted(self, evidence: Evidence) -> ItemModel:
        """Fit a model, always under one seed."""
        with seeded():
            return self.make().fit(evidence).eval()

    def _loaded(self, part: ItemModel) -> ItemModel:
        fresh = type(part)(**part.settings)  # as a blend that is read from its folder does
        for name, buffer in part.named_buffers():
            fresh.register_buffer(name, buffer)
        return fresh.eval()

    def _input(self, part: ItemModel | None) -> TensorDict:
        history = drawn_histories(self.evidence().num_items)
        return TensorDict({Key.HISTORY: history, Key.USER: torch.arange(6)}, [6])

    def _call(self, part: ItemModel, state: TensorDict) -> Tensor:
        details = dict(state.items())
        users = state.get(Key.USER, None)
        return of_items(part.scores(state[Key.HISTORY], users, details=details))

    def _declared(self, part: ItemModel, state: TensorDict) -> tuple[tuple[int, ...], torch.dtype]:
        return (len(state), self.evidence().num_items + 1), torch.float32

    def _odd(self, part: ItemModel) -> dict[str, TensorDict]:
        whole, told = self.standard(part), self.standard(part)
        told[Key.FEEDBACK] = told[Key.GAP] = (whole[Key.HISTORY] > PADDING).long()
        known = {"events whose kind and gap are known": told}
        return {**super()._odd(part), **known, "people who are not known": whole.exclude(Key.USER)}

    @promise("Draw from a generator that is made from a seed, or from torch's global one.")
    def fitted_alike(self) -> Faults:
        """Fitted twice to the same log under one seed, a model gives the same scores."""
        yield from differences(self.output(self._ready()), self.output(self._ready()))

    @promise("Raise NotApplicable in `fit` where the log lacks what the model reads.")
    def bare_logs(self) -> Faults:
        """A log without order, texts and attributes is fitted, or refused with NotApplicable."""
        whole = self.evidence()
        bare = Evidence(whole.log, whole.num_items, whole.vectors[:, :0], is_ordered=False)
        try:
            scores = self.output(self.fitted(bare))
        except NotApplicable:
            return
        if not scores.isfinite().all():
            yield f"It is fitted, and {int((~scores.isfinite()).sum())} scores are not finite."

    @promise("Look whether `scores` reads what `fit` kept, and `fit` the evidence.")
    def follows_the_log(self) -> Faults:
        """Where the items of the log change places, other items have the high scores, and each has
        its own.
        """
        whole = self.evidence()
        back = torch.arange(whole.num_items, 0, -1)
        moved = replace(
            whole,
            log=replace(whole.log, items=back.numpy()[whole.log.items - 1], seen=None),
            vectors=torch.cat([whole.vectors[:1], whole.vectors[back]]),
            texts=[*reversed(whole.texts)],
            items=whole.items.reverse(),
        )
        before, other = self.output(self._ready()), self.fitted(moved)
        if not any(differences(before, self.output(other))):
            yield "The scores are the same."
        state = self.standard()
        history = state[Key.HISTORY]
        state[Key.HISTORY] = torch.where(history > PADDING, whole.num_items + 1 - history, history)
        after = self.output(other, state)[:, 1:].flip(1)
        # A model that draws again differs, too, but has no other items' scores.
        moves = (after.roll(step, 1)[:, 2:-2] for step in (0, -2, 2))
        own, *neighbours = (not any(differences(before[:, 3:-2], each)) for each in moves)
        if any(neighbours) and not own:
            yield "Items have the scores of their neighbours."


class ChoiceModelChecks(HistoryChecks):
    """The checks of a model of choices, of twelve items.

    :param make: builds a fresh model of ``num_items``, ``vector_size`` and ``history_length``.
    """

    inputs, outputs = "histories", "utilities"
    hint = "Read what is 0 in a history as nothing, and give padding no utility."
    gradients = None  # type: ignore[assignment] # much of it is for choices of other kinds

    def _ready(self) -> ChoiceModel:
        model: ChoiceModel = super()._ready()
        model.set_items(torch.randn(model.num_items + 1, model.vector_size))
        nn.init.normal_(model.bias)
        return model.requires_grad_(False)

    def _call(self, part: ChoiceModel, state: TensorDict) -> Tensor:
        return of_items(part.utilities(part.state(state[Key.HISTORY])))

    @promise("Give from `after` what `state` gives of the history with the item at its end.")
    def after_a_choice(self) -> Faults:
        """The state after an item, or after nothing, is that of the history that ends with it."""
        part, start = self.fresh()
        history = start[Key.HISTORY]
        ends = torch.tensor([1, 5, part.num_items + 1]).expand(len(history), -1)
        states = part.after(history, ends)
        for place, end in enumerate(ends.split(1, 1)):
            longer = torch.cat([history, end], 1)
            for fault in differences(part.state(longer), states[:, place]):
                yield f"After {int(end[0])}: {fault}"

    @promise("Leave utilities of sets to the base class, or compute them as those of all items.")
    def sets(self) -> Faults:
        """The items of a set have the utilities that they have among all, padding none, and the
        probabilities of all of a set and of nothing sum to 1.
        """
        part, start = self.fresh()
        history = start[Key.HISTORY]
        items = torch.tensor([3, 1, 7, PADDING]).expand(len(history), -1)
        state = part.state(history)
        every, some = part.utilities(state), part.utilities(state, items)
        yield from differences(every.gather(1, items)[:, :-1], some[:, :-1])
        law = part.log_probabilities(history, items).exp()
        yield from differences(torch.ones(len(history)), law.sum(1))
        yield from differences(torch.zeros(len(history)), law[:, 3])


class RewardLearnerChecks(LearningChecks):
    """The checks of a learner of rewards, on choices by a conditional logit of known reward."""

    inputs, outputs = "choices", "losses"
    hint = "See that the loss reads the networks that `reward_model` hands on."
    DISCOUNT, STEPS = 0.5, 150

    def _ready(self) -> RewardLearner:
        learner: RewardLearner = self.make()
        self.data, self.progress = tiny.kit_choices(), 0.5
        learner.build(self.model, self.DISCOUNT)
        for network in [m for m in learner.modules() if isinstance(m, PooledChoice)]:
            network.set_items(self.data.vectors)
        learner.prepare(self.data, 0.0)
        return learner

    def model(self) -> PooledChoice:
        """An untrained choice model."""
        sizes = {"pools": 2, "feature_size": 4, "hidden_size": 8, "identity_size": 4}
        return PooledChoice(self.data.num_items, self.data.vector_size, 3, **sizes)

    def _input(self, part: RewardLearner | None) -> Example:
        return dict(next(iter(self.data.batches(TRAIN))))

    def _losses(self, part: RewardLearner, batch: Example) -> dict[str, Tensor]:
        return {"the loss": part.loss(batch, self.progress)}

    def _call(self, part: RewardLearner, batch: Example) -> dict[str, Tensor]:
        history, items = batch[Key.HISTORY], batch[Key.CANDIDATES]
        rewards = part.reward_model().reward(history, items)
        return {"utilities": part.utilities(history, items), "rewards": rewards}

    def _stepped(self, part: RewardLearner) -> None:
        part.stepped()

    def _alike(self, part: RewardLearner) -> Alike:
        batch = self.standard(part)
        history, items, choice = (batch[k] for k in (Key.HISTORY, Key.CANDIDATES, Key.CHOICE))
        size = items.shape[1]
        more = {Key.HISTORY: pad(history, (2, 0)), Key.CANDIDATES: pad(items, (0, 2))}
        more[Key.CHOICE] = choice + 2 * (choice == size)
        yield "more padding, left of histories and right of candidates", part, batch | more
        yield "doubled weights", part, batch | {Key.WEIGHT: 2 * batch[Key.WEIGHT]}
        back = {Key.CANDIDATES: items.flip(1)}
        back[Key.CHOICE] = torch.where(choice < size, size - 1 - choice, choice)
        yield "the candidates of each set in another order", part, batch | back
        longer = {key: torch.cat([value, value]) for key, value in batch.items()}
        longer[Key.WEIGHT][len(choice) :] = longer[Key.CHOICE][len(choice) :] = 0
        yield "more rows, of weight 0", part, longer

    @promise("Hand all that rewards depend on to RewardModel, as parts and plain arguments.")
    def saved(self) -> Faults:
        """The learned reward is the same to the bit when it was saved and loaded."""
        learner = self.trained(2)
        model, batch = learner.reward_model().eval(), self.standard(learner)
        inputs = batch[Key.HISTORY], batch[Key.CANDIDATES]
        fresh = self._loaded(model)
        yield from differences(model.reward(*inputs), fresh.reward(*inputs), exact=True)

    @promise("Look at signs, at what is held constant, and whether `reward_model` is what learned.")
    def known_reward(self) -> Faults:
        """From choices by P(i) ∝ exp r(i) the learned rewards nearly have the order of r."""
        model = self.trained(self.STEPS).reward_model().eval()
        true = torch.tensor([float(item) for item in self.data.store.catalog[Column.ITEM]])
        history = self._input(None)[Key.HISTORY][:64]
        items = torch.arange(1, len(true) + 1).expand(len(history), -1)
        with torch.no_grad():
            found = model.reward(history, items).mean(0)
        ranks = torch.stack([each.argsort().argsort().float() for each in (found, true)])
        if not torch.corrcoef(ranks)[0, 1] > 0.9:
            order = ", ".join(f"{true[item]:.1f}" for item in found.argsort(descending=True))
            yield f"From the best learned reward to the least, r is {order}."
