"""Writes docs/results/xor-mlp.md or two-layer.md: the experiments of the coursework log, whole distributions of them.

    python benchmarks/scratch_results.py xor --lab LAB                       # about a minute
    EPOCHAL_DATA=… python benchmarks/scratch_results.py two-layer --lab LAB  # about twenty minutes

Trains what the lab does not hold yet; killed, it goes on where it stopped. Exits 1 when a number misses its target.
Set OMP_NUM_THREADS=1, and keep the machine idle for the times.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import two_layer_page
import xor_mlp_page
from results_page import RESULTS

from epochal.journal import Lab

PAGES = {"xor": ("xor-mlp.md", xor_mlp_page.page), "two-layer": ("two-layer.md", two_layer_page.page)}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("system", choices=sorted(PAGES), help="whose page to write")
    parser.add_argument("--lab", required=True, help="lab that holds the runs")
    parser.add_argument("--found", action="store_true", help="train nothing: from the runs that are there")
    parser.add_argument("--out", default=str(RESULTS), help="folder to write to")
    options = parser.parse_args()
    name, page = PAGES[options.system]
    out = Path(options.out) / name
    return page(Lab(options.lab), out, only_found=options.found).write(out)


if __name__ == "__main__":
    sys.exit(main())
