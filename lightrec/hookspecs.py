"""The hooks through which packages add parts to lightrec.

A plugin is an installed package with an entry point in the group ``lightrec``; the entry point
names a module that holds hook implementations and imports nothing heavy. lightrec's own parts come
through the same hooks.

Hooks return names, not classes: ``{"ShortName": "package.module:Class"}``. The classes are
imported when something needs them, so that listing plugins is instant and a broken class hurts
only its user.

Example of a plugin's hook module::

    from lightrec.hookspecs import hookimpl

    LIGHTREC_API = 2

    @hookimpl
    def lightrec_encoders() -> dict[str, str]:
        return {"BagOfWords": "my_package.encoder:BagOfWords"}

:func:`gives` makes the same hook in one line.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pluggy

PROJECT = "lightrec"
API_VERSION = 2
"""The version of ``lightrec.api``. A plugin states the one it was written for as
``LIGHTREC_API``; which kinds of parts each version changed stands in ``moved.yaml``."""
OBJECT = "builtins:object"
SLOTS: dict[str, str] = {}
"""lightrec's own slots for classes: what each part of a slot is a subclass of."""

Hook = Callable[[], Mapping[str, str]]
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)
MARK = f"{PROJECT}_impl"
"""The attribute by which ``hookimpl`` marks a hook."""


def gives(parts: Mapping[str, str] | Sequence[Path]) -> Callable[[], object]:
    """Make a hook that gives parts which are known from the start.

    For example ``lightrec_encoders = gives({"BagOfWords": "my_package.encoder:BagOfWords"})``.
    """
    hook: Callable[[], object] = hookimpl(lambda: parts)
    return hook


def _slot(base: str, names: str = "short names") -> Callable[[Hook], Hook]:
    """Mark a hook that adds subclasses of a class, and say so in its docstring."""

    def mark(hook: Hook) -> Hook:
        SLOTS[hook.__name__.removeprefix("lightrec_")] = base
        kind = "classes" if base == OBJECT else f"subclasses of :class:`{base.replace(':', '.')}`"
        returns = f":returns: {names} and import paths of concrete {kind}."
        hook.__doc__ = f"{(hook.__doc__ or '').rstrip()}\n\n    {returns}"
        marked: Hook = hookspec(hook)
        return marked

    return mark


@_slot("lightrec.encoders.base:Encoder")
def lightrec_encoders() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add text encoders."""


@_slot("lightrec.simulators.session_env:SessionEnv")
def lightrec_simulators() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add simulators of users, which are batched TorchRL environments.

    Policies play those that are a :class:`~lightrec.simulators.base.Simulator`, which shows items.
    """


@_slot("lightrec.rewards.base:Reward")
def lightrec_rewards() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add rewards."""


@_slot("lightrec.policies.base:Policy")
def lightrec_policies() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add policies."""


@_slot("lightrec.evaluation.named_policies:PolicyMaker", names="words of ``--policy``")
def lightrec_policy_makers() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add policies that learn in a simulator before `simulate` and `judge` compare them."""


@_slot("lightrec.evaluation.base:Evaluator")
def lightrec_evaluators() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add evaluators, whose metrics join ``metrics.json``, and whose sections join the report."""


@_slot("lightrec.evaluation.base:Evaluator")
def lightrec_sections() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add evaluators that join every evaluation of a run, although no recipe names them.

    They are made without settings, and come after those of the recipe.
    """


@_slot("lightrec.nn.stage:AfterTraining")
def lightrec_after_training() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add what is done whenever a stage has been trained, beside writing its parts.

    They are made without settings.
    """


@_slot("lightrec.data.domain:Domain", names="command-line names (``video``)")
def lightrec_domains() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add domains: what a field of use knows about its items, feedback and samples."""


@_slot("lightrec.data.readers.base:Reader")
def lightrec_readers() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add readers of file formats. A reader says by itself whether a path is its own."""


@_slot("lightrec.learners.algorithms:Learner", names="names of losses (``ppo``)")
def lightrec_learners() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add learners from what was just played, which ``PolicyModule`` takes as its ``loss``."""


@_slot("lightrec.learners.algorithms:Learner", names="names of losses (``iql``)")
def lightrec_offline_learners() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add learners from a log, which ``OfflinePolicyModule`` takes as its ``loss``."""


@_slot("lightrec.policies.base:Policy", names="values of ``--by`` (``blend``)")
def lightrec_rankers() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add what may rank a run's items, for `recommend`, `explain`, `compare` and the service.

    A policy's ``from_run(run)`` makes it of a :class:`~lightrec.run.Run`. What reads more of a
    history than a policy's state has is a :class:`~lightrec.evaluation.rankers.RunRanker`.
    """


@_slot(OBJECT, names="``rules`` or ``wishes``")
def lightrec_list_parts() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add what a run's lists keep to, whatever ranks: standing rules, and requests in words.

    ``rules`` is made of the run's folder, of what finds an item by its name, and of the table of
    users that conditions ask. It has ``path``, the file of the rules, ``copy(folder)``, which puts
    them beside an export, and ``of(items, kinds)``, which gives a
    :class:`~lightrec.ranking.scorers.Standing` or, where the run has no rules, None. ``wishes`` has
    a ``load(folder, store, items)``, which gives a :class:`~lightrec.ranking.scorers.Wishes`, from
    the folder of the stage `ranker`, its log and the ranker's item tower.
    """


@_slot("lightrec.users.choice_model:ChoiceModel")
def lightrec_choice_models() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add models of how users choose, which ``ChoiceModule`` takes as its ``model``."""


@_slot("lightrec.users.irl:RewardLearner")
def lightrec_reward_learners() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add learners of rewards from choices, which ``ChoiceModule`` takes as its ``learner``."""


@_slot(OBJECT)
def lightrec_components() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add classes of any other kind that a recipe can name.

    These are user towers, ranking losses, item models, modules and data modules of stages, and
    callbacks. The type of a recipe's setting says which of them it takes.
    """


@hookspec
def lightrec_slots() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add slots for parts of further kinds, which this and other packages then fill by hooks.

    With ``{"crawlers": "my_package.base:Crawler"}`` every package may have a hook
    ``lightrec_crawlers``, whose parts are listed, checked and found as all others:
    ``plugins.installed().get("crawlers", "SiteMap").load()``, and in recipes by their short names.

    :returns: names of slots, and import paths of the classes from which their parts are derived.
    """


@hookspec
def lightrec_commands() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add commands to the command line.

    :returns: names (``serve``, or ``serve status`` for an action) and import paths of functions. A
        function's signature gives the command's options and its docstring the help, see
        ``lightrec.cli.command``.
    """


@hookspec
def lightrec_recipes() -> Sequence[Path]:  # type: ignore[empty-body]
    """Add recipes.

    :returns: folders; each sub-folder is a set of recipes under its own name, so that
        ``<folder>/video/ranker.yaml`` is found as ``video/ranker``.
    """
