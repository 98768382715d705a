"""Draws all faces, times it, shows them: docs/results/drawn-faces.md and benchmarks/results/drawn-faces.json.

    python benchmarks/drawn_faces_page.py [--found]

`--found` writes page and picture from the times that were measured before. Exits 1 above the limits.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from results_page import RESULTS, Page

from epochal.journal import environment
from epochal.report import figures
from epochal.systems.data import faces_drawn, kept_rows
from epochal.systems.data.faces import SIDE
from epochal.training.task import ImageGrid

MEASURED = Path(__file__).parent / "results" / "drawn-faces.json"
DRAWING_SECONDS, START_SECONDS = 60.0, 2.0
STEPS = 5
CONDITIONS = {"sex style": 0, "hair darkness": 2, "mouth openness": 3, "eye openness": 4}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--found", action="store_true", help="do not measure again")
    options = parser.parse_args()
    if not options.found:
        MEASURED.write_text(json.dumps(measured(), indent=1) + "\n", encoding="utf-8")
    page = Page("drawn-faces: faces with exact conditions", "python benchmarks/drawn_faces_page.py")
    page.say(
        "What `cvae-faces` trains on where there are no photographs: 16,864 training and 2,000 test pictures of "
        "120x120, drawn once and kept in the cache. Face i follows from (seed, split, i) alone, with the same bytes in "
        "any batch and with any number of threads (`tests/systems/data/test_faces_drawn.py`).",
        "",
        "![Drawn faces](drawn-faces.png)",
        "",
        "![Drawn faces, one condition moved](drawn-faces-moved.png)",
    )
    pictures(RESULTS)
    effects(page)
    timing(page, json.loads(MEASURED.read_text(encoding="utf-8")))
    return page.write(RESULTS / "drawn-faces.md")


# --- how the faces look
# ----------------------------------------------------------------------------------------------


def pictures(folder: Path) -> None:
    """Test faces as they come; and two persons with one condition moved."""
    strangers = faces_drawn.draw_rows("test", 0, 20).reshape(2, 10, SIDE, SIDE, 3)
    figures.draw(
        ImageGrid(strangers, title="Drawn faces: the first twenty of the test set"),
        folder / "drawn-faces.png",
    )
    moved = ImageGrid(
        np.concatenate([ladder(column, 2) for column in CONDITIONS.values()]),
        title="Drawn faces: one condition moved, all else fixed",
        rows=[f"{name}, {person} person" for name in CONDITIONS for person in ("one", "another")],
        columns=[f"{value:g}" for value in np.linspace(0, 1, STEPS)],
        column_axis="the condition (sex style: 0 female, 1 male)",
    )
    figures.draw(moved, folder / "drawn-faces-moved.png")


def ladder(column: int, persons: int) -> np.ndarray:
    """The same persons (persons, STEPS, 120, 120, 3) with one condition moved from 0 to 1."""
    _, numbers = faces_drawn.sample([faces_drawn.SEED, 2], 0, persons)
    conditions = np.tile(np.array([0, 1, 0.6, 0.15, 0.7], np.float32), (persons, STEPS, 1))
    conditions[..., column] = np.linspace(0, 1, STEPS)
    conditions[..., 1] = 1 - conditions[..., 0]
    images = faces_drawn.draw(conditions.reshape(-1, 5), np.repeat(numbers, STEPS, 0))
    return images.reshape(persons, STEPS, SIDE, SIDE, 3)


def effects(page: Page) -> None:
    """What moves in the pixels when a condition is moved."""
    persons = 100
    hair, mouth, eyes = (ladder(CONDITIONS[part], persons).astype(int) for part in list(CONDITIONS)[1:])
    dark = (mouth.max(-1) < 150) & (mouth[..., 0] > 1.8 * mouth[..., 1])
    seen = {
        "hair darkness: mean grey level at the top of the head": hair[:, :, 26:32, 50:70].mean((2, 3, 4)),
        "mouth openness: dark red pixels added in rows 70–103": added(dark[:, :, 70:104, 42:78]),
        "eye openness: white pixels added in rows 46–77": added((eyes.min(-1) > 190)[:, :, 46:78, 34:86]),
    }
    page.section("What a condition moves")
    page.say(f"Means over {persons} persons, everything else fixed.", "")
    page.table(
        ["condition: what is counted", *(f"{value:g}" for value in np.linspace(0, 1, STEPS))],
        [[what, *(f"{value:.0f}" for value in counted.mean(0))] for what, counted in seen.items()],
    )


def added(pixels: np.ndarray) -> np.ndarray:
    """How many pixels more than at 0: (persons, STEPS)."""
    counted = pixels.sum((2, 3))
    return counted - counted[:, :1]


# --- how long it takes
# -----------------------------------------------------------------------------------------------


def measured() -> dict[str, Any]:
    """Seconds of drawing and of later starts, each in an empty cache of its own, and where it was measured."""
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else None
    with tempfile.TemporaryDirectory() as folder:
        os.environ["EPOCHAL_CACHE"] = folder
        few = start(folder, "limit=256")
        train, test = (faces_drawn.DRAWN_FACES.images(split) for split in ("train", "test"))
        train.path.unlink()
        begun, busy = time.perf_counter(), time.process_time()
        train.rows([range(train.shape[0])])
        drawing, drawing_cpu = time.perf_counter() - begun, time.process_time() - busy
        later = [start(folder, "") for _ in range(3)]
        size = train.path.stat().st_size + test.path.stat().st_size
    begun = time.process_time()
    faces_drawn.draw_rows("train", 0, 256)
    return {
        "few": few,
        "drawing": drawing,
        "drawing_cpu": drawing_cpu,
        "later": later,
        "cpu_ms_a_face": 1e3 * (time.process_time() - begun) / 256,
        "bytes": size,
        "threads": kept_rows.threads(),
        "load": load,
        **environment.fields(),
    }


def start(folder: str, options: str) -> dict[str, float]:
    """Loads the faces in a process of its own: seconds in `data.load`."""
    program = (
        "import time, json; from epochal.systems import data; t = time.perf_counter(); "
        f"faces = data.load('drawn-faces', {options}); "
        "print(json.dumps({'seconds': time.perf_counter() - t}))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "EPOCHAL_CACHE": folder},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def timing(page: Page, times: dict[str, Any]) -> None:
    """Drawing and starting, against their limits."""
    about = times["environment"]
    page.section("How long it takes")
    load = f", load average {times['load']:.1f} before" if times["load"] is not None else ""
    page.say(
        f"{about['cpu']}, {about['cores']} cores, NumPy {about['packages']['numpy']}, {times['threads']} threads"
        f"{load}. Drawing a face costs {times['cpu_ms_a_face']:.1f} ms of one core; all training faces, drawn by "
        f"several threads and written, {times['drawing_cpu']:.0f} s of all cores together. The files take "
        f"{times['bytes'] / 1e6:,.0f} MB.",
        "",
    )
    later = max(each["seconds"] for each in times["later"])
    rows = [
        ("drawing 16,864 training faces", times["drawing"], DRAWING_SECONDS),
        ("a later start: reading and checking all 18,864, the slowest of 3", later, START_SECONDS),
    ]
    page.table(
        ["what", "seconds", "at most", "met"],
        [
            [what, f"{took:.1f}", f"{limit:g}", page.target(f"{what}: {took:.1f} s", took <= limit)]
            for what, took, limit in rows
        ]
        + [
            [
                "the first use with `--data.limit 256`: 256 training and 2,000 test faces",
                f"{times['few']['seconds']:.1f}",
                "–",
                "–",
            ]
        ],
    )


if __name__ == "__main__":
    sys.exit(main())
