"""Times `epochal --help` and `epochal list` from the outside: writes docs/results/startup.md.

    python benchmarks/startup.py [--times 20]

Each command runs as its own process, the interpreter's start included; the two take turns. Exits 1 above the limits.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

LIMITS_MS = {"--help": 150.0, "list": 200.0}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--times", type=int, default=20, help="how often each command is run")
    parser.add_argument(
        "--out", default=str(Path(__file__).parent.parent / "docs" / "results" / "startup.md")
    )
    options = parser.parse_args()
    program = Path(sys.executable).with_name("epochal.exe" if os.name == "nt" else "epochal")
    with tempfile.TemporaryDirectory() as empty_lab:
        environment = {**os.environ, "EPOCHAL_LAB": empty_lab}
        taken: dict[str, list[float]] = {words: [] for words in LIMITS_MS}
        for turn in range(options.times + 1):
            for words, times in taken.items():
                started = time.perf_counter()
                subprocess.run([program, words], env=environment, stdout=subprocess.DEVNULL, check=True)
                if turn:  # the first turn reads the files from the disk
                    times.append(1e3 * (time.perf_counter() - started))
    rows = [
        f"| `epochal {words}` | {median(times):.0f} | {min(times):.0f}–{max(times):.0f} | {LIMITS_MS[words]:.0f} |"
        for words, times in taken.items()
    ]
    text = "\n".join(
        [
            "# How soon a command answers",
            "",
            f"Written by `python benchmarks/startup.py`: whole processes, n = {options.times} each, "
            f"Python {platform.python_version()}, {platform.system()} {platform.machine()}, {os.cpu_count()} cores.",
            "",
            "| command | median, ms | range, ms | at most |",
            "| --- | --- | --- | --- |",
            *rows,
            "",
        ]
    )
    Path(options.out).write_text(text, encoding="utf-8")
    print(text)
    return int(any(median(times) > LIMITS_MS[words] for words, times in taken.items()))


if __name__ == "__main__":
    sys.exit(main())
