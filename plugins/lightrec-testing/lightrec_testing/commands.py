"""`lightrec plugins check`."""

import sys
import time
from collections import Counter

from lightrec_testing.contract import AGAIN, outcomes
from lightrec_testing.plugins import plugin_checks


def check(name: str, *, part: str | None = None) -> int:
    """Run every check of a package's contracts and print the outcome of each.

    What cannot be imported comes first, then the parts, then the recipes. To load, to be complete
    and to be described counts for nothing but where it fails: it says nothing of what a part does.

    examples:
      lightrec plugins check lightrec-video
      lightrec plugins check video --part NextEpisode

    :param name: such as lightrec-video or video.
    :param part: check this part of the package alone, without the recipes; "recipes video" is
        a set of recipes with the name of a domain.
    """
    marks = {"passed": "ok", "failed": "FAILED", "not applicable": "-", "not checked": "?"}
    counts, tried = dict.fromkeys(marks, 0), dict[str, bool]()
    checks = plugin_checks(name, part)
    left, begun = Counter(check.part for check in checks), time.monotonic()
    for check, status, message in outcomes(checks):
        if check.counts or status == "failed":
            counts[status] += 1
            tried[check.part] = tried.get(check.part, False) or status in ("passed", "failed")
            if not message.startswith(AGAIN):
                said = message and f": {message}"
                print(f"{marks[status]:<7} {check.part}: {check.name}{said}", flush=True)
        left[check.part] -= 1
        if not left[check.part]:
            now = time.monotonic()
            print(f"{check.part} took {now - begun:.1f} s.", file=sys.stderr, flush=True)
            begun = now
    print(", ".join(f"{count} {status}" for status, count in counts.items()))
    if without := [name for name, was in tried.items() if not was]:
        print(f"Nothing of what these do was checked: {', '.join(without)}. See `?` above.")
    return 2 if counts["failed"] else 0
