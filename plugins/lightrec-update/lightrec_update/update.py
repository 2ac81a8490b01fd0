"""`lightrec update`: a run's next version, from the present one and what has happened since.

The new version is made out of sight in ``versions/.next`` and takes its place by renames: its
folder appears whole, then the link that names the version that answers is replaced. A stopped
update continues where it was.
"""

import json
import os
import shlex
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from lightrec.data.files import check_input, is_url, leaving_nothing, without_password, write_whole
from lightrec.data.findings import LEFT_OUT, in_words
from lightrec.data.store import META, READ
from lightrec.errors import RecipeError, RunError
from lightrec.run import FINAL, VERSION, VERSIONS, Run
from lightrec.stages import recipes, redo
from lightrec.stages.run import EVALUATE, do, in_file
from lightrec.stages.stage import Stage, hash_file, publish
from lightrec.trust import gate
from lightrec_update import versions
from lightrec_update.append import NothingNew, append_log

NEXT: Final = Path(VERSIONS, ".next")
"""In a run: the version that is being made."""
SESSIONS: Final = "SimulatedSessions"
"""The evaluator that needs user models and a policy, which no update makes."""
LEARNED: Final = ("data", "ranker", FINAL)
STAGES: Final = (*LEARNED, EVALUATE)
APPEND: Final = f"{append_log.__module__}.{append_log.__qualname__}"


def update(
    run: Path,
    *,
    log: Sequence[Path] | None = None,
    items: Path | None = None,
    users: Path | None = None,
    keep: int = 5,
    overrides: Mapping[str, Sequence[str]] | None = None,
) -> int | None:
    """Append to a run's log, and let a new version of the run answer.

    The arguments are the options of ``lightrec update``.

    :param run: a run folder, such as runs/mine.
    :param log: new events: files as the run's own log, folders with such files, or databases.
    :param items: a table of new or changed items.
    :param users: a table of new or changed users.
    :param keep: how many of the newest versions stay; version 1 and the one that answers stay, too.
    :param overrides: settings of the stages ``data`` and ``ranker``, as for ``lightrec run``.
    :returns: the number of the new version; None where there is nothing new.
    :raises LightrecError: where the input or the run cannot be used.
    """
    if not log and items is None and users is None:
        raise RecipeError("Say what is new: give --log, --items, --users or several of them.")
    if keep < 1:
        raise RecipeError(f"--keep takes the number of versions that stay, from 1, and not {keep}.")
    overrides = overrides or {}
    if unknown := overrides.keys() - {"data", "ranker"}:
        raise RecipeError(
            f"An update has the stages data and ranker, and none called {sorted(unknown)[0]!r}."
        )
    paths = {f"log-{n}": path for n, path in enumerate(files_of(log or ()), start=1)}
    paths |= {role: path for role, path in (("items", items), ("users", users)) if path is not None}
    for path in paths.values():
        if not is_url(path):
            check_input(path)
    run = run.absolute()
    if not run.is_dir():
        raise RunError(f"There is no run folder {run}.")
    shown = {role: without_password(str(path)) for role, path in paths.items()}
    words = [w for role, name in shown.items() for w in (f"--{role.partition('-')[0]}", name)]
    with redo.alone(run, "update"), gate():
        redo.complete(run)
        paths = {role: in_file(path, run / NEXT, role) for role, path in paths.items()}
        present = Run(run)
        present.check("data", "ranker")
        if not (present.folder("data") / READ).is_dir():
            raise RunError(
                f"{present.path} has not kept the log that it was made from, as runs of earlier "
                "releases: make it again with `lightrec run`, once."
            )
        meta = json.loads((present.folder("data") / "meta.json").read_text(encoding="utf-8"))
        if meta["settings"]["split"] == "item-cold":
            raise RunError(
                f"{present.path} holds items out of training (split: item-cold), which would be "
                "drawn again from the longer log, among items that its ranker has learned. Make "
                "the run again with `lightrec run`, or with another split."
            )
        appended = present.about.get("sources", {})
        marks = {hash_file(path): shown[role] for role, path in paths.items()}
        sources = {r: p for r, p in paths.items() if hash_file(p) not in appended}
        number = versions.numbers(run)[-1] + 1
        elsewhere = dict(present.about.get("elsewhere", {}))
        for path in sorted(present.path.glob("*/stage.json")):
            if (stage := path.parent.name) not in STAGES:
                mark = present.stamp(stage)["fingerprint"]
                elsewhere[stage] = {"version": present.version, "fingerprint": mark}
        about = {  # what the new version notes of itself
            "version": number,
            "updated": present.version,
            "sources": appended | marks,
            "elsewhere": elsewhere,
            "overrides": {name: present.overrides(name) for name in LEARNED if present.has(name)},
            "asked": {stage: list(words) for stage, words in overrides.items()},
            "command": shlex.join(["lightrec", "update", str(run), *words]),
        }
        try:
            if not sources and not overrides.get("data"):
                raise NothingNew
            if (made := same(run, about)) is None:
                with leaving_nothing(run / NEXT, run / NEXT / "data"):
                    make(run, present, about, sources, overrides)
                meta = json.loads((run / NEXT / "data" / META).read_text(encoding="utf-8"))
                tell(meta.get("appended", {}), shown)
                os.replace(run / NEXT, versions.folder(run, number))
        except NothingNew as nothing:
            tell(nothing.appended, shown)
            shutil.rmtree(run / NEXT, ignore_errors=True)
            versions.promote(run, present.version)
            return None
        number = number if made is None else made
        versions.promote(run, number)
        for old in versions.prune(run, keep):
            print(f"version {old} is removed (--keep {keep})", file=sys.stderr)
    return number


def tell(appended: Mapping[str, Mapping[str, int]], shown: Mapping[str, str]) -> None:
    """Print what became of each row of each source.

    :param appended: as :func:`lightrec_update.append.account` and `prepare` count it.
    :param shown: names of the sources by the same keys; one that is not counted was known.
    """
    for role in {**shown, **appended}:
        name, each = shown.get(role, f"the logs' {role}"), appended.get(role)
        if each is None:
            print(f"{name}: it was taken in before.", file=sys.stderr)
            continue
        kinds = {"events": "come in", "added": "are new", "changed": "are changed"}
        kinds |= {"known": "are known already"} | {n: f"are {w}" for n, w in LEFT_OUT.items()}
        counts = [f"{count:,} {words}" for count, words in in_words(each, kinds)]
        print(f"{name}: of {each['rows']:,} rows {', '.join(counts) or 'none'}.", file=sys.stderr)


def files_of(paths: Sequence[Path]) -> Iterator[Path]:
    """Logs one by one; of a folder that no reader takes as one log, those in it."""
    from lightrec import plugins

    readers = [part.load() for part in plugins.installed().parts["readers"].values()]
    for path in paths:
        if path.is_dir() and not any(reader.recognises(path) for reader in readers):
            yield from files_of(sorted(p for p in path.iterdir() if p.name[0] not in "._"))
        else:
            yield path


def same(run: Path, about: Mapping[str, Any]) -> int | None:
    """Find a finished version that was made of the same, as by an update stopped at its end."""
    for number in versions.numbers(run)[1:]:
        made = Run(versions.folder(run, number), follow=False).about
        if {**made, "version": 0} == {**about, "version": 0}:
            return number
    return None


def make(
    run: Path,
    present: Run,
    about: Mapping[str, Any],
    sources: Mapping[str, Path],
    overrides: Mapping[str, Sequence[str]],
) -> None:
    """Make the stages of a new version, or continue with them: data with what is appended, the
    ranker trained on, and its evaluation.

    :raises NothingNew: where all that is given is known.
    """
    room, stages = run / NEXT, dict[str, Stage]()
    (room / "logs").mkdir(parents=True, exist_ok=True)
    write_whole(room / VERSION, json.dumps(about, indent=2))
    command = about["command"]
    goes_on = [
        f"--model.init_args.continues={present.folder('ranker')}",
        f"--data.init_args.since={present.folder('data')}",
        *recipes.load("generic").words(FINAL),  # chosen on validation: docs/how-to/update.md
    ]
    for name, overridden in about["overrides"].items():
        overridden = [*overridden, *(goes_on if name == "ranker" else ())]
        overridden += overrides.get("data" if name == "data" else "ranker", ())
        read = {**sources, "before": present.folder("data") / READ} if name == "data" else {}
        recipe = present.stamp(name)["recipe"] | ({"function": APPEND} if name == "data" else {})
        tuned = "text" in (*recipes.names(recipe), *about["elsewhere"])
        if name != "data" and tuned:  # no update tunes texts
            texts = present.holding("text").folder("text")
            overridden.insert(0, f"--data.init_args.text={texts}")
            recipe = {**recipe, "reads": ["data", *(["ranker"] if name == FINAL else [])]}
        stages[name] = Stage(name, recipe, room / name, overridden, read, command, dict(stages))
    if present.has(EVALUATE):
        recipe = {**present.stamp(EVALUATE)["recipe"], "reads": ["data", "ranker"]}
        judges = [each for each in recipe["evaluators"] if SESSIONS not in each["class_path"]]
        recipe["evaluators"] = judges
        stages[EVALUATE] = Stage(EVALUATE, recipe, room / EVALUATE, [], {}, command, dict(stages))
    for number, stage in enumerate(stages.values(), start=1):
        do(stage, f"[{number}/{len(stages)}] {stage.name}", not stage.is_current())
        publish(stage.recipe, stage.out, room)
