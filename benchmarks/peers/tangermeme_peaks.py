"""tangermeme's recursive_seqlets in a process of its own: the spans of either sign of a file of scores, to another file."""

from __future__ import annotations

import json
import sys
import time

start = time.perf_counter()

import numpy as np  # noqa: E402
from tangermeme.seqlet import recursive_seqlets  # noqa: E402


def main() -> None:
    """Call both signs; print the seconds of importing, of the first call, which compiles, and of the second."""
    scores = np.load(sys.argv[1])
    times, found = [time.perf_counter() - start], {}
    for name, sign in (("positive", 1), ("negative", -1)):
        before = time.perf_counter()
        table = recursive_seqlets(sign * scores)
        times.append(time.perf_counter() - before)
        found[name] = table.sort_values(["example_idx", "start"]).to_numpy(float)
    np.savez(sys.argv[2], **found)
    print(json.dumps(dict(zip(("import", "first", "second"), times, strict=True))))


if __name__ == "__main__":
    main()
