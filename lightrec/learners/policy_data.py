"""Data of a policy's training: a ranker, a user model, and users to begin sessions with."""

from copy import deepcopy
from functools import cached_property
from pathlib import Path

import torch
from tensordict import TensorDict
from torch import Tensor

from lightrec.blame import blaming
from lightrec.data.stage_data import LogData
from lightrec.errors import RecipeError
from lightrec.learners.logged_sessions import logged_sessions
from lightrec.learners.simulator_data import Playground, PolicySlot, SimulatorData
from lightrec.policies.base import LearnedPolicy, Policy
from lightrec.policies.baselines import PopularityPolicy, RandomPolicy
from lightrec.policies.candidate import CandidatePolicy
from lightrec.ranking.item_models.base import Evidence
from lightrec.ranking.ranker import Ranker
from lightrec.rewards.accepted import SurplusReward
from lightrec.rewards.base import Reward, RewardContext
from lightrec.run import Run
from lightrec.settings import make_of
from lightrec.simulators.base import Ending
from lightrec.simulators.user_model import LogStarts, UserModelSimulator
from lightrec.trust import class_and_settings
from lightrec.users.user_model import UserModel


class PolicyData(LogData, SimulatorData):
    """Start states from a prepared log, next to the parts that earlier stages have left.

    Sessions are played in user model A, with the users from whom A learned, so that the users of
    the other half are new to both A and the policy. The simulator knows how likely each outcome
    and leaving were: rewards are means over the outcomes, and instead of ending, a session's
    future counts (1 - leave_rate) to learners on policy. Where leaving was fitted, sessions end
    when they end.

    :param data: folder of the prepared log.
    :param ranker: folder of the ranker stage.
    :param users_a: folder of user model A.
    :param policy: the policy that learns, with settings of its ``from_run``; null for
        CandidatePolicy, which around the ranker and user model A has other defaults: ``size`` 0,
        ``inverse_temperature`` 2 and ``horizon`` the length of sessions.
    :param reward: what the policy maximises the sum of; null for what was learned, with the
        pleasure of choosing (SurplusReward). A shaped reward trains with its shaping and is judged
        without.
    :param slate_size: items shown in a step.
    :param leave_rate: probability of leaving after a step, an assumption where the log is silent;
        where leaving was fitted, the user model's own is used.
    :param max_steps: steps after which a session is cut.
    :param ending: ``leave``, or ``fixed`` for sessions of exactly ``max_steps``.
    :param max_candidates: show only so many of the most popular items; None means all.
    :param history_length: how many steps of a history the state remembers for the policy.
    :param iterations: iterations of an epoch.
    :param cut: whether training sessions start anywhere in a user's training events, or at their
        end.
    :param held_out: users on whose sessions epochs are judged; no training session is theirs.
    :param seed: of the choice of those users.
    """

    def __init__(
        self,
        data: str,
        ranker: str,
        users_a: str,
        policy: PolicySlot | None = None,
        reward: Reward | None = None,
        slate_size: int = 1,
        leave_rate: float = 0.05,
        max_steps: int = 40,
        ending: Ending = "leave",
        max_candidates: int | None = None,
        history_length: int = 20,
        iterations: int = 4,
        cut: bool = True,
        held_out: int = 256,
        seed: int = 0,
    ) -> None:
        super().__init__(data)
        self.ranker_folder, self.users_a = ranker, users_a
        self.policy = policy or CandidatePolicy
        self._run = Run(Path(users_a).parent, follow=False)
        self.reward = reward or SurplusReward()
        self.slate_size, self.leave_rate, self.max_steps = slate_size, leave_rate, max_steps
        self.ending, self.max_candidates = ending, max_candidates
        self.history_length, self.iterations = history_length, iterations
        self.cut, self.held_out, self.seed = cut, held_out, seed

    @cached_property
    def ranker(self) -> Ranker:
        """The ranker."""
        return Ranker.from_pretrained(self.ranker_folder)

    @cached_property
    def user_model(self) -> UserModel:
        """User model A."""
        return UserModel.load(self.users_a)

    @cached_property
    def vectors(self) -> Tensor:
        """(N + 1, D) float32: the ranker's item vectors."""
        with torch.no_grad():
            return self.ranker.item_vectors()

    @cached_property
    def _shuffled(self) -> Tensor:
        """The users from whom user model A learned; the policy never meets the others."""
        learned = self.user_model.learned_from(self.store.num_users)
        users = torch.from_numpy(learned).nonzero().squeeze(1)
        generator = torch.Generator().manual_seed(self.seed)
        return users[torch.randperm(len(users), generator=generator)]

    @property
    def held_out_users(self) -> Tensor:
        """(M,) int64: the users who judge; at most a third of those that the policy may meet."""
        return self._shuffled[: max(1, min(self.held_out, len(self._shuffled) // 3))]

    @cached_property
    def starts(self) -> LogStarts:
        """Start states: drawn from the other users, or given by a held-out user's number."""
        users = self._shuffled[len(self.held_out_users) :]
        return LogStarts.from_store(self.store, users=users, cut=self.cut)

    def make_policy(self) -> LearnedPolicy:
        """Make the untrained policy, in sessions as long as these."""
        kind, settings = class_and_settings(self.policy)
        if kind is not CandidatePolicy:
            with blaming(kind, f"be made with {settings}"):
                return kind.from_run(self._run, **settings)
        chosen = {"horizon": self.max_steps, "size": 0, "inverse_temperature": 2.0, **settings}
        used = chosen.pop("use_utilities", True)
        if not (chosen["size"] or used):
            raise RecipeError(
                "The policy would have nothing to learn: give it a size above 0 or use_utilities."
            )
        choice = self.user_model.choice if used else None
        return make_of(CandidatePolicy, chosen, ranker=self.ranker, user_model=choice)

    def rivals(self) -> dict[str, Policy]:
        """The policy as it began, and what takes no notice of people."""
        return {
            "beginning": self.make_policy().eval(),
            "random": RandomPolicy(self.num_items),
            "popularity": PopularityPolicy.from_appeal(Evidence.of(self.store).counts()),
        }

    def log(self) -> TensorDict:
        """The training events of the users that training meets, with the reward for each.

        It is the reward that policies are judged by, without shaping or limits.

        :raises NotApplicable: see :func:`~lightrec.learners.logged_sessions.logged_sessions`.
        """
        return logged_sessions(
            self.store,
            self.starts,
            self._bound_reward().judged,
            history_length=max(self.history_length, self.user_model.history_length),
            slate_size=self.slate_size,
            max_steps=self.max_steps,
        )

    @property
    def _fitted(self) -> bool:
        return self.user_model.leaving is not None

    @property
    def _going_on(self) -> float:
        """The probability of going on after a step that is a part of the discount."""
        return 1.0 if self._fitted or self.ending == "fixed" else 1 - self.leave_rate

    def _bound_reward(self, discount: float = 1.0) -> Reward:
        """The reward, bound to the run and user model A."""
        reward = deepcopy(self.reward)
        context = RewardContext(
            self.user_model,
            self.store,
            discount=discount * self._going_on,
            fitted_ends=self._fitted and self.ending != "fixed",
        )
        with blaming(reward, "be bound to the run"):
            reward.bind(context)
        return reward

    def playground(self, sessions: int, discount: float, device: torch.device) -> Playground:
        """Make user model A's simulators, in which rewards are means over what could be chosen.

        :raises RunError: where user model B, that will judge, learned from users of A.
        """
        self._run.check_halves()
        users = self.held_out_users
        reward = self._bound_reward(discount).to(device)

        def simulator(rows: int, reward: Reward) -> UserModelSimulator:
            return UserModelSimulator(
                self.user_model.to(device),
                self.starts,
                rows,
                reward=reward,
                expected=True,
                slate_size=self.slate_size,
                leave_rate=None if self._fitted else self.leave_rate,
                max_steps=self.max_steps,
                ending=self.ending,
                history_length=self.history_length,
                max_candidates=self.max_candidates,
                popularity=torch.from_numpy(self.store.popularity()),
                repeats=self.store.repeats,
                device=device,
            )

        train, judging = simulator(sessions, reward), simulator(len(users), reward.judged)
        return Playground(train, judging, users, reward, self._going_on)
