"""The weight of requests, learned at the end of each stage that trains a ranker."""

import inspect
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lightrec.api import AfterTraining, Encoder, StageData, StageModule
from lightrec.blame import provider
from lightrec.ranking.blend import Blend
from lightrec.ranking.blending import validation_events
from lightrec.ranking.module import RankingModule
from lightrec.ranking.sequence_data import SequenceData
from lightrec.trust import ARGUMENTS, built, described
from lightrec_rules.wishes import EVENTS, FILE, Wishes


class LearnWishes(AfterTraining):
    """Learns what requests count, and writes it beside the ranker, where items have words."""

    def add(
        self, module: StageModule, data: StageData, folder: Path, logs: Path
    ) -> Mapping[str, float]:
        """Write it into the folder of a stage that trained a ranker."""
        if isinstance(module, RankingModule) and isinstance(data, SequenceData):
            write_wishes(folder, data, module.earlier)
        return {}


def write_wishes(folder: Path, data: SequenceData, earlier: Path | str | None = None) -> None:
    """Learn what requests count, and write it beside the ranker, where items have words.

    :param earlier: folder of a ranker stage, in place of learning: what was learned there stays.
    """
    encoder = data.text_encoder
    made = _description(encoder) if encoder is not None and encoder.reads_words else None
    if earlier is None:
        encoder, events = built(made, Encoder | None), validation_events(data, EVENTS)
        learned = Wishes.learn(Blend.load(folder), data.store, encoder, events, data.seed)
        content = {} if learned is None else learned.settings
    else:
        path = Path(earlier) / FILE
        content = json.loads(path.read_text()) if path.is_file() else {}
    if content:
        (folder / FILE).write_text(json.dumps(content | {"encoder": made}, indent=2) + "\n")


def _description(encoder: Encoder) -> dict[str, Any] | None:
    """Describe an encoder by class and arguments; vectors on disk are those of items alone.

    :returns: None, which is printed, where it does not keep its arguments under their names.
    """
    names = [name for name in inspect.signature(type(encoder)).parameters if name != "device"]
    if lost := [name for name in names if not hasattr(encoder, name)]:
        print(
            f"Requests are read by words alone: {provider(encoder)} does not keep its "
            f"{' and '.join(lost)} as attributes, and cannot be made again.",
            file=sys.stderr,
        )
        return None
    arguments = dict[str, Any]()
    for name in names:
        value = getattr(encoder, name)
        arguments[name] = False if name == "cache" else value
        if isinstance(value, list) and any(isinstance(each, Encoder) for each in value):
            arguments[name] = [_description(each) for each in value]
            if None in arguments[name]:
                return None
    return {**described(type(encoder)), ARGUMENTS: arguments}
