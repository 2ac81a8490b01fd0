"""Random finite processes, for tests of what is learned in them."""

import numpy as np

from lightrec.users.irl.soft_policy import TabularProcess


def random_process(seed, states, actions, horizon, discount=1.0, final_visit=False, spread=1.0):
    """Draw transitions from a Dirichlet law; ``spread`` below 1 makes them nearly certain."""
    draw = np.random.default_rng(seed)
    transitions = draw.dirichlet(np.full(states, spread), (states, actions))
    transitions /= transitions.sum(-1, keepdims=True)
    initial = draw.dirichlet(np.ones(states))
    return TabularProcess(transitions, initial, horizon, discount, final_visit), draw


def sample(process, policy, count, length, seed):
    """Draw trajectories of a policy (S, A): states (N, T) and actions (N, T)."""
    draw = np.random.default_rng(seed)
    states, actions = np.zeros((2, count, length), int)
    now = draw.choice(process.states, count, p=process.initial)
    for step in range(length):
        states[:, step] = now
        noise = draw.gumbel(size=(count, process.actions))
        actions[:, step] = (np.log(policy[now]) + noise).argmax(1)
        law = process.transitions[now, actions[:, step]]
        now = (law.cumsum(1) < draw.random((count, 1))).sum(1).clip(max=process.states - 1)
    return states, actions
