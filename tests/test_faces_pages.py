"""The folder of photographs that benchmarks/faces_sfhq.py writes: what its weak labels say, and no more."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import faces_following
import faces_sfhq

from epochal.systems.data import faces_drawn, faces_table, npz


@pytest.mark.parametrize(
    ("words", "cells"),
    [
        ({"sex:male", "hair_color:black"}, ("1", "1", "", "")),
        ({"sex:male", "sex:female"}, ("", "", "", "")),
        ({"expression:surprised"}, ("", "", "0.9", "0.9")),
        ({"expression:surprised", "gaze:eyes closed"}, ("", "", "0.9", "")),
        ({"hair_color:green", "expression:smiling", "hat:beanie"}, ("", "", "", "")),
    ],
)
def test_what_is_not_said_is_not_known(words: set[str], cells: tuple[str, ...]) -> None:
    """A cell is filled where the words say it, and left empty where they contradict each other or say nothing."""
    assert tuple(faces_sfhq.labels(words).values()) == cells


def test_the_folder_holds_the_photographs(
    real_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """1,894 pictures with a frontal face, scaled as Pillow scales them; 515 with a sex; labels beside their picture."""
    monkeypatch.setenv("EPOCHAL_DATA", str(real_data))
    faces_sfhq.write_folder(tmp_path)
    table = faces_table.read(tmp_path)
    known = ~np.isnan(table.conditions)
    assert len(table.rows) == 1894 and known.sum(0).tolist() == [515, 515, 150, 104, 45]
    found = npz.read(real_data / faces_sfhq.NPZ, ["images", "sex"], hint="")
    for path, conditions, labelled in list(zip(table.paths, table.conditions, known, strict=True))[::60]:
        number = int(path.stem)
        assert labelled[0] == (found["sex"][number] >= 0)
        assert not labelled[0] or conditions[0] == found["sex"][number]
        picture = Image.fromarray(found["images"][number]).resize((120, 120), Image.Resampling.BICUBIC)
        assert np.array_equal(np.asarray(Image.open(path)), np.asarray(picture))
    tested = known[table.test]
    assert tested.any(1).all() and tested.sum(0).min() >= 10, (
        "a test picture has a label, and each condition some"
    )


class Renderer:
    """Networks that encode nothing and decode by the renderer, a share of every change held back."""

    def __init__(self, held: float) -> None:
        self.persons = faces_drawn.sample(faces_following.SEED, 0, 4)
        self.held = held

    def encode(self, x: torch.Tensor, c: torch.Tensor) -> tuple[torch.Tensor, None]:
        """The picture is the code."""
        return x, None

    def decode(self, z: torch.Tensor, c: torch.Tensor) -> torch.Tensor:
        """What the conditions say, mixed with what the code says."""
        drawn = faces_following.pictures(c.numpy(), self.persons[1])
        return self.held * z + (1 - self.held) * drawn


@pytest.mark.parametrize("held", [0.0, 0.4])
def test_what_the_code_repeats_is_not_followed(held: float) -> None:
    """A decoder that takes 40 % of its picture from the code follows 60 % of every change, and could show all."""
    renderer = Renderer(held)
    nets = {"encoder": renderer.encode, "decoder": renderer.decode}
    found = faces_following.following(SimpleNamespace(nets=nets), persons=4)  # type: ignore[arg-type]
    assert set(found) == {"sex", "hair", "mouth", "eyes"}
    for one in found.values():
        assert one.followed == pytest.approx(1 - held, abs=1e-5) and one.reach == pytest.approx(1, abs=1e-5)
