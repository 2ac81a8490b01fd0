"""Made-up online courses, some of which require that others were completed before.

They are those of the kit's tiny log: each of its kinds is a subject of twelve courses.
"""

import json
import shutil

import polars as pl
from lightrec_testing import tiny

from lightrec.data.domain import Domain
from lightrec.data.files import stamp, write_stamp
from lightrec.data.store import CATALOG, META

HOOKS = f"""
@hookimpl
def lightrec_domains():
    return {{"courses": "{__name__}:Courses"}}
"""


class Courses(Domain):
    """A course is open to who has had all that it requires."""

    name = "courses"
    by_history = True

    def eligible(self, audience):
        return audience.had_all("requires")


def required(item):
    """The numbers, from 0, of what an item requires: the course before it, or the two before."""
    place = item % tiny.SIZE
    return range(item - min(place, 1 + (place == tiny.SIZE - 1)), item)


def is_open(item, had):
    """Whether a course may be shown to who has had some."""
    return all(f"i{other}" in had for other in required(int(item[1:])))


def courses_run(tiny_run, folder):
    """Copy the tiny run as one over courses."""
    copy = shutil.copytree(tiny_run, folder / "courses")
    data = copy / "data"
    meta = json.loads((data / META).read_text())
    meta["settings"]["domain"], meta["restricts"] = "courses", True
    (data / META).write_text(json.dumps(meta))
    items = pl.read_parquet(data / CATALOG)
    needs = [[f"i{n}" for n in required(int(item[1:]))] for item in items["item"]]
    items.with_columns(pl.Series("requires", needs, pl.List(pl.String))).write_parquet(
        data / CATALOG
    )
    write_stamp(data, stamp(data))  # with the hashes of these files
    return copy
