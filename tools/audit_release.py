"""Attack what may leave of many small cohorts with linear programs, and count the small cells that they expose.

    python -m tools.audit_release --cohorts 60

The cohorts are made as those of the tests, which try a few of the first: 60 to 400 patients, rare groups and findings,
sharp and dull models, minima of 5 and 10. Each is attacked by six readers, from one who knows all that the texts mean
to one who takes them for little. Prints one JSON line; the exit status is 1 where a reader bounds a small cell more
tightly than the texts alone do.
"""

from __future__ import annotations

import argparse
import json
import sys
import time

from privrad import progress
from privrad.report import release
from tests.report import attacked


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cohorts", type=int, default=60, help="cohorts to attack (60)")
    parser.add_argument("--first", type=int, default=12, help="the number of the first of them (12)")
    asked = parser.parse_args()
    started, cells, found = time.perf_counter(), 0, {}
    for place in progress.track(range(asked.first, asked.first + asked.cohorts), what="release: cohorts"):
        tables, minimum = attacked.nasty(place)
        released = release.fit_to_leave(tables, minimum=minimum, few=minimum)
        small = attacked.small_counts(tables, minimum=minimum) | attacked.small_calls(tables, minimum=minimum)
        cells += len(small)
        if exposed := attacked.exposed(tables, released, minimum=minimum):
            found[place] = {" ".join(map(str, name)): bounds for name, bounds in exposed.items()}
    exposed_cells = sum(len(each) for each in found.values())
    facts = {"cohorts": asked.cohorts, "small_cells": cells, "exposed": exposed_cells, "where": found}
    print(json.dumps(facts | {"seconds": round(time.perf_counter() - started, 1)}))
    return int(exposed_cells > 0)


if __name__ == "__main__":
    sys.exit(main())
