"""face-conditions: trained on drawn faces it reads them; labels may be missing; what it fills in is no label."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from epochal import api, settings
from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, Run
from epochal.systems import data, recipes
from epochal.systems.data import Dataset, augment, faces_drawn, faces_table
from epochal.systems.recipes import face_conditions as recipe
from epochal.training import engine
from epochal.training.task import Batch, Trained

SMALL = {"net.width": 4, "batch_size": 8, "data.source": "drawn-faces"}


@pytest.fixture(scope="module")
def faces() -> Dataset:
    """320 drawn faces to train on and 100 to test with."""
    columns = {}
    for split, (start, stop) in {"train": (0, 320), "test": (320, 420)}.items():
        conditions, persons = faces_drawn.sample([7], start, stop)
        columns[split] = {"images": faces_drawn.draw(conditions, persons), "conditions": conditions}
    return Dataset("drawn-faces", "drawn by a test", True, "0" * 64, (), columns)


def serve(monkeypatch: pytest.MonkeyPatch, found: Dataset) -> None:
    """Lets the recipe read these faces."""
    monkeypatch.setattr(data, "load", lambda *_, **__: found)


def some(faces: Dataset, **how: Any) -> Dataset:
    """The same faces with other training columns."""
    return replace(faces, splits={**faces.splits, "train": {**faces.splits["train"], **how}})


def trained_on(found: Dataset, monkeypatch: pytest.MonkeyPatch, lab: Lab, **patch: Any) -> Run:
    """A run of the small networks on these faces."""
    serve(monkeypatch, found)
    how = {"precision": "float32", "threads": 1, "lab": lab, "show": False}
    return api.run("face-conditions", patch={**SMALL, **patch}, **how)[0]


@pytest.fixture(scope="module")
def run(faces: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Five epochs on 288 drawn faces."""
    with pytest.MonkeyPatch.context() as patch:
        lab = Lab(tmp_path_factory.mktemp("lab"))
        return trained_on(faces, patch, lab, epochs=5)


@pytest.fixture
def trained(run: Run) -> Trained:
    """Its networks."""
    return engine.load(recipe.RECIPE, run, device="cpu")


def test_drawn_faces_are_read(run: Run, faces: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks an eighth as wide, after five short epochs, beat the mean predictor on every condition."""
    serve(monkeypatch, faces)
    found = api.evaluate(run.id, lab=run.path.parent, show=False)
    assert found["mouth_gain"] > 2 and found["hair_gain"] > 5 and found["eyes_gain"] > 2
    assert found["sex_accuracy"] > 0.7 and found["sex_accuracy_low"] < found["sex_accuracy"]
    said = run.reload().meta["measured_with"]["test"]
    assert said["mouth"].startswith("is predicted: squared error") and "n = 100" in said["mouth"]
    assert said["sex"].startswith("is read: ")
    assert "eyes: 288 labels to train on, 32 held out" in (run.path / "console.log").read_text("utf-8")
    labels = faces.splits["test"]["conditions"][:, 3]
    mean = faces.splits["train"]["conditions"][np.arange(320) % 10 > 0, 3].mean()
    assert found["mouth_gain"] == pytest.approx(((labels - mean) ** 2).mean() / found["mouth_mse"], rel=1e-4)


def test_measures_are_those_of_its_answers(
    trained: Trained, faces: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Accuracy and errors, computed here from `conditions_of`, which itself does not depend on the batching."""
    serve(monkeypatch, faces)
    images, wanted = faces.splits["test"]["images"], faces.splits["test"]["conditions"]
    answers = recipe.conditions_of(trained, images)
    one_by_one = np.concatenate([recipe.conditions_of(trained, images[i : i + 1]) for i in range(5)])
    assert np.allclose(answers[:5], one_by_one, atol=1e-5)
    assert (
        answers.shape == (100, 5) and answers.dtype == np.float32 and 0 <= answers.min() <= answers.max() <= 1
    )
    assert np.allclose(answers[:, :2].sum(1), 1, atol=1e-5)
    found = recipe.evaluate(trained, "test")
    assert found["sex_accuracy"] == ((answers[:, 0] > 0.5) == (wanted[:, 0] > 0.5)).mean()
    for what, place in {"hair": 2, "mouth": 3, "eyes": 4}.items():
        assert found[f"{what}_mse"] == pytest.approx(((answers - wanted)[:, place] ** 2).mean(), rel=1e-4)
    with pytest.raises(ValueError, match="images must be uint8 of shape"):
        recipe.conditions_of(trained, images[:, :100])


def test_a_collapsed_network_is_said_to_be_one(
    run: Run, faces: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network whose last layer is silenced answers a constant: its gain is about 1, and the words are plain."""
    serve(monkeypatch, faces)
    trained = engine.load(recipe.RECIPE, run, device="cpu")
    for parameter in trained.nets["eyes"].out.parameters():
        parameter.data.zero_()
    for parameter in trained.nets["sex"].out.parameters():
        parameter.data.zero_()
    found = recipe.evaluate(trained, "test")
    assert found["eyes_gain"] == pytest.approx(1, abs=0.05)
    assert str(found["eyes"]).startswith("is NOT predicted, the network collapsed to the mean")
    assert str(found["sex"]).startswith("is NOT read, no better than always answering the commoner sex")
    title = recipe.figures(trained)["eyes"].title
    assert title.startswith("Eye openness is NOT predicted")


def test_a_limit_takes_labels_from_the_whole_table(faces: Dataset) -> None:
    """A table sorted by sex must not teach one sex only."""
    conditions = faces.splits["train"]["conditions"].copy()
    half = len(conditions) // 2
    conditions[:half, :2], conditions[half:, :2] = (1, 0), (0, 1)
    found = some(faces, conditions=conditions)
    chosen = settings.apply(recipe.Settings(), {"data.limit": 40})
    splits = [recipe.labelled(chosen, found, split)["conditions"] for split in ("train", "validation")]
    used = np.concatenate(splits)
    assert len(used) == 40 and 18 <= used[:, 0].sum() <= 22


def test_a_limit_keeps_rare_labels(faces: Dataset) -> None:
    """It counts the labels of each condition by itself: a hundred faces of known sex must not cost ten known mouths."""
    conditions = faces.splits["train"]["conditions"].copy()
    conditions[10:, 3] = np.nan
    found = some(faces, conditions=conditions)
    chosen = settings.apply(recipe.Settings(), {"data.limit": 40})
    splits = [recipe.labelled(chosen, found, split)["conditions"] for split in ("train", "validation")]
    assert (~np.isnan(np.concatenate(splits))).sum(0).tolist() == [40, 40, 40, 10, 40]


def test_labels_are_divided_by_condition(faces: Dataset) -> None:
    """Every tenth label of each condition is held out, from the first on; what a network filled in is no label."""
    conditions = faces.splits["train"]["conditions"].copy()
    conditions[:, 3:] = np.nan
    conditions[50:61, 3] = 0.5
    conditions[:100, :3] = np.nan
    predicted = np.zeros(conditions.shape, bool)
    predicted[60:200, 2:4] = True
    found = some(faces, conditions=conditions, predicted=predicted)
    chosen = settings.apply(recipe.Settings(), {"data.limit": None})
    fit, held = (recipe.labelled(chosen, found, split)["conditions"] for split in ("train", "validation"))
    known = (~np.isnan(conditions) & ~predicted).sum(0)
    assert known[3] == 10 and (~np.isnan(held)).sum(0).tolist() == [-(-n // 10) for n in known]
    assert ((~np.isnan(fit)).sum(0) + (~np.isnan(held)).sum(0)).tolist() == known.tolist()
    everything = recipe.labelled(chosen, found, "test")
    assert np.array_equal(everything["conditions"], faces.splits["test"]["conditions"])


SHARP = recipe.Settings()


def test_missing_labels_take_no_part_in_the_loss(faces: Dataset) -> None:
    """A batch with missing labels has the loss, and the gradient, of its labelled images alone."""
    torch.manual_seed(0)
    nets = recipe.nets(settings.apply(recipe.Settings(), {"net.width": 4}))
    images = torch.from_numpy(faces.splits["train"]["images"][:8].copy())
    labels = torch.from_numpy(faces.splits["train"]["conditions"][:8].copy())
    gaps = labels.clone()
    gaps[3:] = torch.nan
    for what in recipe.PLACES:
        loss = recipe.sex_loss(SHARP) if what == "sex" else recipe.condition_loss(what, SHARP)
        results = []
        for conditions, count in ((gaps, 8), (labels[:3], 3)):
            batch = recipe.prepare(Batch(images=images[:count], conditions=conditions))
            batch["sex"] = torch.full((count, 2), 0.5)
            nets[what].zero_grad()
            value, _ = loss(nets, batch, torch.Generator())
            value.backward()
            results.append([value.detach(), *(p.grad.clone() for p in nets[what].parameters())])
        for mine, wanted in zip(*results, strict=True):
            torch.testing.assert_close(mine, wanted, rtol=1e-4, atol=1e-7)
        nothing = recipe.prepare(Batch(images=images, conditions=torch.full((8, 5), torch.nan)))
        nothing["sex"] = torch.full((8, 2), 0.5)
        assert float(loss(nets, nothing, torch.Generator())[0].detach()) == 0


def test_losses_are_torchs(faces: Dataset) -> None:
    """With all labels: torch's cross-entropy with soft targets, and its mean squared error."""
    torch.manual_seed(0)
    nets = recipe.nets(settings.apply(recipe.Settings(), {"net.width": 4}))
    columns = {k: torch.from_numpy(v[:8].copy()) for k, v in faces.splits["train"].items()}
    columns["conditions"][:, :2] = torch.rand(8, 1).mul(torch.tensor([1.0, -1.0])) + torch.tensor([0.0, 1.0])
    batch = recipe.prepare(Batch(columns))
    wanted = torch.nn.functional.cross_entropy(nets["sex"](batch["x"]), batch["conditions"][:, :2])
    torch.testing.assert_close(recipe.sex_loss(SHARP)(nets, batch, torch.Generator())[0], wanted)
    answer = nets["hair"](batch["x"], batch["conditions"][:, :2])
    wanted = torch.nn.functional.mse_loss(answer, batch["conditions"][:, 2])
    loss = recipe.condition_loss("hair", SHARP)
    torch.testing.assert_close(loss(nets, batch, torch.Generator())[0], wanted)


def test_all_networks_see_the_same_blurred_images(faces: Dataset) -> None:
    """With `augment.blur` the losses are those of the blurred images, which are drawn once a step."""
    torch.manual_seed(0)
    blurred = settings.apply(recipe.Settings(), {"net.width": 4, "augment.blur": 2.0})
    nets = recipe.nets(blurred)
    columns = {k: torch.from_numpy(v[:8].copy()) for k, v in faces.splits["train"].items()}
    batch, rng = recipe.prepare(Batch(columns)), torch.Generator().manual_seed(1)
    found = [
        recipe.sex_loss(blurred)(nets, batch, rng)[0],
        recipe.condition_loss("eyes", blurred)(nets, batch, rng)[0],
    ]
    shown = recipe.prepare(Batch(columns))
    shown["x"] = augment.blur(shown["x"], torch.Generator().manual_seed(1), 2.0)
    assert float((shown["x"] - batch["x"]).abs().max()) > 0.05
    wanted = [
        recipe.sex_loss(SHARP)(nets, shown, rng)[0],
        recipe.condition_loss("eyes", SHARP)(nets, shown, rng)[0],
    ]
    torch.testing.assert_close(found, wanted)


def test_a_condition_without_labels_is_left_out(
    faces: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Nothing to learn from: no phase, the answer 0.5, words instead of numbers; without any label no training."""
    conditions = faces.splits["train"]["conditions"].copy()
    conditions[:, :2] = np.nan
    conditions[:, 4] = np.nan
    found = some(faces, conditions=conditions)
    run = trained_on(found, monkeypatch, Lab(tmp_path / "lab"), epochs=1, **{"data.limit": 32})
    assert list(run.meta["loss_definition"]) == ["hair", "mouth"]
    trained = engine.load(recipe.RECIPE, run, device="cpu")
    answers = recipe.conditions_of(trained, faces.splits["test"]["images"][:3])
    assert (answers[:, [0, 1, 4]] == 0.5).all() and (answers[:, 2:4] != 0.5).all()
    assert recipe.evaluate(trained, "test")["eyes"] == "not trained: no training image has its label"
    nothing = some(faces, conditions=np.full_like(conditions, np.nan))
    with pytest.raises(EpochalError, match="No training image of drawn-faces"):
        trained_on(nothing, monkeypatch, Lab(tmp_path / "lab"))


def test_faces_are_shown_where_no_test_image_is_labelled(
    faces: Dataset, monkeypatch: pytest.MonkeyPatch, trained: Trained
) -> None:
    """All labels may be training ones: nothing can be plotted over labels, but what was read can be looked at."""
    unlabelled = {**faces.splits["test"], "conditions": np.full((100, 5), np.nan, np.float32)}
    serve(monkeypatch, replace(faces, splits={**faces.splits, "test": unlabelled}))
    drawn = recipe.figures(trained)
    assert list(drawn) == ["faces"] and drawn["faces"].images.shape == (4, 10, 120, 120, 3)
    assert recipe.evaluate(trained, "test")["hair"] == "not measured: no test image has its label"


def test_resumed_training_is_the_uninterrupted_one(
    faces: Dataset, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Four networks, their optimisers and plateaus: three epochs and two more are five, to the bit."""
    lab = Lab(tmp_path / "lab")
    how = {"data.limit": 48, "optim.wait": 1, "optim.lr": 0.02, "stop.patience": 0}
    whole = trained_on(faces, monkeypatch, lab, epochs=5, **how)
    parts = trained_on(faces, monkeypatch, lab, epochs=3, **how)
    parts = api.resume(parts.id, epochs=5, lab=lab, show=False)
    states = [checkpoint_of(one) for one in (whole, parts)]
    assert list(states[0]) == list(states[1])
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    assert any(state[0] < 1 for name, state in states[0].items() if name.startswith("plateau/"))


def checkpoint_of(run: Run) -> Mapping[str, torch.Tensor]:
    """The last checkpoint's tensors."""
    from epochal.training import checkpoint

    return checkpoint.read(run.checkpoints_dir / "last.safetensors")[0]


@pytest.fixture
def folder(faces: Dataset, tmp_path: Path) -> Path:
    """Twenty of the test faces in a folder; every second label of each condition is missing, row by row another."""
    place = tmp_path / "faces"
    place.mkdir()
    rows = []
    for number in range(20):
        Image.fromarray(faces.splits["test"]["images"][number]).save(place / f"{number}.png")
        male, _, *others = faces.splits["test"]["conditions"][number]
        cells = [f"{value:.3f}" if (number + i) % 2 else "" for i, value in enumerate([male, *others])]
        rows.append([f"{number}.png", *cells, "mine"])
    faces_table.write(place / "table.csv", ["path", "p_male", "hair", "mouth", "eyes", "note"], rows)
    return place


def cells_of(file: Path) -> list[dict[str, str]]:
    """The rows of a table."""
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def test_a_folder_is_filled(run: Run, trained: Trained, faces: Dataset, folder: Path, tmp_path: Path) -> None:
    """Missing cells hold what the networks answer, given ones what they held, and the last column tells which."""
    out = tmp_path / "filled.csv"
    written = api.predict(run.id, folder, out=out, lab=run.path.parent)
    assert written.path == out and written.told["pictures"] == 20 and written.told["hair filled in"] == 10
    answers = recipe.conditions_of(trained, faces.splits["test"]["images"][:20])
    before, after = cells_of(folder / "table.csv"), cells_of(out)
    for row, answer in enumerate(answers):
        filled = after[row]["predicted"].split(";")
        for name, place in {"p_male": 0, "hair": 2, "mouth": 3, "eyes": 4}.items():
            assert (name in filled) == (before[row][name] == "")
            if name in filled:
                assert float(after[row][name]) == pytest.approx(answer[place], abs=1e-4)
            else:
                assert after[row][name] == before[row][name]
        assert after[row]["note"] == "mine"


def test_a_filled_folder_has_no_more_labels(run: Run, folder: Path) -> None:
    """Written over the original only when asked; then complete for others, and for this recipe as little labelled."""
    lab = run.path.parent
    original = (folder / "table.csv").read_bytes()
    with pytest.raises(UsageError, match=r"table\.csv exists") as error:
        api.predict(run.id, folder, out=folder / "table.csv", lab=lab)
    assert "--overwrite" in str(error.value) and (folder / "table.csv").read_bytes() == original
    api.predict(run.id, folder, out=folder / "table.csv", overwrite=True, lab=lab)
    assert [file.name for file in folder.iterdir() if file.suffix != ".png"] == ["table.csv"]
    found = data.load("faces-folder", folder=str(folder))
    assert not any(np.isnan(columns["conditions"]).any() for columns in found.splits.values())
    labels = recipe.labelled(recipe.Settings(), found, "test")["conditions"]
    assert np.isnan(labels).sum() == 6, "rows 2 and 12 lack the sex, which is two numbers, and the mouth"
    api.predict(run.id, folder, out=folder / "table.csv", overwrite=True, lab=lab)
    assert cells_of(folder / "table.csv")[0]["predicted"] == "p_male;mouth"


def test_what_cannot_be_filled_is_refused(run: Run, folder: Path, tmp_path: Path) -> None:
    """No folder, nowhere to write, a damaged picture: one message each, and no file half-written."""
    lab = run.path.parent
    with pytest.raises(UsageError, match="There is no"):
        api.predict(run.id, tmp_path / "nowhere", out=tmp_path / "x.csv", lab=lab)
    with pytest.raises(UsageError, match="is no folder"):
        api.predict(run.id, folder / "table.csv", out=tmp_path / "x.csv", lab=lab)
    with pytest.raises(UsageError, match=r"no folder .* to write"):
        api.predict(run.id, folder, out=tmp_path / "nowhere" / "x.csv", lab=lab)
    (folder / "3.png").write_bytes(b"torn")
    with pytest.raises(EpochalError, match=r"table\.csv, row 5: .*cannot be read as a picture"):
        api.predict(run.id, folder, out=tmp_path / "x.csv", lab=lab)
    assert not [file for file in tmp_path.iterdir() if file.name.startswith((".x", "x"))]


def test_reported_numbers_are_the_logs() -> None:
    """The sheet's figures: 94.33 %, and MSEs 1.97, 7.9 and 1.65 times smaller than the mean's."""
    reported = recipes.version_of(recipe.RECIPE).reported
    assert reported["sex_accuracy"] == 0.9433
    assert [reported[f"{what}_gain"] for what in ("hair", "mouth", "eyes")] == [1.97, 7.9, 1.65]


def test_the_best_epoch_is_chosen_by_labels_not_by_networks(run: Run, faces: Dataset) -> None:
    """Two held-out labels of eyes, right by chance, must not outvote hundreds of the sex: each label has one vote."""
    trained = engine.load(recipes.find("face-conditions"), run)
    columns = dict(faces.splits["test"])
    columns["conditions"] = columns["conditions"].copy()
    columns["conditions"][2:, recipe.PLACES["eyes"]] = np.nan
    found = recipe.validation(trained.nets, columns, list(recipe.PLACES), torch.device("cpu"))
    read, wanted = recipe.conditions_of(trained, columns["images"]), columns["conditions"]
    shares, votes = [], []
    for what, place in recipe.PLACES.items():
        mean = trained.nets[what].labels.mean.numpy()
        known = ~np.isnan(wanted[:, place.start])
        if what == "sex":
            loss = [-(wanted[:, place] * np.log(p)).sum(1).mean() for p in (read[:, place], mean)]
        else:
            loss = [np.mean((p - wanted[known, place.start]) ** 2) for p in (read[known, place.start], mean)]
        shares.append(loss[0] / loss[1])
        votes.append(known.sum())
    assert votes == [100, 100, 100, 2]
    assert float(found[recipe.BEST.name]) == pytest.approx(np.average(shares, weights=votes), rel=1e-3)


def test_labels_that_never_vary_do_not_choose_the_best_epoch(run: Run, faces: Dataset) -> None:
    """Of women only the mean is never wrong: as a share of that the sex's loss would outweigh all other conditions."""
    trained = engine.load(recipes.find("face-conditions"), run)
    columns = {**faces.splits["test"], "conditions": faces.splits["test"]["conditions"].copy()}
    columns["conditions"][:, :2] = (0, 1)
    trained.nets["sex"].labels.mean.copy_(torch.tensor([0.0, 1.0]))
    every, others = list(recipe.PLACES), [what for what in recipe.PLACES if what != "sex"]
    found, without = (
        recipe.validation(trained.nets, columns, taught, torch.device("cpu")) for taught in (every, others)
    )
    assert float(found[recipe.BEST.name]) == pytest.approx(float(without[recipe.BEST.name]), rel=1e-6)
    alone = recipe.validation(trained.nets, columns, ["sex"], torch.device("cpu"))
    assert float(alone[recipe.BEST.name]) == float(alone["loss"])
