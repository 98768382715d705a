"""The same training on every device of a machine: time, and energy where it can be read.

Each training is a process of its own, one after the other; its energy is read from outside it.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epochal.bench import _energy
from epochal.errors import EpochalError, UsageError

KINDS = ("cpu", "cuda", "mps")
_SAME = ("plan", "device", "hardware", "packages")  # what a stored measurement must share with a wanted one


@dataclass(frozen=True)
class _Place:
    """Where a training runs: a device, and on the CPU how many threads."""

    kind: str
    threads: int | None
    hardware: str

    @property
    def name(self) -> str:
        """As the table shows it."""
        if self.threads is None:
            return self.kind
        return f"{self.kind}, {self.threads} thread{'s' * (self.threads > 1)}"


def devices(
    recipe: str = "cnn-digits",
    version: str | None = None,
    *,
    epochs: int = 1,
    steps: int | None = None,
    seed: int = 0,
    on: Sequence[str] | None = None,
    source: str = "auto",
    limit: int | None = None,
    precision: str = "auto",
    again: bool = False,
    out: str | Path | None = None,
    page: str | Path | None = None,
    say: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Trains a recipe alike on each device present (the CPU with one thread and with all), and compares.

    What was measured before with the same settings, seed, hardware and versions is not measured again; a
    benchmark that was stopped goes on.

    Args:
        recipe: which recipe.
        version: which version of it; default: the newest.
        epochs: passes over the training data.
        steps: stop after this many steps, if sooner.
        seed: of every training.
        on: device types ("cpu", "cuda", "mps"); default: all that are present.
        source: data source.
        limit: use only this many training items.
        precision: "auto" lets each device use what its trial finds fastest; "float32" compares like with like.
        again: measure everything anew.
        out: folder of the results; default: the present folder, inside the repository its
            `benchmarks/results`.
        page: Markdown file to write the tables to, with the results of other machines that `out` holds.
        say: takes each line of the report.

    Returns:
        `rows`: the measurements of this machine; `stored`: those of the same training on other machines, from
        `out`; `failed`: what went wrong, by device; `plan`: what was trained; `file`: where `rows` are kept.

    Raises:
        UsageError: no such recipe, version or device, or a number out of range.
        EpochalError: no device could do the training.
    """
    plan = _plan(recipe, version, epochs, steps, seed, source, limit, precision)
    places = _places(on)
    machine = _machine()
    folder = Path(out) if out is not None else _results_folder()
    _check_targets(folder, page)
    path = folder / f"devices-{Path(recipe).stem}-{_slug(places, machine)}.json"
    kept, failed = _read(path), {}
    busy = hasattr(os, "getloadavg") and os.getloadavg()[0] > machine["cores"] / 2
    for place in places:
        wanted = {"plan": plan, "device": place.name, "hardware": place.hardware}
        wanted["packages"] = machine["packages"]
        found = [row for row in kept if all(row.get(key) == wanted[key] for key in _SAME)]
        if found and not again:
            say(f"{place.name}: measured before, {found[0]['seconds']:.1f} s")
            continue
        say(f"{place.name}: training")
        try:
            measured = _measure(plan, place)
        except EpochalError as error:
            failed[place.name] = str(error)
            say(f"{place.name}: {error}")
            continue
        row = {**wanted, **measured, "machine": machine, "busy": busy}
        # Whatever was trained on other data would not compare with this.
        kept = [
            old for old in kept if old not in found and (old["plan"] != plan or old["data"] == row["data"])
        ]
        kept.append(row)
        _write(path, kept)
        say(f"{place.name}: {row['seconds']:.1f} s, {row['items_per_second']:,.0f} items/s")
    rows = [row for row in kept if row["plan"] == plan and row["packages"] == machine["packages"]]
    rows.sort(key=lambda row: (KINDS.index(row["kind"]), row["threads"]))
    if not rows:
        raise EpochalError(
            "No device could do the training.", hint="\n  ".join(f"{k}: {v}" for k, v in failed.items())
        )
    stored = [row for other in _others(folder, path) for row in other if row["plan"] == plan]
    result = {"plan": plan, "rows": rows, "stored": stored, "failed": failed, "file": str(path)}
    if page is not None:
        Path(page).write_text(markdown(result), encoding="utf-8")
    return result


COLUMNS = ("device", "s", "items/s", "times all CPU threads", "loss", "accuracy", "energy", "computes in")


def tables(result: Mapping[str, Any]) -> list[tuple[str, list[tuple[str, ...]], list[str]]]:
    """A result of `devices` as tables, a machine each: title, cells in the order of `COLUMNS`, notes."""
    groups: dict[str, list[Mapping[str, Any]]] = {}
    for row in (*result["rows"], *result["stored"]):
        groups.setdefault(_machine_line(row), []).append(row)
    return [(title, _cells(rows), _notes(rows)) for title, rows in groups.items()]


def markdown(result: Mapping[str, Any]) -> str:
    """The page of a result of `devices`, with everything that the numbers depend on."""
    plan, first = result["plan"], result["rows"][0]
    lines = [
        f"# {plan['recipe']} {plan['version']} on each device",
        "",
        f"Written by `epochal bench devices {plan['recipe']} {plan['version']} --page FILE`: one training each of "
        f"{first['items']:,} items ({_length(plan)}, batch {plan['settings']['batch_size']}, seed {plan['seed']}, "
        f"data: {first['data']['name']}), from the first step to the end of the last epoch, validation and "
        "logging included; reading the data and the trial of precisions are not.",
        "",
    ]
    for title, cells, notes in tables(result):
        lines += [f"## {title}", ""]
        lines += ["| " + " | ".join(COLUMNS) + " |", "|" + " --- |" * len(COLUMNS)]
        lines += ["| " + " | ".join(row) + " |" for row in cells]
        lines += ["", *(f"- {note}" for note in notes), ""]
    lines += [
        "Loss (cross-entropy, nats) and accuracy are those of held-out items after the last epoch where the recipe "
        "measures them, else of the last training epoch. Energy is all that the device took meanwhile, its idle "
        "share included.",
    ]
    return "\n".join(lines) + "\n"


def _cells(rows: Sequence[Mapping[str, Any]]) -> list[tuple[str, ...]]:
    cpus = [row for row in rows if row["kind"] == "cpu"]
    base = max(cpus, key=lambda row: row["threads"])["seconds"] if cpus else None
    return [
        (
            f"{row['device']} ({row['hardware']})",
            f"{row['seconds']:.1f}",
            f"{row['items_per_second']:,.0f}",
            "–" if base is None else f"{base / row['seconds']:.2f}",
            _value(row["final"], "validation/cross_entropy", "validation/loss", "loss"),
            _value(row["final"], "validation/accuracy", "accuracy"),
            _joules(row),
            row["how"],
        )
        for row in rows
    ]


def _machine_line(row: Mapping[str, Any]) -> str:
    machine, packages = row["machine"], row["packages"]
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['platform']}, Python {machine['python']}, "
        f"torch {packages['torch']}, epochal {packages['epochal']}"
    )


def _notes(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """What the energies cover, or why there are none; and whether the times can be trusted."""
    said: dict[str, list[str]] = {}
    for row in rows:
        energy = row["energy"]
        text = energy["covers"] if energy["joules"] is not None else f"not readable: {energy['why']}"
        said.setdefault(f"energy: {text}", []).append(row["device"])
        if row["busy"]:
            said.setdefault(BUSY, []).append(row["device"])
    return [f"{text} ({'; '.join(where)})" for text, where in said.items()]


BUSY = "other programs kept over half of the cores busy when the benchmark began: the times are too long"


def _plan(
    recipe: str,
    version: str | None,
    epochs: int,
    steps: int | None,
    seed: int,
    source: str,
    limit: int | None,
    precision: str,
) -> dict[str, Any]:
    """All that a training depends on, as JSON holds it."""
    from epochal import settings as settings_room
    from epochal.systems import recipes

    found = recipes.find(recipe)
    chosen = recipes.version_of(found, version)
    if precision not in ("auto", "float32", "bfloat16"):
        raise UsageError(f"unknown precision {precision!r}.", hint="Allowed: auto, float32, bfloat16.")
    patch = {"epochs": epochs, "steps": steps, "data.source": source, "data.limit": limit}
    settings = settings_room.apply(recipes.settings_of(found, chosen.name), patch)
    plan = {
        "recipe": recipe,
        "version": chosen.name,
        "seed": seed,
        "precision": precision,
        "settings": settings_room.to_dict(settings),
    }
    return dict(json.loads(json.dumps(plan)))


def _places(on: Sequence[str] | None) -> list[_Place]:
    """Where to train, the CPU first."""
    from epochal.journal import environment
    from epochal.training import devices as present

    available = present.available()
    for kind in on or ():
        if kind not in available:
            raise UsageError(
                f"device {kind!r} is not present on this machine."
                if kind in KINDS
                else f"unknown device {kind!r}.",
                hint=f"Present: {', '.join(available)}.",
            )
    machine = environment.describe()
    places = [_Place("cpu", threads, machine["cpu"]) for threads in sorted({1, machine["cores"]})]
    places += [
        _Place(kind, None, present.describe(present.resolve(kind))) for kind in KINDS[1:] if kind in available
    ]
    return [place for place in places if on is None or place.kind in on]


def _measure(plan: Mapping[str, Any], place: _Place) -> dict[str, Any]:
    """Trains in a process of its own and reads the energy meanwhile.

    Raises:
        EpochalError: the process failed; with the end of what it printed.
    """
    visible = os.environ.get("CUDA_VISIBLE_DEVICES", "").split(",")[0].strip()
    source = _energy.source_of(place.kind, visible or "0")
    if isinstance(source, _energy.Unreadable):
        answer = _train(plan, place)
        energy: dict[str, Any] = {"joules": None, "covers": None, "why": source.why}
    else:
        with _energy.Meter(source) as meter:
            answer = _train(plan, place)
        joules = meter.joules(answer["started"], answer["started"] + answer["seconds"])
        why = None if joules is not None else "the readings do not cover the training"
        energy = {"joules": joules, "covers": source.what, "why": why}
    seconds = answer["seconds"]
    return {
        "kind": place.kind,
        "threads": place.threads,
        "seconds": seconds,
        "items": answer["items"],
        "items_per_second": answer["items"] / seconds,
        "final": answer["final"],
        "how": answer["how"],
        "data": answer["data"],
        "energy": energy,
        "created": answer["created"],
    }


def _train(plan: Mapping[str, Any], place: _Place) -> dict[str, Any]:
    wanted = json.dumps({"plan": plan, "device": place.kind, "threads": place.threads})
    # GPU 0 then is the one that NVIDIA's own tools call 0.
    environment = {"CUDA_DEVICE_ORDER": "PCI_BUS_ID", **os.environ}
    with tempfile.TemporaryDirectory(prefix="epochal-bench-") as scratch:
        done = subprocess.run(
            [sys.executable, "-m", "epochal.bench._training", wanted, scratch],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            env=environment,
            check=False,
        )
    if done.returncode:
        said = done.stderr.strip().splitlines()
        raise EpochalError(
            f"the training on {place.name} failed (exit status {done.returncode}).",
            hint="\n  ".join(said[-4:]) or "It printed nothing.",
        )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def _machine() -> dict[str, Any]:
    from epochal.journal import environment

    machine = environment.describe()
    machine["packages"] = {name: machine["packages"][name] for name in ("epochal", "torch")}
    return machine


def _results_folder() -> Path:
    """Where the repository keeps results, for whoever works inside it; else the present folder."""
    root = Path(__file__).resolve().parents[3]
    kept = root / "benchmarks" / "results"
    return kept if kept.is_dir() and Path.cwd().resolve().is_relative_to(root) else Path.cwd()


def _check_targets(folder: Path, page: str | Path | None) -> None:
    """Refuses, before minutes of measuring, what could not be written after them."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as problem:
        raise UsageError(
            f"{folder} cannot hold the results: {problem.strerror}.", hint="Choose another --out."
        ) from None
    if page is not None and (Path(page).is_dir() or not Path(page).parent.is_dir()):
        why = "is a folder" if Path(page).is_dir() else "lies in no folder"
        raise UsageError(f"the page {page} {why}.", hint="Name a file in a folder that is there with --page.")


def _slug(places: Sequence[_Place], machine: Mapping[str, Any]) -> str:
    """The machine's name in a file name: its accelerator, else its processor."""
    accelerators = [place.hardware for place in places if place.kind != "cpu"]
    name = accelerators[0] if accelerators else f"{machine['cpu']} {machine['cores']} cores"
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def _read(path: Path) -> list[dict[str, Any]]:
    """The measurements that a file holds; none when there is no such file.

    Raises:
        EpochalError: it holds something else.
    """
    if not path.is_file():
        return []
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
        if all(
            isinstance(row, dict) and {*_SAME, "data", "machine", "energy", "busy"} <= set(row)
            for row in rows
        ):
            return list(rows)
    except (OSError, ValueError, TypeError, KeyError):
        pass
    raise EpochalError(
        f"{path} holds no results of `bench devices`.", hint="Delete it, or choose another --out."
    )


def _write(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    from epochal.journal import atomic

    path.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_json(path, {"rows": rows})


def _others(folder: Path, own: Path) -> list[list[dict[str, Any]]]:
    """Measurements that the folder holds of other machines."""
    return [_read(path) for path in sorted(folder.glob("devices-*.json")) if path != own]


def _value(final: Mapping[str, Any], *names: str) -> str:
    for name in names:
        if name in final:
            return f"{final[name]:.4f}"
    return "–"


def _joules(row: Mapping[str, Any]) -> str:
    joules = row["energy"]["joules"]
    if joules is None:
        return "not readable"
    return f"{joules:,.0f} J ({joules / row['seconds']:.0f} W, {1000 * joules / row['items']:.1f} J a 1,000 items)"


def _length(plan: Mapping[str, Any]) -> str:
    epochs, steps = plan["settings"]["epochs"], plan["settings"]["steps"]
    return f"{epochs} epoch{'s' * (epochs > 1)}" + (f", at most {steps:,} steps" if steps is not None else "")
