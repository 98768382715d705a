"""What a run of a wearables' recipe hands on: its answers for a GENEActiv recording, and its network for others.

A recording is brought to what the network was trained on, which the run noted of its data (`Examples.about`): rate,
unit and length of a window. The data themselves need not be there.
Read from top to bottom: predict, its parts, export.
"""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from epochal.errors import UsageError
from epochal.systems.recipes import _wearables as wearables
from epochal.training.task import Export, Reading

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from epochal.systems.data.geneactiv import Geneactiv, Piece
    from epochal.training.task import Array, Figure, Trained

UNIT = "g"
"""Of a GENEActiv export."""
SAME = "geneactiv-folder"
"""The source whose recordings come from the same kind of sensor."""
INPUTS = 64
"""Windows that an exported network is checked with."""


@dataclass(frozen=True)
class Answers:
    """What a network says of the windows of a recording, in the order of time.

    Attributes:
        starts: (n,) float64: seconds from the recording's first sample to each window's, by the device's clock.
        ends: (n,) float64: when each ends.
        p: (n, classes) float64: probabilities.
        left: seconds that are too short for a window, before gaps and at the end.
    """

    starts: Array
    ends: Array
    p: Array
    left: float

    def seconds(self) -> Array:
        """(classes,) float64: how long each class is the answer."""
        import numpy as np

        lasted: Array = np.bincount(self.p.argmax(1), self.ends - self.starts, minlength=self.p.shape[1])
        return lasted


def predict(trained: Trained, path: Path, out: Path) -> dict[str, float | str | Figure]:
    """Writes what a GENEActiv recording is read as, window by window without overlap, as CSV.

    Columns: start_s and end_s, seconds from the first sample by the device's clock; start, the clock's time; activity,
    the likeliest class; confidence, its probability; p_CLASS, that of each class. No window reaches over a gap.

    Raises:
        UsageError: the run reads something else than three channels of a signal, or the recording is a folder, or
            shorter than a window.
        EpochalError: the file is no GENEActiv export, or damaged; or the run's unit cannot be made of g.
    """
    from epochal.systems.data import geneactiv

    about = trained.data
    _insist(about, path)
    found = geneactiv.read(path, gaps="split")
    answers = _answers(trained, found)
    _write(out, found.start, about["classes"], answers)
    told = {**_told(found, about, answers), "how good": _how_good(trained)}
    return {**told, "recording": _drawn(found, about, answers)}


def _insist(about: Mapping[str, Any], path: Path) -> None:
    """Refuses networks that read something else, and folders."""
    import numpy as np

    from epochal.systems.data import recordings

    if "window" not in about:
        raise UsageError(
            f"This network reads the pictures of {about['name']}; a recording has none.",
            hint="Name a run that was trained on recordings.",
        )
    _insist_on_scale(about)
    channels = about["channels"]
    if len(channels) != 3:
        raise UsageError(
            f"This network reads {len(channels)} channel{'s' * (len(channels) != 1)}; a GENEActiv recording has 3: "
            "x, y and z.",
            hint="Name a run that was trained on an accelerometer with three axes.",
        )
    recordings.in_unit(np.zeros((0, 3), np.float32), UNIT, about["unit"])
    if path.is_dir():
        raise UsageError(f"{path} is a folder.", hint="Name one GENEActiv recording, exported as CSV.")


def _insist_on_scale(about: Mapping[str, Any]) -> None:
    """Refuses a run whose persistence images nobody else can make."""
    if about["shape"] != "signals" and "window" in about and "image_low" not in about:
        raise UsageError(
            "This run did not note the scale of its persistence images.",
            hint="Train it anew with this version.",
        )


def _answers(trained: Trained, found: Geneactiv) -> Answers:
    """The network's answers for every whole window of every stretch without a gap."""
    import numpy as np

    about = trained.data
    window, rate = about["window"], about["rate_hz"]
    starts, ends, p, left = [], [], [], 0.0
    for piece in found.pieces:
        x = _windows(found, piece, about)
        # The device's clock and its sensor disagree by parts in a thousand: what is written is the clock's time.
        nominal = (piece.rows - 1) / found.rate_hz
        pace = (piece.ends - piece.begins).total_seconds() / nominal if nominal else 1.0
        edges = (piece.begins - found.start).total_seconds() + np.arange(len(x) + 1) * (window / rate * pace)
        starts.append(edges[:-1])
        ends.append(edges[1:])
        p.append(_probabilities(trained, _shown(trained, x)))
        left += max(piece.rows / found.rate_hz - len(x) * window / rate, 0.0)
    if not any(map(len, starts)):
        where = "No stretch without gaps of " * (len(found.pieces) > 1)
        longest = max(piece.rows for piece in found.pieces) / found.rate_hz
        lasts = f"lasts longer than {longest:g} s" if where else f"lasts {longest:g} s"
        raise UsageError(
            f"{where}{found.path} {lasts}; the network reads {window / rate:g} s at a time.",
            hint="A longer recording is needed, or a run with shorter windows (--data.window).",
        )
    return Answers(np.concatenate(starts), np.concatenate(ends), np.concatenate(p), left)


def _windows(found: Geneactiv, piece: Piece, about: Mapping[str, Any]) -> Array:
    """(n, 3, window): a stretch as the network knows signals: at its rate, in its unit, in windows of its length."""
    from epochal.systems.data import recordings, resampling

    samples = found.samples[piece.first : piece.first + piece.rows]
    samples = resampling.resample(samples, found.rate_hz, about["rate_hz"])
    samples = recordings.in_unit(samples, UNIT, about["unit"])
    window = about["window"]
    whole = len(samples) // window
    return samples[: whole * window].reshape(whole, window, 3).transpose(0, 2, 1)


def _shown(trained: Trained, x: Array) -> Array:
    """Windows as the network reads them: themselves, or persistence images on the scale that it was trained with."""
    import numpy as np

    about = trained.data
    if about["shape"] == "signals" or not len(x):
        return x
    from epochal.systems.data.persistence_images import images

    low, high = (np.asarray(about[f"image_{edge}"]) for edge in ("low", "high"))
    return images(x, low=low, high=high, paper_compat=trained.settings.paper_compat.persistence)


def _probabilities(trained: Trained, x: Array) -> Array:
    """(n, classes) float64, summing to 1."""
    import numpy as np

    columns = {"x": x, "labels": np.zeros(len(x), np.int64)}
    p = [
        logits.cpu().double().softmax(1).numpy()
        for logits, _ in wearables.answers(
            trained.nets[wearables.NET], columns, trained.device, trained.settings
        )
    ]
    return np.concatenate([np.zeros((0, len(trained.data["classes"]))), *p])


def _write(out: Path, start: datetime, classes: list[str], answers: Answers) -> None:
    """The table, a row a window."""
    chosen = answers.p.argmax(1)
    with out.open("w", encoding="utf-8", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(
            ["start_s", "start", "end_s", "activity", "confidence", *(f"p_{name}" for name in classes)]
        )
        for begins, ends, one, p in zip(answers.starts, answers.ends, chosen, answers.p, strict=True):
            clock = start + timedelta(milliseconds=round(1000 * begins))
            told = (f"{value:.4f}" for value in (p[one], *p))
            when = clock.isoformat(sep=" ", timespec="milliseconds")
            table.writerow([f"{begins:.3f}", when, f"{ends:.3f}", classes[one], *told])


# --- telling
# --------------------------------------------------------------------------------------------------


def _told(found: Geneactiv, about: Mapping[str, Any], answers: Answers) -> dict[str, float | str]:
    """Numbers of the recording, and what to bear in mind."""
    told: dict[str, float | str] = {
        "windows": len(answers.p),
        "seconds a window": about["window"] / about["rate_hz"],
    }
    seconds = answers.seconds()
    for number in seconds.argsort(kind="stable")[::-1]:
        if seconds[number]:
            told[f"seconds of {about['classes'][number]}"] = float(seconds[number].round(3))
    if round(answers.left, 3):
        told["seconds left over, too short for a window"] = round(answers.left, 3)
    if len(found.pieces) > 1:
        told["gaps"] = _gaps(found)
    told["mean confidence"] = float(answers.p.max(1).mean())
    changes = _changes(found.rate_hz, about)
    if about["name"] != SAME or changes:
        told["another sensor"] = (
            f"trained on {about['name']} ({about['rate_hz']:g} Hz, {about['unit']}); this file ({found.rate_hz:g} Hz, "
            f"{UNIT}) was {', '.join(changes) or 'taken as it is'}. Whether both sensors were worn at the same place "
            "and turned the same way is not known: nor is the confidence then worth what it says."
        )
    if about["drawn"]:
        told["simulated"] = (
            f"the network learnt from {about['name']}, a simulator: the activities are the simulator's, "
            "and how well it knows real ones was not measured."
        )
    return told


def _how_good(trained: Trained) -> str:
    """What is known of the network on people whom it was not trained on."""
    measured = trained.evaluation.get("test", {})
    if "accuracy" not in measured:
        return "never measured on people it was not trained on (`epochal evaluate RUN`)"
    chance = 1 / len(trained.data["classes"])
    return (
        f"of people it was not trained on it read {measured['accuracy']:.0%} of the windows right, on its own kind of "
        f"data (chance: about {chance:.0%})"
    )


def _gaps(found: Geneactiv) -> str:
    """Where samples are missing, and what that means."""
    between = [(one.ends, other.begins) for one, other in pairwise(found.pieces)]
    seconds = [(begins - ends).total_seconds() - 1 / found.rate_hz for ends, begins in between]
    longest = max(range(len(seconds)), key=seconds.__getitem__)
    when = between[longest][0].isoformat(sep=" ", timespec="milliseconds")
    which = "" if len(seconds) == 1 else "the longest "
    return (
        f"{len(seconds)}; {which}of {seconds[longest]:.2f} s after {when}. No window reaches over a gap; samples "
        "beside it that fill no window are left over."
    )


def _changes(rate: float, about: Mapping[str, Any]) -> list[str]:
    """What was done to a recording of some rate, so that it is like those that the run was trained on."""
    changes = []
    if rate > about["rate_hz"]:
        changes = [f"low-pass filtered and resampled to {about['rate_hz']:g} Hz"]
    elif rate < about["rate_hz"]:
        changes = [f"resampled to {about['rate_hz']:g} Hz (nothing above {rate / 2:g} Hz is in it)"]
    return [*changes, f"converted to {about['unit']}"] if about["unit"] != UNIT else changes


def _drawn(found: Geneactiv, about: Mapping[str, Any], answers: Answers) -> Reading:
    """The recording with its answers as a picture."""
    chosen = answers.p.argmax(1)
    seconds = answers.seconds()
    shares = [
        (f"{100 * seconds[one] / seconds.sum():.0f} %", one) for one in seconds.argsort(kind="stable")[::-1]
    ]
    most = ", ".join(f"{share} {about['classes'][one]}" for share, one in shares[:3] if seconds[one])
    return Reading(
        signal=[
            (
                (piece.begins - found.start).total_seconds(),
                (piece.ends - found.start).total_seconds(),
                found.samples[piece.first : piece.first + piece.rows],
            )
            for piece in found.pieces
        ],
        channels=("x", "y", "z"),
        unit=UNIT,
        starts=answers.starts,
        ends=answers.ends,
        answers=chosen,
        confidence=answers.p.max(1),
        classes=about["classes"],
        title=f"{found.path.name} in windows of {about['window'] / about['rate_hz']:g} s, read as {most}",
        begins=f"{found.start:%Y-%m-%d %H:%M:%S}",
    )


# --- exporting
# --------------------------------------------------------------------------------------------------


def export(trained: Trained) -> Export:
    """The network with made-up inputs of the size that it knows: each channel about its mean, by its deviation."""
    import numpy as np

    from epochal.systems.data.persistence_images import SIZE

    net, about = trained.nets[wearables.NET], trained.data
    _insist_on_scale(about)
    signals = about["shape"] == "signals"
    side = SIZE if "window" in about else 32
    shape = (about["window"],) if signals else (side, side)
    rng = np.random.default_rng(0)
    shift, width = (
        values.numpy().reshape(-1, *[1] * len(shape)) for values in (net.scaled.shift, net.scaled.width)
    )
    # A level of each window's own, and noise on it: windows are then told apart, as real ones are.
    level = rng.normal(size=(INPUTS, len(about["channels"]), *[1] * len(shape)))
    noise = rng.normal(size=(INPUTS, len(about["channels"]), *shape))
    inputs = shift + width * (level + noise) / 2**0.5
    if not signals:  # no picture is darker than black, and no image of bars below 0
        inputs = inputs.clip(0, None if "window" in about else 1)
    return Export(
        net,
        inputs.astype(np.float32),
        input_name="signal" if signals else "images",
        about=_texts(about),
    )


def _texts(about: Mapping[str, Any]) -> dict[str, str]:
    """What users of the network must know of its input and output."""
    texts = {name: json.dumps(about[name], ensure_ascii=False) for name in ("classes", "channels")}
    if "window" not in about:
        return {**texts, "unit": "pixels from 0 to 1"}
    if about["shape"] == "pictures":
        texts["images"] = (
            "persistence images of each channel's windows, scaled from image_low … image_high to -1 … 1"
        )
        texts |= {name: json.dumps(about[name]) for name in ("image_low", "image_high")}
    return {
        **texts,
        "rate_hz": f"{about['rate_hz']:g}",
        "unit": about["unit"],
        "window": str(about["window"]),
    }
