"""The data of policies in worlds: simulators that are made by name and settings."""

import re
from collections.abc import Mapping
from copy import deepcopy
from functools import cached_property
from typing import Any

import torch
from tensordict import TensorDict, TensorDictBase
from torch import Tensor
from torch.nn.functional import pad
from torchrl.envs import EnvBase

from lightrec import plugins
from lightrec.api import Catalog, Column, Key, LearnedPolicy, Policy, RecipeError, Simulator
from lightrec.blame import blaming
from lightrec.encoders.base import Encoder, encoded
from lightrec.learners.simulator_data import Playground, PolicySlot, SimulatorData
from lightrec.learners.transitions import PACKED, pack
from lightrec.policies.baselines import RandomPolicy
from lightrec.rewards.base import Reward, RewardContext
from lightrec.settings import check_of, make_of
from lightrec.simulators.rollout import ActingPolicy, play
from lightrec.simulators.session_env import HIDDEN
from lightrec.simulators.world import Scored
from lightrec.trust import class_and_settings
from lightrec_worlds.tower import TowerPolicy

_ENDS = re.compile(r"(?<=[.!?])\s+")
"""Where a sentence ends and another begins."""
AT_ONCE = 250
"""Sessions of a log that are played side by side."""
SCORES = ("greedy", "oracle")
"""Scores of what a state offers that worlds give."""
WorldSetting = int | float | str | bool | list[int] | list[float] | dict[str, Any]


class WorldData(SimulatorData):
    """Sessions in a world, or another simulator with ``item_vectors``; no log is needed.

    Policies see items as the world's vectors, or as vectors of their titles and texts: then an item
    that is added later can be shown as soon as it has a text, see
    :meth:`~lightrec_worlds.tower.TowerPolicy.with_items`.

    :param world: short name of an installed simulator, such as ``Greed``.
    :param settings: of its constructor, such as ``slate_size``.
    :param iterations: iterations of an epoch.
    :param judging: sessions on which epochs are judged.
    :param text_encoder: makes the items' vectors from their titles and texts; null takes the
        world's own vectors, which say more than a text can.
    :param demonstrations: who shows a reward that learns what to do: ``oracle``, the folder of a
        saved policy, or, as a control, ``random``. What a learner still achieves that was shown
        random sessions, it was not given by demonstrations.
    :param demonstration_sessions: sessions that are shown.
    :param demonstration_steps: steps of each; sessions that end begin again.
    :param reward: what the policy maximises the sum of, such as a ConstrainedReward; null for the
        world's own.
    :param policy: the policy that learns, with its settings; null for TowerPolicy, whose
        ``horizon`` is the world's number of steps where none is given.
    :param behavior: who plays the log that learners offline learn from, drawing slates. Logits
        are a sum: by name, the weights of what the world scores items by, which are ``greedy``,
        ``oracle``, and numbers of its items, such as ``quality`` in ``Greed``; ``{}`` draws evenly.
        Or the folder of a saved policy.
    :param logged_sessions: sessions of that log, which is played again where training continues.
    :param seed: of that log. A world's items follow from its own ``seed`` in ``settings``.
    """

    def __init__(
        self,
        world: str,
        settings: dict[str, WorldSetting] | None = None,
        iterations: int = 10,
        judging: int = 256,
        text_encoder: Encoder | None = None,
        demonstrations: str | None = None,
        demonstration_sessions: int = 64,
        demonstration_steps: int = 100,
        behavior: str | dict[str, float] | None = None,
        logged_sessions: int = 20_000,
        reward: Reward | None = None,
        policy: PolicySlot | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        self.iterations, self.judging = iterations, judging
        self.world, self.settings = world, dict(settings or {})
        self.policy, self.text_encoder = policy or TowerPolicy, text_encoder
        self.reward, self.demonstrator = reward, demonstrations
        self.demonstration_sessions = demonstration_sessions
        self.demonstration_steps = demonstration_steps
        self.behavior, self.logged_sessions, self.seed = behavior, logged_sessions, seed

    @classmethod
    def check_settings(cls, settings: Mapping[str, Any]) -> None:
        """See that the world takes its settings."""
        kind = plugins.installed().get("simulators", settings["world"]).load()
        check_of(kind, settings["settings"] or {}, "batch_size", "device")

    def make(
        self, sessions: int, device: torch.device | str = "cpu", reward: Reward | None = None
    ) -> Simulator:
        """Make the world with so many sessions.

        :param reward: what it pays; None for its own.
        :raises PluginError: where no installed package provides it.
        :raises RecipeError: where it has no ``item_vectors``, or no such setting.
        """
        kind = plugins.installed().get("simulators", self.world).load()
        paid = {} if reward is None else {"reward": reward}
        simulator: Simulator = make_of(
            kind, self.settings, batch_size=sessions, device=device, **paid
        )
        if not hasattr(simulator, "item_vectors"):
            raise RecipeError(
                f"{self.world} has no item_vectors, by which policies see its items. Take a world, "
                "such as Greed."
            )
        return simulator

    @cached_property
    def single(self) -> Any:
        """The simulator with one session, to be asked what it is."""
        return self.make(1)

    @property
    def slate_size(self) -> int:  # type: ignore[override]
        """Items shown in a step."""
        return int(self.single.slate_size)

    @property
    def num_items(self) -> int:
        """Number of items N."""
        return int(self.single.num_items)

    @cached_property
    def vectors(self) -> Tensor:
        """(N + 1, D) float32: what may be seen of items."""
        if self.text_encoder is None:
            return self.single.item_vectors
        return text_vectors(self.single.catalog(), self.text_encoder)

    def make_policy(self) -> LearnedPolicy:
        """Make an untrained policy, for what the simulator lets policies see."""
        kind, settings = class_and_settings(self.policy)
        if not issubclass(kind, TowerPolicy):
            return kind.from_world(self.single, **settings)
        # What texts are read for; vectors of the world's own are taken as they are.
        meanings = None if self.text_encoder is None else self.single.item_vectors
        policy: TowerPolicy = make_of(
            kind,
            {"horizon": self.single.max_steps, **settings},
            num_items=self.num_items,
            vector_size=self.vector_size,
            observation_size=self.single.observation_size,
            meaning_size=0 if meanings is None else meanings.shape[1],
        )
        return policy.set_items(self.vectors, meanings)

    def playground(self, sessions: int, discount: float, device: torch.device) -> Playground:
        """Make what is trained in, and that in which epochs are judged."""
        users, reward = torch.arange(self.judging), deepcopy(self.reward)
        judging = self.make(self.judging, device)
        if reward is None:
            return Playground(self.make(sessions, device), judging, users)
        items = self.single.catalog().rows
        with blaming(reward, "be bound to the world"):
            reward.bind(RewardContext(discount=discount, items=items))
        reward = reward.to(device)
        return Playground(self.make(sessions, device, reward), judging, users, reward)

    def demonstrations(self) -> TensorDict:
        """Let the demonstrator play, always the same sessions.

        :returns: (R,) transitions: a simulator's state and ``action``, the items shown, at the
            root, the next state and ``terminated`` under ``next``.
        :raises RecipeError: where nobody demonstrates, or an oracle should and there is none.
        """
        if self.demonstrator is None:
            raise RecipeError(
                f"The reward learns from demonstrations, and {type(self).__name__} has none. Name "
                "who demonstrates under demonstrations."
            )
        simulator = self.make(self.demonstration_sessions)
        # Nothing here may move the generator that training draws from.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            simulator.set_seed(0)
            played = demonstrate(simulator, self._expert(simulator), self.demonstration_steps)
        return played.flatten()

    def _expert(self, simulator: Simulator) -> Any:
        if self.demonstrator == "random":
            return RandomPolicy(self.num_items)
        if self.demonstrator != "oracle":
            return Policy.load(str(self.demonstrator))
        if not hasattr(simulator, "oracle"):
            raise RecipeError(
                f"{type(simulator).__name__} has no oracle that could demonstrate. Give the folder "
                "of a saved policy, or random."
            )
        return Scored(simulator.oracle)

    def log(self) -> TensorDict:
        """Let the behavior policy play, always the same sessions.

        :raises RecipeError: where there is none, or the world does not score items so.
        """
        if self.behavior is None:
            return super().log()
        simulator = self.make(min(AT_ONCE, self.logged_sessions))
        return logged(simulator, self._behavior(simulator), self.logged_sessions, self.seed)

    def _behavior(self, world: Any) -> Any:
        if isinstance(self.behavior, str):
            return Policy.load(self.behavior)
        weights = self.behavior or {}
        for name in weights:
            numbers = getattr(world, name, None)
            if name not in SCORES and getattr(numbers, "shape", None) != (world.num_items + 1,):
                raise RecipeError(
                    f"behavior gives {name!r} a weight, and {type(world).__name__} does not score "
                    f"items by it. Name {', '.join(SCORES)}, or an attribute of the world that has "
                    "a number for each of its items."
                )

        def scores(state: TensorDictBase) -> Tensor:
            columns = state.get(Key.CANDIDATES, None)
            shape = state[Key.MASK].shape if columns is None else columns.shape
            total = torch.zeros(shape, device=world.device)
            for name, weight in weights.items():
                score = getattr(world, name)
                if name in SCORES:
                    total = total + weight * score(state)
                else:
                    total = total + weight * (score if columns is None else score[columns])
            return total

        return Scored(scores)


@torch.no_grad()
def demonstrate(simulator: EnvBase, expert: ActingPolicy, steps: int) -> TensorDict:
    """Play on for some steps, sessions that end begin again.

    :param simulator: of B sessions.
    :param expert: shows what it scores highest.
    :returns: ``(B, steps)`` transitions without what only a world knows, and with its own reward
        under ``next``, which no learner reads.
    """
    state, rows = simulator.reset(), []
    for _ in range(steps):
        seen = state if getattr(expert, "knows_truth", False) else state.exclude(*HIDDEN)
        acted = expert.act(seen.copy(), simulator.slate_size, deterministic=True)
        played, state = simulator.step_and_maybe_reset(state.set(Key.ACTION, acted[Key.ACTION]))
        row = played.exclude(*HIDDEN)
        row["next"] = played["next"].exclude(*HIDDEN)
        rows.append(row)
    return TensorDict.stack(rows, 1)


def logged(simulator: Simulator, behavior: ActingPolicy, sessions: int, seed: int) -> TensorDict:
    """Let a policy draw the slates of whole sessions, which all follow from a seed.

    :param simulator: of B sessions, which are played side by side.
    :param behavior: writes the logarithm of a slate's probability next to it.
    :param sessions: how many are played.
    :returns: (R,) transitions, sessions one after another, without what only a world knows; masks
        are packed.
    """
    rows: list[TensorDictBase] = []

    def record(state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        there = alive & (state[Key.USER] < sessions)
        row = state.exclude(*HIDDEN, Key.USER_VECTOR)[there]
        row["next"] = following.exclude(*HIDDEN)[there]
        for each in (row, row["next"]):
            if Key.MASK in each:
                each[PACKED] = pack(each.pop(Key.MASK))
        rows.append(row)

    users = torch.arange(simulator.batch_size[0])
    # Nothing here may move the generator that training draws from.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for first in range(0, sessions, len(users)):
            play(behavior, simulator, first + users, seed, deterministic=False, record=record)
    steps = TensorDict.cat(rows)
    place = steps[Key.USER] * simulator.max_steps + steps[Key.STEP].squeeze(1)
    return steps[place.argsort()]


def text_vectors(catalog: Catalog, encoder: Encoder) -> Tensor:
    """Encode titles and texts, each by itself, sentence by sentence: one would drown the other.

    :param catalog: N items; a title or text that is missing counts as empty.
    :returns: (N + 1, 2 · encoder.size) float32, side by side the title's vector and the text's,
        each the mean of its sentences'; row 0 is zero.
    """
    parts = []
    for name in (Column.TITLE, Column.TEXT):
        texts = catalog.rows[name].fill_null("").to_list()
        sentences = [_ENDS.split(text.strip()) for text in texts]
        owners: dict[str, str] = {}
        for lines, item in zip(sentences, catalog.rows[Column.ITEM], strict=True):
            for sentence in lines:
                owners.setdefault(sentence, item)
        place = {sentence: row for row, sentence in enumerate(owners)}
        vectors = encoded(encoder, list(owners), list(owners.values()))
        rows = ([place[sentence] for sentence in lines] for lines in sentences)
        parts.append(torch.stack([vectors[row].mean(0) for row in rows]))
    return pad(torch.cat(parts, 1), (0, 0, 1, 0))
