"""The hooks through which packages add parts to lightrec.

A plugin is an installed package with an entry point in the group ``lightrec``; the entry point
names a module that holds hook implementations and imports nothing heavy. lightrec's own parts come
through the same hooks.

Hooks return names, not classes: ``{"ShortName": "package.module:Class"}``. The classes are
imported when something needs them, so that listing plugins is instant and a broken class hurts
only its user.

Example of a plugin's hook module::

    from lightrec.hookspecs import hookimpl

    LIGHTREC_API = 1

    @hookimpl
    def lightrec_encoders() -> dict[str, str]:
        return {"BagOfWords": "my_package.encoder:BagOfWords"}
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pluggy

PROJECT = "lightrec"
API_VERSION = 1
"""The version of these hooks. A plugin may state the one it was written for as ``LIGHTREC_API``."""

hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


@hookspec
def lightrec_encoders() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add text encoders.

    :returns: short names and import paths of concrete subclasses of
        :class:`lightrec.encoders.base.Encoder`.
    """


@hookspec
def lightrec_simulators() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add simulators of users.

    :returns: short names and import paths of concrete subclasses of
        :class:`lightrec.simulators.base.Simulator`, a batched TorchRL environment.
    """


@hookspec
def lightrec_rewards() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add rewards.

    :returns: short names and import paths of concrete subclasses of
        :class:`lightrec.rewards.base.Reward`.
    """


@hookspec
def lightrec_policies() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add policies.

    :returns: short names and import paths of concrete subclasses of
        :class:`lightrec.policies.base.Policy`.
    """


@hookspec
def lightrec_evaluators() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add evaluators, whose metrics join ``metrics.json``, and whose sections join the report.

    :returns: short names and import paths of concrete subclasses of
        :class:`lightrec.evaluation.base.Evaluator`.
    """


@hookspec
def lightrec_domains() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add domains: what a field of use knows about its items, feedback and samples.

    :returns: command-line names (``video``) and import paths of subclasses of
        :class:`lightrec.data.domain.Domain`.
    """


@hookspec
def lightrec_readers() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add readers of file formats. A reader says by itself whether a path is its own.

    :returns: short names and import paths of concrete subclasses of
        :class:`lightrec.data.readers.base.Reader`.
    """


@hookspec
def lightrec_components() -> Mapping[str, str]:  # type: ignore[empty-body]
    """Add classes of any other kind that a recipe can name.

    These are user towers, ranking losses, item models, reward learners, modules and data modules
    of stages, transforms of batches and callbacks. The type of a recipe's setting says which of
    them it takes.

    :returns: short names and import paths of concrete classes.
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
