"""GAIL and AIRL of the package `imitation` on seals/CartPole-v0, run by its own environment.

Everything is set as its tutorials (3_train_gail, 4_train_airl) set it. Evaluations happen after
each of its rounds and are not counted.
"""

import contextlib
import sys
from pathlib import Path

import gymnasium
import numpy as np
import seals  # noqa: F401 (registers the environment)
import torch
from imitation.algorithms.adversarial.airl import AIRL
from imitation.algorithms.adversarial.gail import GAIL
from imitation.data.types import Trajectory
from imitation.data.wrappers import RolloutInfoWrapper
from imitation.rewards.reward_nets import BasicRewardNet, BasicShapedRewardNet
from imitation.util import logger as imitation_logger
from imitation.util.networks import RunningNorm
from imitation.util.util import make_vec_env
from protocol import Ended, Returns, write
from stable_baselines3 import PPO
from stable_baselines3.common.evaluation import evaluate_policy
from stable_baselines3.ppo import MlpPolicy

NAME = "seals/CartPole-v0"
EPISODES = 32
PACKAGES = ("imitation", "seals", "stable-baselines3", "gymnasium", "torch", "numpy")


def trainer(learner: str, seed: int, demonstrations: list[Trajectory], folder: str):
    """Set a learner up as its tutorial does."""
    venv = make_vec_env(
        NAME,
        rng=np.random.default_rng(seed),
        n_envs=8,
        post_wrappers=[lambda env, _: RolloutInfoWrapper(env)],
    )
    gail = learner == "gail"
    own = {"learning_rate": 4e-4} if gail else {"learning_rate": 5e-4, "clip_range": 0.1}
    own |= {} if gail else {"vf_coef": 0.1}
    policy = PPO(
        env=venv,
        policy=MlpPolicy,
        batch_size=64,
        ent_coef=0.0,
        gamma=0.95,
        n_epochs=5,
        seed=seed,
        **own,
    )
    network = BasicRewardNet if gail else BasicShapedRewardNet
    reward = network(venv.observation_space, venv.action_space, normalize_input_layer=RunningNorm)
    return (GAIL if gail else AIRL)(
        demonstrations=demonstrations,
        demo_batch_size=1024 if gail else 2048,
        gen_replay_buffer_capacity=512,
        n_disc_updates_per_round=8 if gail else 16,
        venv=venv,
        gen_algo=policy,
        reward_net=reward,
        custom_logger=imitation_logger.configure(folder, ["csv"]),
    )


def main(learner: str, demonstrations: str, out: str, seed: str, goal: str, limit: str) -> None:
    """Train until the mean return of fresh episodes is at the goal, or the time is up."""
    torch.set_num_threads(1)
    torch.manual_seed(int(seed))
    held = np.load(demonstrations)
    shown = [
        Trajectory(observation, action, None, True)
        for observation, action in zip(held["observation"], held["action"], strict=True)
    ]
    judged = make_vec_env(NAME, rng=np.random.default_rng(1000 + int(seed)), n_envs=8)
    course = Returns(float(goal), float(limit))
    learning = trainer(learner, int(seed), shown, str(Path(out).parent / "log"))

    def judge(round_number: int) -> None:
        course.pause()
        reached, _ = evaluate_policy(learning.policy, judged, EPISODES, deterministic=True)
        steps = (round_number + 1) * learning.gen_train_timesteps
        if course.judged(steps, float(reached)):
            raise Ended

    with contextlib.suppress(Ended):
        learning.train(100_000_000, judge)
    write(out, course.found(), PACKAGES)


if __name__ == "__main__":
    assert gymnasium.spec(NAME).max_episode_steps == 500
    main(*sys.argv[1:])
