"""Asks a trained student about a GENEActiv recording and about malformed copies of it, and writes the page of it.

    EPOCHAL_DATA=… python benchmarks/geneactiv_page.py --lab LAB

Takes the newest finished run of har-distill in the lab; of an empty lab it trains one for five epochs. Each copy is
made by the edit that the page names, and asked about by the same command. Writes docs/results/geneactiv.md and its
picture; exits 1 when the recording is not answered, or a malformed copy gets no message of its own, or a traceback.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import os
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from results_page import RESULTS, Page

import epochal
from epochal.cli import main as command_line
from epochal.journal import Lab, Run

SAMPLE = "geneactiv_sample_right_wrist.csv"
HEADER = 100  # lines
Lines = list[str]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--lab", required=True, help="lab that holds a run of har-distill")
    parser.add_argument("--out", default=str(RESULTS), help="folder to write to")
    options = parser.parse_args()
    out = Path(options.out).resolve()
    sample = Path(os.environ["EPOCHAL_DATA"]) / SAMPLE
    lab = Lab(Path(options.lab).resolve())
    run = student(lab)
    page = Page("A GENEActiv recording from one command", "python benchmarks/geneactiv_page.py --lab LAB")
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        answered(page, run, lab, sample, out)
        malformed(page, run, lab, sample)
    return page.write(out / "geneactiv.md")


def student(lab: Lab) -> Run:
    """The newest finished student of the lab; trained now, quickly, where there is none."""
    runs = [run for run in lab.runs() if run.recipe == "har-distill" and run.status == "finished"]
    if runs:
        return max(runs, key=lambda run: (run.version == "wrn16-1", str(run.meta["created"])))
    return epochal.run("har-distill", patch={"epochs": 5}, lab=lab, show=False)[0]


def asked(run: Run, lab: Lab, path: Path) -> tuple[int, str, str]:
    """`epochal predict` as it is typed: exit code, what it printed, what it complained of."""
    said, complained = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(said), contextlib.redirect_stderr(complained):
        code = command_line(["predict", run.id, path.name, "--lab", str(lab.path), "--overwrite"])
    return code, said.getvalue(), complained.getvalue()


def answered(page: Page, run: Run, lab: Lab, sample: Path, out: Path) -> None:
    """The recording as it is."""
    (Path.cwd() / SAMPLE).write_bytes(sample.read_bytes())
    code, said, complained = asked(run, lab, Path(SAMPLE))
    about = run.meta["data"]
    page.say(
        f"The recording: {SAMPLE}, a right wrist, 99 s at 100 Hz, nobody wrote down of what. The network: {run.recipe} "
        f"{run.version}, seed {run.seed}, trained on {about['name']}. No label, so nothing here says how right it is.",
        "",
        "```",
        f"$ epochal predict {run.recipe}:{run.version} {SAMPLE}",
        *(said + complained).strip().splitlines(),
        "```",
        "",
    )
    stem = Path(SAMPLE).stem
    table, picture = Path(f"{stem}-answers.csv"), Path(f"{stem}-answers.png")
    whole = code == 0 and table.is_file() and picture.is_file()
    page.target("the recording is answered", whole)
    if not whole:
        return
    rows = list(csv.DictReader(table.open(encoding="utf-8")))
    counts = Counter(row["activity"] for row in rows)
    page.say(
        f"{len(rows)} windows: "
        + ", ".join(f"{count} {name}" for name, count in counts.most_common())
        + ". The first rows:",
        "",
        "```",
        *table.read_text(encoding="utf-8").splitlines()[:4],
        "```",
        "",
    )
    (out / "geneactiv.png").write_bytes(picture.read_bytes())
    page.say("![The signal, what each window is read as, and how surely](geneactiv.png)")


def malformed(page: Page, run: Run, lab: Lab, sample: Path) -> None:
    """The same command on spoilt copies."""
    page.section("Malformed copies")
    page.say("Each copy is the recording with one edit, asked about by the same command.", "")
    rows = []
    text = sample.read_bytes().decode("latin-1")
    end = "\r\n" if "\r\n" in text else "\n"
    for number, (words, edit) in enumerate(EDITS.items()):
        path = Path(f"copy-{number}.csv")
        lines = edit(text.split(end))
        path.write_bytes(end.join(lines).encode("latin-1"))
        code, said, complained = asked(run, lab, path)
        if words in ANSWERED:
            told = [line for line in said.splitlines() if line.startswith("gaps: ")]
            met = code == 0 and len(told) == 1
        else:
            told = [line.strip() for line in complained.strip().splitlines()]
            met = (
                code in (1, 2) and 1 <= len(told) <= 4 and "Traceback" not in complained and not said.strip()
            )
        page.target(words, met)
        message = re.sub(r"[^ ]*/copy-\d+\.csv", path.name, " ".join(told)).replace("|", "\\|")
        rows.append([words, str(code), message])
    page.table(["what was done to it", "exit code", "what is said"], rows)


def cell(row: int, column: int, text: str) -> Callable[[Lines], Lines]:
    """Replaces one cell of the samples."""

    def edit(lines: Lines) -> Lines:
        cells = lines[HEADER + row].split(",")
        cells[column] = text
        return [*lines[: HEADER + row], ",".join(cells), *lines[HEADER + row + 1 :]]

    return edit


def rate(text: str) -> Callable[[Lines], Lines]:
    """Another frequency in the header."""
    return lambda lines: [re.sub(r"^(Measurement Frequency),.*", rf"\1,{text}", line) for line in lines]


EDITS: dict[str, Callable[[Lines], Lines]] = {
    "the header is missing": lambda lines: lines[HEADER:],
    "half of the header is missing": lambda lines: lines[HEADER // 2 :],
    "the header's frequency is 50 Hz, the rows are 100 Hz": rate("50 Hz"),
    "the header has no frequency": rate(""),
    "12 s of the rows are missing": lambda lines: [*lines[:4000], *lines[5200:]],
    "text in a number": cell(1000, 2, "walking"),
    "an empty cell": cell(1000, 1, ""),
    "NaN in a number": cell(1000, 3, "nan"),
    "a row lacks its last cells": lambda lines: [*lines[:1100], lines[1100].rsplit(",", 4)[0], *lines[1101:]],
    "a value of 40 g": cell(1000, 1, "40.0"),
    "a time that is none": cell(1000, 0, "yesterday"),
    "the file ends in the middle of a line": lambda lines: [*lines[:5000], lines[5000][:17]],
    "nothing but the header": lambda lines: lines[:HEADER],
    "an empty file": lambda lines: [""],
}
ANSWERED = ("12 s of the rows are missing",)
"""Copies that are answered all the same, with what is to be known of them."""


if __name__ == "__main__":
    sys.exit(main())
