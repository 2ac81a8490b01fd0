"""Demonstrations as transitions: recorded in a simulator, or with their ends played on."""

import torch
from tensordict import TensorDict, TensorDictBase
from torchrl.envs import EnvBase

from lightrec.errors import DataError
from lightrec.keys import Key
from lightrec.simulators.rollout import Contender


@torch.no_grad()
def demonstrate(simulator: EnvBase, expert: Contender, steps: int) -> TensorDict:
    """Play on for some steps, sessions that end begin anew.

    :param simulator: of B sessions.
    :param expert: shows what it scores highest.
    :returns: ``(B, steps)`` transitions without what only a world knows, and with its own reward
        under ``next``, which no learner reads.
    """
    state, rows = simulator.reset(), []
    secret = (Key.LATENT, Key.TRUE_REWARD)
    for _ in range(steps):
        seen = state if getattr(expert, "knows_truth", False) else state.exclude(*secret)
        acted = expert.act(seen.copy(), simulator.slate_size, deterministic=True)
        played, state = simulator.step_and_maybe_reset(state.set(Key.ACTION, acted[Key.ACTION]))
        row = played.exclude(*secret)
        row["next"] = played["next"].exclude(*secret)
        rows.append(row)
    return TensorDict.stack(rows, 1)


def with_absorbing(trajectory: TensorDictBase, horizon: int) -> TensorDict:
    """Play the end of a logged trajectory on in an absorbing state (Kostrikov et al. 2019).

    The end becomes a step into a state of the key ``absorbing``, which leads to itself until the
    horizon. What an end is worth is then learned like all else, and not set to 0.

    :param trajectory: ``(T,)`` transitions. One whose last step is not ``terminated`` was cut and
        stays as it is.
    :param horizon: steps in all, T or more.
    :returns: ``(horizon,)`` transitions, or ``(T,)`` for one that was cut; none ``terminated``.
    :raises DataError: where it ends before its last step, or is longer than the horizon.
    """
    ended = trajectory["next", "terminated"].squeeze(-1)
    if len(trajectory) > horizon or bool(ended[:-1].any()):
        raise DataError(
            f"A trajectory of {len(trajectory)} steps, {int(ended.sum())} of them ends, cannot be "
            f"played on to {horizon} steps. Give one trajectory at a time, which ends at its last "
            "step if at all, and a horizon that is as long as the longest."
        )
    whole = TensorDict.from_dict(trajectory.to_dict(), batch_size=[len(trajectory)])
    never = torch.zeros_like(whole["next", "terminated"])
    whole[Key.ABSORBING] = never
    whole["next", Key.ABSORBING] = whole["next", "terminated"]
    whole["next", "terminated"] = never
    if "done" in whole["next"].keys():  # noqa: SIM118 (a TensorDict)
        whole["next", "done"] = torch.zeros_like(whole["next", "done"])
    if not bool(ended[-1]) or len(whole) == horizon:
        return whole
    stay = whole[-1:].clone()
    following = stay["next"]
    for key in stay.keys():  # noqa: SIM118 (a TensorDict)
        if key != "next" and key in following.keys():  # noqa: SIM118 (a TensorDict)
            stay[key] = following[key]
    return torch.cat([whole, stay.expand(horizon - len(whole))])
