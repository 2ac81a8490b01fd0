"""TorchRL's collectors play the same sessions, in this process, in several, and by Ray."""

from functools import partial

import pytest
import torch
from torchrl.collectors import Collector, MultiSyncCollector
from torchrl.envs.utils import ExplorationType

pytest.importorskip("lightrec_worlds", reason="the sessions are those of its world Greed")

from lightrec_worlds.greed import Greed

from lightrec.learners.algorithms import Actor
from lightrec.policies.baselines import PopularityPolicy

pytestmark = pytest.mark.slow  # Processes of their own import torch.

USERS, STEPS, SEED, SLATE = 16, 10, 7, 3


def world(users):
    made = Greed(len(users), slate_size=SLATE, max_steps=STEPS)
    made.fix(users, SEED)
    return made


def by_ray(parts, **frames):
    pytest.importorskip("ray", reason="Ray is a package of its own")
    from torchrl.collectors.distributed import RayCollector

    one = {"num_cpus": 1, "num_gpus": 0, "memory": 2**28}
    here = {"num_cpus": 2, "include_dashboard": False}
    how = {"num_collectors": 2, "sync": True, "ray_init_config": here, "remote_configs": one}
    return RayCollector(parts, **how, **frames)


def sessions(kind, parts):
    """What was shown and earned, by session and step: each user's session, played to its end."""
    collector = kind(
        parts,
        policy=Actor(PopularityPolicy.from_appeal(torch.arange(Greed.ITEMS + 1.0)), SLATE),
        frames_per_batch=USERS * STEPS,
        total_frames=USERS * STEPS,
        exploration_type=ExplorationType.DETERMINISTIC,
    )
    try:
        rows = next(iter(collector)).reshape(-1)
    finally:
        collector.shutdown()
    names = "session", "step", "action", ("next", "reward")
    steps = zip(*(rows[name].tolist() for name in names), strict=True)
    return {(*session, *step): (slate, reward) for session, step, slate, reward in steps}


@pytest.mark.parametrize("kind", [partial(MultiSyncCollector, cat_results="stack"), by_ray])
def test_processes_play_the_sessions_of_one(kind):
    users = torch.arange(USERS)
    alone = sessions(Collector, partial(world, users))
    shared = sessions(kind, [partial(world, users[rank::2]) for rank in range(2)])
    assert len({session for session, _ in alone}) == USERS
    assert shared == alone
