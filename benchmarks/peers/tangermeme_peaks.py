"""Call positive and negative spans in a file of scores with tangermeme's recursive_seqlets."""

from __future__ import annotations

import json
import sys
import time

start = time.perf_counter()

import numpy as np  # noqa: E402
from tangermeme.seqlet import recursive_seqlets  # noqa: E402


def main() -> None:
    """Call both signs, and print the seconds of the import, the first call (which compiles) and the second call."""
    scores = np.load(sys.argv[1])
    times, spans = [time.perf_counter() - start], {}
    for name, sign in (("positive", 1), ("negative", -1)):
        before = time.perf_counter()
        table = recursive_seqlets(sign * scores)
        times.append(time.perf_counter() - before)
        spans[name] = table.sort_values(["example_idx", "start"]).to_numpy(float)
    np.savez(sys.argv[2], **spans)
    print(json.dumps(dict(zip(("import", "first", "second"), times, strict=True))))


if __name__ == "__main__":
    main()
