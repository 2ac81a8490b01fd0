"""A run's folder: what its stages left, loaded when it is asked for.

A finished stage's folder holds a ``stage.json`` with the fingerprint of all that went in, and with
those of the stages that it read. Whatever is asked of a run, these are compared first: models that
learned from another log than the one that lies next to them answer nonsense. Nothing heavy is
imported before a part is loaded.
"""

import copy
import fcntl
import json
import os
import weakref
from collections.abc import Iterable
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from lightrec import plugins
from lightrec.data.files import STAMP, is_plain, mending, stamp
from lightrec.errors import RunError

if TYPE_CHECKING:
    from lightrec.data.domain import Domain
    from lightrec.data.store import EventStore
    from lightrec.policies.base import Policy
    from lightrec.ranking.blend import Blend
    from lightrec.ranking.item_models.base import Popularity, RecentPopularity
    from lightrec.ranking.item_models.demographic import Demographic
    from lightrec.ranking.item_models.text_map import TextMap
    from lightrec.ranking.ranker import Ranker
    from lightrec.ranking.scorers import Wishes
    from lightrec.users.user_model import UserModel

METRICS = "metrics.json"
VERSIONS, CURRENT = "versions", "current"
"""Folder of a run's later versions, and the link to the one that answers."""
VERSION = "version.json"
"""Note in a later version's folder: what it was made from."""
FINAL = "final"
"""The stage that learns from all events, after all is judged."""
OPENED: Final[set[Path]] = set()
"""The folders of all runs that the present command has looked into."""


class Run:
    """A run, finished or half finished.

    Each part is loaded once, when it is first asked for, and shared by all who ask: copy what you
    change.

    A run that was updated has versions, each a whole run folder. Which one answers is looked up
    once, here: whoever holds a run sees one version, whatever is promoted meanwhile.

    :param path: a run folder such as ``runs/video``, or a version's such as
        ``runs/video/versions/2``.
    :param follow: whether to open the version that answers; otherwise the stages that lie in the
        folder itself.
    """

    def __init__(self, path: str | Path, follow: bool = True) -> None:
        self.path = Path(path)
        if follow and (link := self.path / CURRENT).is_symlink():
            place = link.readlink()
            if place.parent != Path(VERSIONS) or not place.name.isdecimal():
                raise RunError(
                    f"{link} leads to {place}, and not to a version such as {VERSIONS}/2: remove "
                    "it, and let a version answer with `lightrec runs promote`."
                )
            self.path /= place
        OPENED.add(self.path)

    @cached_property
    def about(self) -> dict[str, Any]:
        """An update's notes of the version that it makes; of the run's first version, nothing.

        ``version`` and ``updated`` are its number and that of the version it was made from,
        ``elsewhere`` the stages that were kept, each with ``version`` and ``fingerprint``.
        """
        if not (path := self.path / VERSION).is_file():
            return {}
        with suppress(ValueError, RecursionError):
            note = json.loads(path.read_text(encoding="utf-8"))
            if (
                isinstance(note, dict)
                and type(note.get("version")) is int
                and type(note.get("updated", 1)) is int
                and all(isinstance(note.get(n, {}), dict) for n in ("elsewhere", "overrides"))
                and all(
                    isinstance(each, dict) and type(each.get("version")) is int
                    for each in note.get("elsewhere", {}).values()
                )
            ):
                return note
        raise RunError(
            f"{path} is damaged: it is no note of a version. Copy the run again, or let another "
            "version answer with `lightrec runs promote`."
        )

    @property
    def version(self) -> int:
        """The number of this version; 1 for the run folder itself."""
        return int(self.about.get("version", 1))

    @property
    def base(self) -> Path:
        """The folder of the whole run, in which version 1 lies."""
        return self.path.absolute().parents[1] if self.about else self.path

    @property
    def name(self) -> str:
        """Name of the run, such as ``video``, or ``video, version 2``."""
        folder = self.base.resolve().name
        return f"{folder}, version {self.version}" if self.about else folder

    def hold(self) -> None:
        """Keep this version from being removed by updates for as long as this object lives."""
        if self.about:
            # Shared by all who load it, as locks of filelock are not.
            held = os.open(self.path / VERSION, os.O_RDONLY)
            fcntl.flock(held, fcntl.LOCK_SH)
            weakref.finalize(self, os.close, held)

    def holding(self, stage: str) -> "Run":
        """The version in which a stage is found: this one, or an earlier one.

        An update does not repeat every stage.

        :raises RunError: where the earlier stage is not the one any more that it was.
        """
        noted = self.about.get("elsewhere", {}).get(stage)
        if self.has(stage) or noted is None:
            return self
        number = noted["version"]
        earlier = Run(self.base / VERSIONS / str(number) if number > 1 else self.base, follow=False)
        if not earlier.has(stage) or earlier.stamp(stage)["fingerprint"] != noted["fingerprint"]:
            raise RunError(
                f"The stage {stage} of {self.name} was that of version {number}, which has another "
                "one now, or none: promote another version with `lightrec runs promote`."
            )
        return earlier

    def folder(self, stage: str) -> Path:
        """The folder of a stage, whether it is there or not.

        :raises RunError: where a file names something else than a stage.
        """
        if not is_plain(stage):
            raise RunError(
                f"A file in {self.path} names the stage {stage!r}, which is no plain name such as "
                "ranker: the file is damaged. Make the run again with `lightrec run`."
            )
        return self.path / stage

    def has(self, stage: str) -> bool:
        """Tell whether a stage is finished."""
        return (self.folder(stage) / STAMP).is_file()

    def stamp(self, stage: str) -> dict[str, Any]:
        """Read the ``stage.json`` of a finished stage.

        :raises RunError: where the stage is not finished.
        """
        return stamp(self.folder(stage))

    def overrides(self, stage: str) -> list[str]:
        """The settings that a finished stage was given beside its recipe, save an update's.

        :raises RunError: where the stage is not finished.
        """
        noted = self.about.get("overrides", {}).get(stage)
        return list(self.stamp(stage)["overrides"] if noted is None else noted)

    def check(self, *stages: str) -> None:
        """See that stages belong together, and with all stages that they were made from.

        A stage that is not named may be missing: a run folder can be copied in part.

        :param stages: those that are about to be read, such as ``data`` and ``policy``.
        :raises RunError: where a named stage is not finished, or where one was made from another
            stage than the one that is there now; the sentence has the command that fixes it.
        """
        left = [*stages]
        for name in left:  # grows by the stages that each was made from
            made = self.stamp(name)
            for other in filter(self.has, made.get("inputs", {})):
                present = self.stamp(other)
                if present["fingerprint"] != made["inputs"][other]:
                    raise RunError(
                        f"The stage {name} in {self.path} is stale: it was made from another "
                        f"{other} stage than the one that is there now. Make it again with "
                        f"`{mending(self.path, present, made)}`."
                    )
                if other not in left:
                    left.append(other)

    def stale(self, stages: Iterable[str]) -> list[str]:
        """Name those of some stages, given in their order, that were made from other inputs."""
        outdated: list[str] = []
        for name in filter(self.has, stages):
            try:
                self.check(name)
            except RunError:
                outdated.append(name)
        return outdated

    def check_halves(self) -> None:
        """See that user models A and B learned from disjoint halves of the users.

        :raises RunError: where the halves overlap.
        """
        from lightrec.users.halves import OFFERS, overlap

        files = [self.folder(name) / "config.json" for name in ("users_a", "users_b")]
        notes = [json.loads(file.read_text()).get(OFFERS) for file in files if file.is_file()]
        if len(notes) == 2 and all(notes) and (sentence := overlap(*notes)):
            raise RunError(f"{self.path}: {sentence} Then run the stage that changed again.")

    def metrics(self, stage: str = "evaluate") -> dict[str, Any]:
        """Metrics of a stage.

        :raises RunError: where the stage is not finished, or was made from other inputs.
        """
        self.check(stage)
        metrics: dict[str, Any] = json.loads((self.folder(stage) / METRICS).read_text())
        return metrics

    @cached_property
    def data(self) -> "EventStore":
        """The prepared log."""
        from lightrec.data.store import EventStore

        return EventStore(self._checked("data"))

    @cached_property
    def domain(self) -> "Domain":
        """The domain for which the log was prepared.

        :raises PluginError: where it forbids items and is not installed.
        """
        from lightrec.data.domain import domain_of

        return domain_of(self.data)

    @cached_property
    def blend(self) -> "Blend":
        """The model that ranks the next event: the ranker together with the item models."""
        from lightrec.ranking.blend import Blend

        return Blend.load(self._checked("ranker"))

    @cached_property
    def served(self) -> "Blend":
        """The blend that has learned from all events, to be shown; where there is none, ``blend``.

        The stage `final` makes it after all is judged, so that nothing may be judged by it.
        """
        from lightrec.ranking.blend import Blend

        return Blend.load(self.folder(FINAL)) if self._is_final else self.blend

    @property
    def learned(self) -> "EventStore":
        """The prepared log, of which ``served`` has learned the training events."""
        return self.data.whole if self._is_final else self.data

    @property
    def judged(self) -> "Run":
        """The run without its stage `final`: what serves then may be judged by held-out events."""
        judged = copy.copy(self)
        for name in ("served", "popularity", "demographic", "text_map"):
            judged.__dict__.pop(name, None)
        judged.__dict__["_is_final"] = False
        return judged

    @cached_property
    def _is_final(self) -> bool:
        return self.has(FINAL) and not self.stale([FINAL])

    @property
    def ranker(self) -> "Ranker":
        """The ranker alone."""
        return self.blend.ranker

    @cached_property
    def popularity(self) -> "Popularity | RecentPopularity":
        """The model that ranks for somebody of whom nothing is known."""
        from lightrec.ranking.item_models.base import popular

        return popular(self.learned)

    @cached_property
    def demographic(self) -> "Demographic | None":
        """The model that ranks by attributes alone; None where the run found nothing they tell."""
        from lightrec.ranking.blend import described_models
        from lightrec.ranking.item_models.base import Evidence
        from lightrec.ranking.item_models.demographic import Demographic

        for name, model in described_models(self.folder("ranker")).items():
            if isinstance(model, Demographic):
                fitted = dict(self.served.item_models.items()).get(name)
                if isinstance(fitted, Demographic):
                    return fitted
                return model.fit(Evidence.of(self.learned))
        return None

    @cached_property
    def text_map(self) -> "TextMap | None":
        """The map that scores items without events; None where the ranker reads no texts."""
        from lightrec.ranking.item_models.text_map import TextMap

        return TextMap.of(self.served, self.learned)

    @cached_property
    def wishes(self) -> "Wishes":
        """The reader of requests in words.

        :raises PluginError: where no installed package does.
        :raises RunError: where the ranker has learned nothing of them.
        """
        kind = plugins.installed().get(plugins.LIST_PARTS, "wishes").load()
        wishes: Wishes = kind.load(self._checked("ranker"), self.data, self.ranker.items)
        return wishes

    @cached_property
    def users_a(self) -> "UserModel":
        """User model A, in which the policy learned."""
        from lightrec.users.user_model import UserModel

        return UserModel.load(self._checked("users_a"))

    @cached_property
    def users_b(self) -> "UserModel":
        """User model B, which judges."""
        from lightrec.users.user_model import UserModel

        return UserModel.load(self._checked("users_b"))

    @cached_property
    def policy(self) -> "Policy":
        """The policy."""
        from lightrec.policies.base import Policy

        return Policy.load(self._checked("policy"))

    def _checked(self, stage: str) -> Path:
        self.check(stage)
        return self.folder(stage)
