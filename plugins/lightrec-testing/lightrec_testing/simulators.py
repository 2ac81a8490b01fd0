"""The contract of simulators, and the smallest world that keeps it."""

from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torchrl import logger
from torchrl.envs.utils import check_env_specs

from lightrec.api import PADDING, Catalog, Key, Reward, noise
from lightrec.simulators.base import Response, Simulator, State
from lightrec.simulators.rollout import play
from lightrec.simulators.session_env import ENDS
from lightrec.simulators.world import Scored, World
from lightrec_testing.contract import ContractError, DoesNotApply, Faults, promise
from lightrec_testing.invariants import TOLERANCE, BatchChecks, described, differences

ROWS = 6
SESSIONS = 128
"""Sessions in which a world's oracle is compared with random slates."""


class SimulatorChecks(BatchChecks):
    """The checks of a simulator.

    :param make: builds a fresh simulator of as many sessions as it is given.
    """

    inputs, outputs = "users", "sessions"
    saved = devices = gradients = None  # type: ignore[assignment]
    _declared = output_as_declared = None  # type: ignore[assignment] # the specs declare it

    def _ready(self) -> Callable[[int], Simulator]:
        return self.make  # how many rows it has depends on the users

    def _input(self, part: object) -> Tensor:
        return torch.arange(ROWS) % 2

    def _call(self, part: Callable[[int], Simulator], users: Tensor) -> TensorDictBase:
        simulator = part(len(users))
        simulator.fix(users, 7)
        return rollout(simulator, 2)["next"]

    @cached_property
    def played(self) -> TensorDictBase:
        """Sessions (B, T), until the last one could be over."""
        simulator = self.make(ROWS)
        return rollout(simulator, simulator.max_steps)

    @cached_property
    def one(self) -> Simulator:
        """A simulator of one session, to ask for its settings."""
        return self.make(1)

    @promise(
        "Give every key the shape and dtype that the base class announces, announce every further "
        "key in `own_specs`, hand the batch size on to `Simulator.__init__`, and look for "
        "logarithms of 0 and divisions by 0 in what users answer."
    )
    def specs(self) -> Faults:
        """What a simulator emits is finite and fits its specs (torchrl.envs.utils.check_env_specs),
        with as many sessions side by side as were asked for.
        """
        simulator, level = self.make(3), logger.level
        if simulator.batch_size != (3,):
            yield f"A simulator of 3 sessions has the batch size {tuple(simulator.batch_size)}."
        try:
            logger.setLevel("WARNING")  # it reports success too
            check_env_specs(simulator, break_when_any_done="both")
        except AssertionError as error:
            yield f"TorchRL says: {' '.join(str(error).split())[:500].rstrip('.')}."
        finally:
            logger.setLevel(level)
        for name, part in self.played["next"].items(True, True):
            if bad := int((~part.isfinite()).sum()):
                yield f"{bad} of {part.numel()} numbers of {name} are not finite."

    @promise(
        "Draw from `self.generator` in `start`, and compute all later chance from the key "
        "`session` with `lightrec.simulators.noise`."
    )
    def seed(self) -> Faults:
        """The same actions have the same consequences after `set_seed` with one seed, and others
        with another.
        """
        made = [self.make(ROWS) for _ in range(3)]
        for simulator, seed in zip(made, (7, 7, 8), strict=True):
            simulator.set_seed(seed)
        one, same, other = (rollout(simulator, 3) for simulator in made)
        yield from differences(one, same)
        numbers = [(*place, key) for place in ((), ("next",)) for key in (Key.USER, Key.SESSION)]
        if not any(differences(one.exclude(*numbers), other.exclude(*numbers))):
            yield "But for their numbers, two rollouts with different seeds are the same."

    @promise("Begin with the users `self.given[0][rows]` in `start`, and leave `fix` as it is.")
    def given_users(self) -> Faults:
        """After `fix(users, seed)` sessions have the numbers of these users, one for each."""
        simulator, users = self.make(ROWS), self.standard()
        simulator.fix(users, 7)
        number = simulator.reset()[Key.USER]
        if not torch.equal(number == number.unsqueeze(1), users == users.unsqueeze(1)):
            yield f"For the users {users.tolist()} the numbers are {number.tolist()}."

    @promise(
        "Leave the mask to the base class, or set `changes_mask` and give it from `respond`; build "
        "the simulator with `repeats=True` where items come again; draw offers "
        "with `lightrec.simulators.noise.distinct`, which counts from 0: add 1."
    )
    def showable(self) -> Faults:
        """A mask never holds padding, nor what was shown unless items repeat; an offer holds
        distinct items, 1 to N, filled up with 0.
        """
        steps, repeats = self.played, self.one.repeats
        allowed = torch.cat([steps[self.choices], steps["next", self.choices]], 1)
        if self.choices == Key.CANDIDATES:
            offers = allowed.sort(-1).values
            again = ((offers[..., 1:] == offers[..., :-1]) & (offers[..., 1:] > PADDING)).any()
            if again or offers.min() < PADDING or offers.max() > self.one.num_items:
                yield "An offer holds an item twice, or one that does not exist."
            return
        if allowed[..., PADDING].any():
            yield f"Column 0 of the mask is True in {int(allowed[..., PADDING].sum())} states."
        shown, after = steps[Key.ACTION], steps["next", Key.MASK]
        if repeats:  # whoever changes the mask may shut what was shown all the same
            stays = not self.one.changes_mask
            wrong = ~after.gather(-1, shown) & (shown > PADDING) & stays
        else:
            places = shown.new_zeros(after.shape).scatter(-1, shown, 1)
            wrong = after & (places.cumsum(1) > 0)
        if wrong.any():
            yield f"With repeats={repeats}, {int(wrong.sum())} of the items shown do otherwise."

    @promise("Call the base class's step, which looks at the slate before users answer.")
    def refusals(self) -> Faults:
        """A slate that holds an item twice, or one that may not be shown, is refused with a
        ValueError.
        """
        simulator, state = self.shown()
        first, choices = state[Key.ACTION][:, :1], state[self.choices]
        items = torch.arange(choices.shape[1]) if self.choices == Key.MASK else choices
        rest = choices * (items != first)
        cases = {"forbidden": state.clone().set(self.choices, rest)}
        if simulator.slate_size > 1:
            twice = first.expand_as(state[Key.ACTION])
            cases["shown twice"] = state.clone().set(Key.ACTION, twice)
        for what, case in cases.items():
            try:
                simulator.step(case)
            except ValueError:
                continue
            yield f"An item that is {what} was taken, so that nobody would see a policy's mistake."

    @promise(
        "Give `taken` as bool (B, K), False in empty places, `value` as float32 (B, K), 0 where "
        "nothing was taken, `leave` as bool or a probability (B,), and `outcomes` whose "
        "probabilities are those by which the answer was drawn."
    )
    def answers(self) -> Faults:
        """What is taken of a slate is bool and its worth 0 elsewhere, leaving is a probability or
        bool, and the probabilities of all outcomes are at least 0 and add up to 1.
        """
        simulator = self.make(ROWS)
        simulator.expected = True  # those whose laws are known then give them
        steps = self.played.exclude("next").unbind(1)
        for state in (*steps[:4], steps[-1]):
            slate = state[Key.ACTION]
            response = simulator.respond(state.clone(), slate)
            for name, dtype in (("taken", torch.bool), ("value", torch.float32)):
                given = getattr(response, name)
                if given.shape != slate.shape or given.dtype != dtype:
                    yield f"`{name}` is {described(given)}, not {tuple(slate.shape)} {dtype}."
            if (response.value.masked_fill(response.taken, 0) != 0).any():
                yield "`value` is not 0 where nothing was taken."
            leave = response.leave
            if leave.shape != (ROWS,) or not ((leave >= 0) & (leave <= 1)).all():
                yield f"`leave` is {described(leave)}, from {leave.min():.3g} to {leave.max():.3g}."
            if response.outcomes is not None:
                chance = response.outcomes.probability
                if (chance < 0).any() or ((chance.sum(1) - 1).abs() > TOLERANCE).any():
                    yield f"The probabilities add up to {chance.sum(1).tolist()}."

    @promise("Leave counts to the base class, and change histories in `remember` only.")
    def bookkeeping(self) -> Faults:
        """A session begins with nothing; each step adds 1 to `step`, nothing is taken from an empty
        place, what is taken is counted and enters the history at its end, as N + 1 if anything
        where it is nothing.
        """
        names = (Key.STEP, Key.ACCEPTED, Key.ACCEPTED_TOTAL, Key.TAKEN)
        first = self.make(ROWS).reset()
        if begun := [name for name in (*names, *ENDS) if first[name].any()]:
            yield f"After a reset these are not 0: {', '.join(begun)}."
        now, after = self.played, self.played["next"]
        slate, taken = now[Key.ACTION], after[Key.TAKEN]
        if (taken & (slate == PADDING)).any():
            yield "Something was taken from an empty place of a slate."
        accepted = taken.sum(-1, keepdim=True).float()
        total = now[Key.ACCEPTED_TOTAL] + accepted
        for name, value in zip(names, (now[Key.STEP] + 1, accepted, total), strict=False):
            for fault in differences(value, after[name]):
                yield f"Of `{name}`: {fault}"
        declined = accepted.squeeze(-1) == 0
        longer = Reward.after(now.flatten(), self.one.num_items + 1)
        history = after[Key.HISTORY].flatten(0, 1)
        moved = (longer[:, -self.one.history_length :] == history).all(1)
        still = (after[Key.HISTORY] == now[Key.HISTORY]).all(-1) & declined
        if not (moved | still.flatten()).all():
            yield "A history changed otherwise."

    @promise("Leave ends to the base class; give the probability of leaving from `respond`.")
    def endings(self) -> Faults:
        """A session ends because its user left (`terminated`), or is cut (`truncated`) after
        `max_steps` or with nothing left to show, never both; `done` is either. With
        `ending='fixed'` nobody leaves.
        """
        staying = self.make(ROWS)
        staying.ending = "fixed"
        for steps in (self.played, rollout(staying, staying.max_steps)):
            done, left, cut = (steps["next", name] for name in ENDS)
            if (left & cut).any() or not torch.equal(done, left | cut):
                yield "A step is both, or `done` is not their union."
            anything = (steps["next", self.choices] > 0).any(-1, keepdim=True)
            last = (steps["next", Key.STEP] >= staying.max_steps) | ~anything
            if (last & ~done).any():
                yield f"{int((last & ~done).any(1).sum())} of {ROWS} sessions are not cut."
        if (left | (done & ~last)).any():
            yield f"With `ending='fixed'` {int((left | (done & ~last)).any(1).sum())} end early."

    @promise("Keep no state in attributes of the simulator; it belongs in the TensorDict.")
    def partial_reset(self) -> Faults:
        """A reset of some sessions begins these again and leaves the others as they are."""
        simulator = self.make(ROWS)
        state = rollout(simulator, 2)[:, -1]["next"].exclude("reward").clone()
        state["_reset"] = again = torch.arange(ROWS).unsqueeze(1) % 2 == 0
        fresh = simulator.reset(state.clone())
        names = (Key.USER, Key.HISTORY, self.choices, Key.SESSION)
        yield from differences(*(each.select(*names)[1::2] for each in (state, fresh)))
        counts = torch.where(again, 0, 2)
        yield from differences(fresh[Key.STEP], counts)
        fresh[Key.ACTION] = slates(fresh, simulator.slate_size)
        yield from differences(simulator.step(fresh)["next", Key.STEP], counts + 1)

    @promise("Clone a tensor before you write into it.")
    def state_unchanged(self) -> Faults:
        """A step leaves the state that it is given as it is."""
        simulator, state = self.shown()
        before = state.clone()
        simulator.step(state)
        yield from differences(before, state.select(*before.keys()))

    @promise("Decide with `torch.where`, not with `if`, and ask no tensor for its number.")
    def compiles(self) -> Faults:
        """A step compiles as one graph (torch.compile with fullgraph=True), and does the same."""
        simulator, state = self.shown()
        expected = simulator._step(state.clone())
        torch.compiler.reset()
        try:
            # User models may hold recurrent networks, which compile only where that is allowed.
            with torch._dynamo.config.patch(allow_rnn=True):
                step = torch.compile(simulator._step, backend="eager", fullgraph=True)
                yield from differences(expected, step(state.clone()))
        except torch._dynamo.exc.TorchDynamoException as error:
            yield f"It breaks: {' '.join(str(error).split())[:300].rstrip('.')}."

    @promise(
        "Return scores of the candidates or of all items from `oracle`, the highest for what is to "
        "be shown, a row for every item from `catalog`, and keep row 0 of the vectors for padding."
    )
    def truth(self) -> Faults:
        """A world's oracle scores what may be shown, and earns no less true reward than random
        slates; its catalog and vectors describe all items.
        """
        world = self.make(ROWS)
        if not isinstance(world, World):
            raise DoesNotApply("It is no world: its truth is not known.")
        shape = tuple(world.oracle(world.reset()).shape)
        if shape != (ROWS, world.offer_size or world.num_items + 1):
            yield f"The oracle's scores have the shape {shape}."
        rows = len(world.catalog()), len(world.item_vectors) - 1
        if rows != (world.num_items, world.num_items):
            yield f"Of {world.num_items} items, the catalog has {rows[0]}, the vectors {rows[1]}."
        if world.item_vectors[PADDING].any():
            yield "Row 0 of the vectors, which is padding, is not zero."
        if world.oracle(world.reset()).isnan().any():
            yield "The oracle's scores hold NaN."
        oracle, drawn = (self.earned(best) for best in (True, False))
        gain = oracle - drawn
        if not gain.mean() >= -4 * gain.std() / SESSIONS**0.5:  # four standard errors, no NaN
            yield f"It earns {oracle.mean():.4g} a session, and random slates {drawn.mean():.4g}."

    def earned(self, best: bool) -> Tensor:
        """True rewards (``SESSIONS``,) of sessions under the same chance: a world's oracle's, or
        those of random slates.
        """
        world, total = self.make(SESSIONS), torch.zeros(SESSIONS)
        scores = world.oracle if best else lambda state: torch.zeros_like(world.oracle(state))

        def record(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
            total.add_(following[Key.TRUE_REWARD].squeeze(1) * alive)

        users = torch.arange(SESSIONS)
        play(Scored(scores), world, users, 7, deterministic=best, record=record)
        return total

    @property
    def choices(self) -> str:
        """The key of what may be shown."""
        return Key.MASK if self.one.offer_size is None else Key.CANDIDATES

    def shown(self) -> tuple[Simulator, TensorDictBase]:
        """A simulator, and its first state with slates."""
        simulator = self.make(ROWS)
        state = simulator.reset()
        return simulator, state.set(Key.ACTION, slates(state, simulator.slate_size))


def slates(state: TensorDictBase, size: int) -> Tensor:
    """Choose slates (B, K) without chance, other items in every step; 0 where nothing is left."""
    if (items := state.get(Key.CANDIDATES, None)) is None:
        items = state[Key.MASK] * torch.arange(state[Key.MASK].shape[1])
    keys = ((items + state[Key.STEP]) * 0.618034 % 1).masked_fill(items == PADDING, -1)
    return items.gather(1, keys.topk(size).indices)


def rollout(simulator: Simulator, steps: int) -> TensorDict:
    """Play such slates: (B, T) transitions, ends passed over.

    :raises ContractError: where nothing may be shown to begin with.
    """
    state, played = simulator.reset(), list[TensorDictBase]()
    while len(played) < steps and (slate := slates(state, simulator.slate_size)).any():
        played.append(simulator.step(state.set(Key.ACTION, slate).clone()))
        state = played[-1]["next"].exclude("reward").clone()
    if not played:
        raise ContractError(
            "A session begins with something to show.",
            f"In the first state, nothing may be shown in any of {len(slate)} sessions",
            "Set True in the `mask` of `start` for some items, or leave it out where all may be.",
        )
    return torch.stack(played, 1)


class TinyWorld(World):
    """Users take the first item of a slate with a probability of their own, which steps lower.

    Each step offers 4 of 12 items. What is true is the luck; what may be seen is the last answer.

    :param batch_size: sessions B.
    :param settings: of :class:`~lightrec.simulators.world.World`.
    """

    ITEMS = 12
    OFFER = 4

    def __init__(
        self,
        batch_size: int,
        *,
        history_length: int = 3,
        max_steps: int = 5,
        offer_size: int | None = OFFER,
        repeats: bool = True,
        **settings: Any,
    ) -> None:
        super().__init__(
            torch.eye(self.ITEMS + 1)[:, 1:],
            batch_size,
            latent={"luck": ()},
            observation_size=1,
            history_length=history_length,
            max_steps=max_steps,
            offer_size=offer_size,
            repeats=repeats,
            **settings,
        )

    def begin(self, session: Tensor) -> dict[str, State]:
        """A luck for every user, evenly from 0 to 1."""
        luck = noise.uniform(session).float().squeeze(1)
        seen = torch.zeros(len(session), 1, device=self.device)
        return {Key.LATENT: {"luck": luck}, Key.OBSERVATION: seen}

    def respond(self, state: TensorDictBase, slate: Tensor) -> Response:
        """Take the first item or nothing."""
        luck = state[Key.LATENT, "luck"]
        took = noise.uniform(noise.mix(self.chance(state), 0)).squeeze(1) < luck
        taken = torch.zeros_like(slate, dtype=torch.bool)
        taken[:, 0] = took & (slate[:, 0] > 0)
        changed = {
            Key.LATENT: {"luck": 0.9 * luck},
            Key.OBSERVATION: took.float()[:, None],
            Key.TRUE_REWARD: luck[:, None],
        }
        return Response(taken, taken.float(), torch.full_like(luck, 0.1), changed)

    def oracle(self, state: TensorDictBase) -> Tensor:
        """All items are equally good."""
        return torch.zeros(len(state), self.offer_size or self.num_items + 1, device=self.device)

    def catalog(self) -> Catalog:
        """Twelve items with nothing but their numbers as names."""
        return Simulator.catalog(self)
