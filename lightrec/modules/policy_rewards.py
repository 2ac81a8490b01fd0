"""The reward that a policy is trained on: any class among the rewards, by its short name."""

import inspect
from collections.abc import Mapping

from jsonargparse import ArgumentError, ArgumentParser

from lightrec import plugins
from lightrec.errors import RecipeError
from lightrec.rewards.base import Reward

Setting = int | float | str | bool


def make_reward(name: str, folder: str, settings: Mapping[str, Setting] | None = None) -> Reward:
    """Build a reward.

    :param name: such as ``SurplusReward``; lightrec's own or a plugin's.
    :param folder: what a reward stage left, given to a reward whose constructor takes ``folder``.
    :param settings: the other arguments of the constructor.
    :raises PluginError: where no installed package provides the reward.
    :raises RecipeError: where the constructor does not take these settings.
    """
    kind = plugins.installed().get("rewards", name).load()
    given = {"folder": folder} if "folder" in inspect.signature(kind).parameters else {}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, skip={"folder"})
    try:
        chosen = parser.parse_object(dict(settings or {})).as_dict()
    except ArgumentError as error:
        raise RecipeError(
            f"The reward {name} cannot be built with reward_settings {dict(settings or {})}: "
            f"{error}"
        ) from None
    reward: Reward = kind(**given, **chosen)
    return reward
