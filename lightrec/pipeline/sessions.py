"""The evaluators of whole sessions: policies in user model B, and rewards against a known truth."""

from pathlib import Path

import torch
from tensordict import TensorDictBase
from torch import Tensor

from lightrec.data.store import EventStore
from lightrec.evaluation.base import Evaluator
from lightrec.evaluation.correlation import spearman_within_sets
from lightrec.evaluation.sessions import RewardFunction, Sessions, compare, judge, shares_kept
from lightrec.keys import Key
from lightrec.nn.choice import ChoiceModel
from lightrec.nn.ensemble import UserModel, load_user_model
from lightrec.nn.ranker import Ranker
from lightrec.nn.reward_model import load_reward
from lightrec.nn.user_parts import (
    LEAVING,
    RETURN,
    VALUE,
    LeavingModel,
    ReturnModel,
    ValueModel,
)
from lightrec.policies.base import Policy
from lightrec.policies.baselines import (
    ConstantListPolicy,
    GreedyEncoderPolicy,
    PopularityPolicy,
    RandomPolicy,
)
from lightrec.simulators.far_log import HeldOut
from lightrec.simulators.starts import LogStarts
from lightrec.simulators.user_model import UserModelSimulator


class SimulatedSessions(Evaluator):
    """Plays sessions in user model B: policy, greedy by encoder, popularity, best constant, random.

    Greedy plays twice, with all of the history that the encoder reads and with the part that the
    policy reads, so that reading less does not count as the policy's gain. The same contenders play
    in user model A, where the policy learned, with the same users: what is left of an advantage in
    B is its share kept.

    :param rounds: sessions of each user.
    :param max_users: at most so many users, drawn by the seed.
    :param slate_size: places in a slate.
    :param max_steps: steps after which a session is cut.
    :param max_candidates: show only so many items, the most frequent ones; None for all.
    :param rounds_at_home: sessions of each user in user model A; 0 does without.
    """

    def __init__(
        self,
        rounds: int = 3,
        max_users: int = 1000,
        slate_size: int = 1,
        max_steps: int = 40,
        max_candidates: int | None = None,
        rounds_at_home: int = 1,
    ) -> None:
        self.rounds, self.max_users, self.rounds_at_home = rounds, max_users, rounds_at_home
        self.slate_size, self.max_steps = slate_size, max_steps
        self.max_candidates = max_candidates

    def evaluate(self, run: Path, work: Path, seed: int) -> dict[str, float]:
        """Give the contenders' returns and so on, and the policy's paired advantages.

        :returns: ``simulator/…`` in user model B, ``simulator_a/…`` in A, and
            ``share_kept/<contender>/return``, ``/per_step`` and ``/length``: the advantage in B as
            a part of that in A, left out where that is not clearly different from 0.
        """
        return self.play(
            EventStore.open(run / "data"),
            Ranker.from_pretrained(run / "encoder").eval(),
            ChoiceModel.load(run / "reward"),
            ChoiceModel.load(run / "judge"),
            Policy.load(run / "policy"),
            seed,
            LeavingModel.beside(run / "judge", LEAVING),
            load_user_model(run / "judge"),
            mean_values(run / "judge"),
            ReturnModel.beside(run / "judge", RETURN),
            load_user_model(run / "reward") if self.rounds_at_home else None,
            LeavingModel.beside(run / "reward", LEAVING),
        )

    def play(
        self,
        store: EventStore,
        ranker: Ranker,
        reward: ChoiceModel,
        judge_model: ChoiceModel,
        policy: Policy,
        seed: int,
        leaving: LeavingModel | None = None,
        played: UserModel | None = None,
        values: RewardFunction | None = None,
        returning: ReturnModel | None = None,
        home: UserModel | None = None,
        leaving_home: LeavingModel | None = None,
    ) -> dict[str, float]:
        """Play the sessions of all contenders and write them as flat keys.

        :param home: user model A as it is played, for the share kept; None does without.
        :param leaving_home: how its users leave, where that was fitted.
        """
        starts = LogStarts.from_store(store)
        users = chosen_users(starts, self.max_users, seed)
        history = starts.history(users, starts.ends_of(users), reward.history_length)
        contenders = _contenders(store, ranker, reward, policy, history)
        rate = float(judge_model.leave_rate)
        abroad = judge_model if played is None else played
        simulator = self._simulator(abroad, rate, leaving, store, starts, len(users))
        seeds = [seed * 1000 + round_ for round_ in range(self.rounds)]
        learned: dict[str, RewardFunction] = {
            "reward_a": reward.reward,
            "reward_b": judge_model.reward,
        }
        if values is not None:
            learned["value"] = values
        sessions: dict[str, Sessions] = {}
        away: dict[str, float] = {}
        for name, contender in contenders.items():
            ends = Returns(judge_model, returning)
            sessions |= judge(
                {name: contender},
                simulator,
                users,
                seeds,
                rewards=learned,
                record=None if returning is None else ends.round,
            )
            if returning is not None:
                days = ends.days()
                if days is not None:
                    away[f"{name}/days_away"] = days
        found = {f"simulator/{key}": v for key, v in (compare(sessions) | away).items()}
        if home is None:
            return found
        rate = float(reward.leave_rate)
        simulator = self._simulator(home, rate, leaving_home, store, starts, len(users))
        seeds = [seed * 1000 + round_ for round_ in range(self.rounds_at_home)]
        at_home = judge(contenders, simulator, users, seeds)
        found |= {f"simulator_a/{key}": v for key, v in compare(at_home).items()}
        shares = shares_kept(at_home, sessions)
        return found | {f"share_kept/{key}": value for key, value in shares.items()}

    def _simulator(
        self,
        model: UserModel,
        leave_rate: float,
        leaving: LeavingModel | None,
        store: EventStore,
        starts: LogStarts,
        count: int,
    ) -> UserModelSimulator:
        return UserModelSimulator(
            model,
            starts,
            count,
            slate_size=self.slate_size,
            leave_rate=leave_rate,
            leaving=leaving,
            max_steps=self.max_steps,
            max_candidates=self.max_candidates,
            popularity=torch.from_numpy(store.popularity()),
            repeats=store.repeats,
        )


def _contenders(
    store: EventStore,
    ranker: Ranker,
    reward: ChoiceModel,
    policy: Policy,
    history: Tensor,
) -> dict[str, Policy]:
    return {
        "policy": policy,
        "greedy": GreedyEncoderPolicy.from_ranker(ranker),
        "greedy-recent": GreedyEncoderPolicy.from_ranker(ranker, policy.history_length),
        "popularity": PopularityPolicy.from_counts(torch.from_numpy(store.popularity())),
        "constant": ConstantListPolicy.from_user_model(reward, history),
        "random": RandomPolicy(store.num_items),
    }


class Returns:
    """Foretells at every session's end when its user comes back.

    :param model: the choice model beside which returning was fitted.
    :param returning: what foretells it.
    """

    def __init__(self, model: ChoiceModel, returning: ReturnModel | None) -> None:
        self.model, self.returning = model, returning
        self.found: list[tuple[Tensor, Tensor]] = []

    def round(self, seed: int) -> "Returns":
        """Go on with another round of sessions."""
        return self

    @torch.no_grad()
    def __call__(self, state: TensorDictBase, following: TensorDictBase, alive: Tensor) -> None:
        """Note the users who end a session in this step."""
        assert self.returning is not None
        over = following[alive & following["done"].squeeze(1)]
        person = self.model.state(over[Key.HISTORY])
        inputs = person, over[Key.STEP], over[Key.ACCEPTED_TOTAL]
        self.found.append(self.returning.restricted(*inputs))

    def days(self) -> float | None:
        """Geometric mean of the days until the next session, none counting beyond the log's span.

        None where more than half of the users are expected after more than that: the mean would
        say how long the log is.
        """
        logs, beyond = (torch.cat(values) for values in zip(*self.found, strict=True))
        return None if beyond.mean() > 0.5 else float(logs.mean().exp()) / (24 * 3600)


def mean_values(folder: Path) -> RewardFunction | None:
    """Give the mean value of items (B, 1) after histories (B, L); None where none was fitted."""
    part = ValueModel.beside(folder, VALUE)
    if part is None:
        return None
    model, values = ChoiceModel.load(folder), part

    @torch.no_grad()
    def mean(history: Tensor, items: Tensor) -> Tensor:
        features, _ = model.item_features()
        item = items.squeeze(1)
        return values(model.state(history), features[item], item)[0].unsqueeze(1)

    return mean


class KnownTruth(Evaluator):
    """In a world whose truth is known: how a learned reward orders the items of an offer."""

    def evaluate(self, run: Path, work: Path, seed: int) -> dict[str, float]:
        """Give ``truth/<score>/spearman``; nothing where the run's log is a real one."""
        path = run / "data" / "truth.safetensors"
        if not path.is_file():
            return {}
        held_out = HeldOut.load(path)
        store = EventStore.open(run / "data")
        model, wants = ChoiceModel.load(run / "reward"), load_reward(run / "reward")
        popularity = torch.from_numpy(store.popularity()).float()
        with torch.inference_mode():
            utilities = model.utilities(model.state(held_out.history), held_out.candidates)
            scores = {
                "learned": wants.reward(held_out.history, held_out.candidates),
                "logit": utilities,
                "popularity": popularity[held_out.candidates],
                "value": held_out.value,
            }
        return {
            f"truth/{name}/spearman": spearman_within_sets(score, held_out.reward)
            for name, score in scores.items()
        }


def chosen_users(starts: LogStarts, limit: int, seed: int) -> Tensor:
    """Draw at most ``limit`` users, ascending."""
    if starts.num_users <= limit:
        return torch.arange(starts.num_users)
    generator = torch.Generator().manual_seed(seed)
    return torch.randperm(starts.num_users, generator=generator)[:limit].sort().values
