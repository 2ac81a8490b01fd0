"""The reward that a policy is trained on: any class among the rewards, by its short name."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, get_args, get_type_hints

from jsonargparse import ArgumentError, ArgumentParser

from lightrec import plugins
from lightrec.errors import RecipeError
from lightrec.rewards.base import Reward

Setting = Any
"""What a recipe can say; the reward's constructor decides whether it may."""
CLASS, ARGUMENTS = "class_path", "init_args"


@dataclass
class RewardPlan:
    """A reward that can be built: its class, and what its constructor is given."""

    kind: type[Reward]
    settings: dict[str, Setting]
    parts: dict[str, "RewardPlan | list[RewardPlan]"] = field(default_factory=dict)
    """Rewards within the reward."""

    def build(self) -> Reward:
        """Build it, its parts first."""
        given: dict[str, Any] = dict(self.settings)
        for name, part in self.parts.items():
            if isinstance(part, list):
                given[name] = [each.build() for each in part]
            else:
                given[name] = part.build()
        with plugins.blaming(self.kind, f"be built with {dict(self.settings)}"):
            return self.kind(**given)


def plan_reward(name: str, settings: Mapping[str, Setting] | None = None) -> RewardPlan:
    """See that a reward can be built, without building anything.

    :param name: such as ``SurplusReward``; lightrec's own or a plugin's.
    :param settings: arguments of its constructor. An argument that is a
        reward is a name, or a mapping of ``class_path`` and ``init_args``; one that is a list of
        rewards, a list of these.
    :raises PluginError: where no installed package provides the reward.
    :raises RecipeError: where the constructor does not take these settings.
    """
    kind = plugins.installed().get("rewards", name).load()
    types = get_type_hints(kind.__init__)
    plain: dict[str, Setting] = {}
    parts: dict[str, RewardPlan | list[RewardPlan]] = {}
    for key, value in (settings or {}).items():
        if types.get(key) is Reward:
            parts[key] = _plan_part(name, key, value)
        elif get_args(types.get(key)) == (Reward,):
            if not isinstance(value, (list, tuple)):
                raise _no_part(name, key, value)
            parts[key] = [_plan_part(name, key, each) for each in value]
        else:
            plain[key] = value
    parser = ArgumentParser(exit_on_error=False)
    parser.add_class_arguments(kind, skip={*parts})
    try:
        chosen = parser.parse_object(plain).as_dict()
    except ArgumentError as error:
        raise RecipeError(
            f"The reward {name} cannot be built with reward_settings {dict(settings or {})}: "
            f"{error}"
        ) from None
    return RewardPlan(kind, chosen, parts)


def make_reward(name: str, settings: Mapping[str, Setting] | None = None) -> Reward:
    """Build a reward.

    :param name: such as ``SurplusReward``; lightrec's own or a plugin's.
    :param settings: see :func:`plan_reward`.
    :raises PluginError: where no installed package provides the reward.
    :raises RecipeError: where the constructor does not take these settings.
    """
    return plan_reward(name, settings).build()


def _plan_part(owner: str, key: str, value: Setting) -> RewardPlan:
    if isinstance(value, str):
        return plan_reward(value)
    fits = isinstance(value, Mapping) and {CLASS} <= value.keys() <= {CLASS, ARGUMENTS}
    if not fits or not isinstance(value.get(ARGUMENTS) or {}, Mapping):
        raise _no_part(owner, key, value)
    return plan_reward(value[CLASS], value.get(ARGUMENTS))


def _no_part(owner: str, key: str, value: Setting) -> RecipeError:
    return RecipeError(
        f"{key} of the reward {owner} is {value!r}; expected is a reward's name or "
        f"`{CLASS}: NAME` with `{ARGUMENTS}`, and a list of these where there are several."
    )
