"""Tuned text encoders: written as a folder of Hugging Face, and found by the stages that follow."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from torch import Tensor, nn

from lightrec.encoders.base import Encoder
from lightrec.encoders.hub import FILES, NOTES, OWN, TUNED, quiet_loading, read_json
from lightrec.encoders.text import TextEncoder
from lightrec.errors import RecipeError


def write_model(
    encoder: TextEncoder,
    folder: Path,
    noted: Mapping[str, object],
    dense: Tensor | None = None,
    kept: Literal["same", "changed", "adapter"] = "same",
) -> None:
    """Write an encoder's model as Hugging Face and sentence-transformers read it.

    :param folder: an existing one.
    :param noted: how it was made.
    :param dense: (size, size) float32, a linear map that is laid over what the model gives.
    :param kept: whether its weights are those of its files, or have ``changed``, or are those
        and an ``adapter``, which lies in the folder already.
    """
    from sentence_transformers.sentence_transformer.modules import Dense, Normalize

    encoder.load_weights()
    if kept == "changed":
        with quiet_loading():
            encoder.transformer.save(str(folder))
    copied = (*FILES, ".md") if kept == "same" else (".md",)
    for path in encoder.source.iterdir():
        if path.suffix in copied and path.is_file() and path.name not in NOTES:
            shutil.copyfile(path, folder / path.name)
    if kept == "adapter":
        encoder.transformer.processor.save_pretrained(folder)
    encoder.transformer.save_config(str(folder))
    read = {"max_seq_length": encoder.card.max_length, "do_lower_case": encoder.card.lower}
    steps: list[Any] = [step for step in encoder.head if type(step) is not Normalize]
    if dense is not None:
        shape = {"in_features": dense.shape[1], "out_features": dense.shape[0], "bias": False}
        weight = dense.float().cpu()
        steps.append(Dense(**shape, activation_function=nn.Identity(), init_weight=weight))
    layers = [("Transformer", "")]
    for number, step in enumerate([*steps, Normalize()], start=1):
        layers.append((type(step).__name__, f"{number}_{type(step).__name__}"))
        (folder / layers[-1][1]).mkdir()
        step.cpu().save(str(folder / layers[-1][1]))
    named = {"query": encoder.card.query, "document": encoder.card.prompt}
    prompts = {"prompts": named, "default_prompt_name": "document"}
    modules = [
        {"idx": n, "name": str(n), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for n, (kind, path) in enumerate(layers)
    ]
    own = (modules, read_json(folder / OWN[1]) | read, prompts)
    written = dict(zip(OWN, own, strict=True)) | {TUNED: {"from": encoder.model, **noted}}
    for name, said in written.items():
        (folder / name).write_text(json.dumps(said, indent=2) + "\n", encoding="utf-8")


def tuned(encoder: Encoder | None, stage: str | None) -> Encoder | None:
    """The encoder that the stage `text` has made of one; the encoder itself where it made nothing.

    :param stage: the stage's folder; None where there is no such stage.
    :raises RecipeError: where it has tuned another encoder.
    """
    if encoder is None or stage is None:
        return encoder
    if not (said := read_json(Path(stage) / TUNED)):
        raise RecipeError(f"{stage} has no {TUNED}, so it is no folder of the stage text.")
    if "from" not in said:
        return encoder
    if not isinstance(encoder, TextEncoder) or said["from"] != encoder.model:
        raise RecipeError(
            f"The stage text has tuned the text encoder {said['from']}, and the ranker is to read "
            f"by {getattr(encoder, 'model', type(encoder).__name__)}. Give both the same, as with "
            "--values.text_encoder, or leave it as it is with --text.model.init_args.tune none."
        )
    kept = ("batch_size", "cache", "device", "dtype", "attention", "quantization")
    return type(encoder)(str(Path(stage).resolve()), **{n: getattr(encoder, n) for n in kept})
