"""What the recipes of wearables share: windows by subject, scaling, schedule, networks loaded without their data."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import epochal
from epochal import settings as settings_room
from epochal.errors import UsageError
from epochal.systems import data, recipes
from epochal.systems.recipes import _wearables as wearables
from epochal.systems.recipes import har_classifier
from epochal.training.task import Batch


def settings(**patch: Any) -> har_classifier.Settings:
    """Settings of the classifier on the real watch."""
    wanted = {"data.source": "wisdm-watch", **{key.replace("__", "."): v for key, v in patch.items()}}
    chosen: har_classifier.Settings = settings_room.apply(har_classifier.Settings(), wanted)
    return chosen


@pytest.fixture(scope="module")
def watch(real_data: Path) -> wearables.Examples:
    """Five-second windows of the real watch."""
    return wearables.read(settings())


def test_nobody_stands_on_two_sides(watch: wearables.Examples) -> None:
    """51 people: about a fifth tests, another validates, and no window of theirs is trained on."""
    people = {name: set(columns["subject"].tolist()) for name, columns in watch.splits.items()}
    assert {name: len(who) for name, who in people.items()} == {"train": 30, "validation": 10, "test": 11}
    assert not people["train"] & people["test"] and not people["validation"] & (
        people["train"] | people["test"]
    )
    assert watch.about["subjects"] == {name: sorted(who) for name, who in people.items()}
    assert sum(len(columns["labels"]) for columns in watch.splits.values()) == 304 * 24
    assert watch.splits["train"]["x"].shape[1:] == (3, 100)


def test_every_fold_tests_other_people(real_data: Path) -> None:
    """Over the five folds each person tests exactly once."""
    tested = [wearables.read(settings(data__fold=fold)).about["subjects"]["test"] for fold in range(5)]
    assert sorted(one for group in tested for one in group) == list(range(1600, 1651))


def test_one_person_can_be_left_out(real_data: Path) -> None:
    """`data.test_subject` leaves just that person to test."""
    examples = wearables.read(settings(data__test_subject="1610"))
    assert examples.about["subjects"]["test"] == [1610]
    for nobody in ("Anna", "3"):
        with pytest.raises(UsageError, match=f"{nobody}"):
            wearables.read(settings(data__test_subject=nobody))


def test_limit_takes_windows_of_everybody(real_data: Path, watch: wearables.Examples) -> None:
    """Few windows are spread over people and activities: the first ones would all be of one person."""
    few = wearables.read(settings(data__limit=120)).splits
    assert len(few["train"]["labels"]) == 120
    assert len(set(few["train"]["subject"].tolist())) >= 25 and len(set(few["train"]["labels"].tolist())) == 6
    assert len(few["test"]["labels"]) == len(watch.splits["test"]["labels"])


def test_choosing_on_test_people_is_said(real_data: Path) -> None:
    """The fault of the reference programs can be switched on, and then stands in the run's log."""
    examples = wearables.read(settings(paper_compat__choose_on_test=True))
    assert examples.splits["validation"] is examples.splits["test"]
    assert any("chosen on those who test" in remark for remark in examples.remarks)


@pytest.mark.parametrize("scaling", ["standard", "minmax"])
def test_network_brings_the_sensor_to_one_range(watch: wearables.Examples, scaling: str) -> None:
    """What the network scales by comes from the windows to train on alone, and it takes the sensor's own unit."""
    net = wearables.network("resnet8", watch.about)
    x = watch.splits["train"]["x"]
    wearables.learn_scale(net, settings(data__scaling=scaling), x)
    scaled = net.scaled(torch.from_numpy(x)).numpy()
    if scaling == "standard":
        np.testing.assert_allclose(scaled.mean((0, 2)), 0, atol=1e-4)
        np.testing.assert_allclose(scaled.std((0, 2)), 1, atol=1e-4)
    else:
        np.testing.assert_allclose([scaled.min((0, 2)), scaled.max((0, 2))], [[0] * 3, [1] * 3], atol=1e-5)


def test_noise_is_in_deviations_of_a_channel(watch: wearables.Examples) -> None:
    """Augmentation says its size in standard deviations: a channel of small range gets little of it."""
    x = watch.splits["train"]["x"] * np.array([0.1, 1.0, 10.0], np.float32)[:, None]
    change = wearables.augmented(wearables.Augment(noise=0.5), x)
    assert change is not None
    moved = change(torch.zeros(64, 3, 100), torch.Generator().manual_seed(0))
    np.testing.assert_allclose(moved.std((0, 2)).numpy(), 0.5 * x.std((0, 2)), rtol=0.05)


@pytest.mark.parametrize(
    ("augment", "shape"),
    [({"crop": 4}, "signals"), ({"flip": True}, "signals"), ({"noise": 0.1}, "pictures")],
)
def test_changes_that_do_not_fit_are_refused(augment: dict[str, Any], shape: str) -> None:
    """A mirrored walk or a noisy picture was not asked for; it must not silently be left out either."""
    with pytest.raises(UsageError, match=r"[Ww]indows"):
        wearables.check_augment(wearables.Augment(**augment), shape)


def test_learning_rate_is_the_logs() -> None:
    """0.05 for E // 18 epochs, 0.01 until E // 3, 0.001 until 2E // 3, then 0.0001 (E = 200 as logged)."""
    wanted = wearables.optimiser(wearables.Settings(epochs=200), items=640)
    assert wanted.schedule is not None and (wanted.name, wanted.momentum, wanted.weight_decay) == (
        "sgd",
        0.9,
        1e-4,
    )
    rates = [wanted.lr * wanted.schedule(0, epoch) for epoch in range(1, 201)]
    assert rates == pytest.approx([0.05] * 11 + [0.01] * 55 + [0.001] * 67 + [0.0001] * 67)
    for epochs in (1, 2, 17):  # a short trial must learn something in its first epoch
        short = wearables.optimiser(wearables.Settings(epochs=epochs), items=640)
        assert short.schedule is not None and short.schedule(0, 1) == 1.0


def test_pictures_are_prepared_as_pixels() -> None:
    """CIFAR-10 comes as uint8 (B, 32, 32, 3) and is read as (B, 3, 32, 32) in [0, 1]; nothing else is lost."""
    images = torch.randint(0, 256, (2, 32, 32, 3), dtype=torch.uint8)
    prepared = wearables.prepare(Batch(x=images, labels=torch.tensor([1, 2])))
    assert prepared["x"].shape == (2, 3, 32, 32) and float(prepared["x"].max()) <= 1
    assert prepared["labels"].tolist() == [1, 2]


def test_published_division_without_names_is_kept_and_said(real_data: Path) -> None:
    """BasicMotions does not say who is who: its own division is used, and the remark says what that is worth."""
    examples = wearables.read(settings(data__source="basicmotions"))
    assert examples.splits["test"]["x"].shape == (80, 6, 50)  # two windows of 5 s of each of 40 series
    assert any("the same may stand on both sides" in remark for remark in examples.remarks)
    assert not set(map(bytes, examples.splits["train"]["x"])) & set(
        map(bytes, examples.splits["validation"]["x"])
    )


def test_persistence_images_are_of_the_same_windows(real_data: Path, watch: wearables.Examples) -> None:
    """Labels and people are row by row those of the signal: a teacher that reads images speaks of the same windows."""
    images = wearables.read(settings(), "persistence")
    assert images.splits["test"]["x"].shape == (len(watch.splits["test"]["labels"]), 3, 64, 64)
    assert images.splits["test"]["x"].dtype == np.float16 and images.about["shape"] == "pictures"
    for split, columns in watch.splits.items():
        assert (images.splits[split]["labels"] == columns["labels"]).all()
        assert (images.splits[split]["subject"] == columns["subject"]).all()


@pytest.fixture(scope="module")
def run(real_data: Path, tmp_path_factory: pytest.TempPathFactory) -> epochal.Run:
    """A small network, trained for seconds on the real watch."""
    lab = tmp_path_factory.mktemp("lab")
    patch = {"net.name": "resnet8", "data.source": "wisdm-watch", "data.limit": 1500, "epochs": 4}
    (one,) = epochal.run("har-classifier", patch=patch, lab=lab, precision="float32", threads=1, show=False)
    return one


def test_learns_what_people_do(run: epochal.Run) -> None:
    """Four short epochs tell six activities of people never seen better than half of the time (chance: 17 %)."""
    measured = epochal.evaluate(run.id, lab=run.path.parent)
    assert measured["accuracy"] > 0.5
    assert measured["worst_subject"] <= measured["accuracy"] <= 1 and measured["subject_sd"] > 0
    assert (measured["parameters"], measured["macs"]) == (28342, 936384), (
        "ResNet8 on 3 x 100, counted by hand"
    )
    assert 0 < measured["macro_f1"] < 1 and 0 < measured["balanced_accuracy"] < 1
    told = run.reload().meta["measured_with"]["test"]
    assert told["people"].startswith("11 (") and told["lowest"].endswith(f"({measured['worst_subject']:.1%})")
    assert measured["accuracy_high"] - measured["accuracy_low"] > 0.08, (
        "over 11 people, not over 1,584 windows"
    )


def test_network_is_loaded_where_its_data_are_not(run: epochal.Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """Channels and classes come from what the run noted: without the watch `auto` would mean a simulated wrist."""
    monkeypatch.delenv("EPOCHAL_DATA")
    with torch.no_grad():
        logits = epochal.load(run.id, lab=run.path.parent).network(torch.zeros(1, 3, 100))
    assert logits.shape == (1, 6)


def test_its_pictures_are_of_those_who_test(run: epochal.Run) -> None:
    """Confusion and accuracy by person stand in the run's folder."""
    assert {"confusion", "people", "reliability", "loss"} <= {
        path.stem for path in run.figures_dir.glob("*.png")
    }


def test_offline_a_wrist_is_simulated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any data the recipe trains on a simulated wrist, at 100 Hz: five seconds are 500 samples."""
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_DATA", "")
    examples = wearables.read(har_classifier.Settings())
    assert examples.found.name == "wrist" and examples.found.drawn
    assert examples.splits["train"]["x"].shape[1:] == (3, 500) and len(examples.about["classes"]) >= 7


def test_all_versions_name_sources_and_networks_that_exist() -> None:
    """A typo in a version would only be found by whoever trains it."""
    from epochal.systems.nets import classifiers

    known = {source.name for source in data.sources()} | {"auto"}
    for name in ("har-classifier", "har-distill", "har-distill-two-teachers"):
        recipe = recipes.find(name)
        for version in recipe.versions:
            chosen = recipes.settings_of(recipe, version.name)
            assert chosen.data.source in known
            assert classifiers.canonical(chosen.net.name)


def test_a_named_folder_is_what_is_meant(real_data: Path, tmp_path: Path) -> None:
    """Whose own windows lie in `--data.dir` is not given the watch of `$EPOCHAL_DATA` instead."""
    (tmp_path / "about.json").write_text('{"rate_hz": 20, "unit": "g"}')
    for name, column in (
        ("X", np.zeros((10, 3, 100))),
        ("y", np.arange(10) % 2),
        ("subject", np.arange(10) % 5),
    ):
        np.save(tmp_path / f"{name}.npy", column)
    own = settings(data__source="auto", data__dir=str(tmp_path))
    assert wearables.source_of(own) == "arrays-folder"
    assert wearables.source_of(settings(data__source="auto", data__dir=str(real_data))) == "wisdm-watch"
    assert wearables.source_of(settings(data__source="auto")) == "wisdm-watch"


def own_windows(folder: Path, people: int, *, split: bool = False, samples: int = 100) -> None:
    """Forty windows of somebody's own, of so many people; the last person tests when `split`."""
    rng = np.random.default_rng(0)
    subject = np.arange(40) % people
    (folder / "about.json").write_text('{"rate_hz": 20, "unit": "g"}')
    columns = {"X": rng.normal(size=(40, 3, samples)), "y": np.arange(40) // people % 2, "subject": subject}
    if split:
        columns["split"] = (subject == people - 1).astype(np.int64)
    for name, column in columns.items():
        np.save(folder / f"{name}.npy", column)


def own(folder: Path, **patch: Any) -> har_classifier.Settings:
    """Settings on that folder."""
    return settings(data__source="arrays-folder", data__dir=str(folder), **patch)


def test_windows_that_are_cut_already_stay_whole(tmp_path: Path) -> None:
    """Arrays of seven seconds are seven seconds long: cut to five, two of each would be lost without a word."""
    own_windows(tmp_path, 5, samples=140)
    assert wearables.read(own(tmp_path)).splits["train"]["x"].shape[2] == 140


def test_a_division_of_ones_own_is_kept_and_people_stay_apart(tmp_path: Path) -> None:
    """Of the people to train on a fifth validates; a fold cannot be asked for of what is divided already."""
    own_windows(tmp_path, 6, split=True)
    people = wearables.read(own(tmp_path)).about["subjects"]
    assert people["test"] == [5] and len(people["validation"]) == 1
    assert sorted(people["train"] + people["validation"]) == [0, 1, 2, 3, 4]
    for asked in ({"data__fold": 1}, {"data__test_subject": "2"}):
        with pytest.raises(UsageError, match="has said who tests"):
            wearables.read(own(tmp_path, **asked))


def test_a_run_is_not_measured_on_people_it_was_trained_on(tmp_path: Path) -> None:
    """One more person in the folder divides all anew: measuring and resuming are refused, with what to do."""
    from epochal.errors import EpochalError

    folder, lab = tmp_path / "mine", tmp_path / "lab"
    folder.mkdir()
    own_windows(folder, 8)
    patch = {"data.source": "arrays-folder", "data.dir": str(folder), "net.name": "resnet8", "epochs": 1}
    (one,) = epochal.run("har-classifier", patch=patch, lab=lab, precision="float32", threads=1, show=False)
    epochal.evaluate(one.id, lab=lab)
    own_windows(folder, 10)
    with pytest.raises(EpochalError, match="has changed since this run was trained"):
        epochal.evaluate(one.id, lab=lab)
    with pytest.raises(EpochalError, match="have changed since it was trained"):
        epochal.resume(one.id, epochs=2, lab=lab, show=False)


def test_an_empty_named_folder_is_an_error(tmp_path: Path, real_data: Path) -> None:
    """Who names a folder where nothing is does not get the watch of another one."""
    with pytest.raises(UsageError, match="where no recordings were found"):
        wearables.source_of(settings(data__source="auto", data__dir=str(tmp_path)))


def test_standardised_logits_are_measured_as_they_were_trained(watch: wearables.Examples) -> None:
    """A loss that sees z / std(z) alone says nothing of z's size: the likelihood must not depend on it."""
    from epochal.systems.recipes import har_distill

    wanted = settings_room.apply(har_distill.Settings(), {"loss.standardise_logits": True})
    few = {name: column[:50] for name, column in watch.splits["test"].items()}
    net = wearables.network("resnet8", watch.about).eval()

    def louder(x: torch.Tensor) -> torch.Tensor:
        return 50 * net(x)

    said = [next(wearables.answers(one, few, "cpu", wanted))[0] for one in (net, louder)]
    torch.testing.assert_close(*said, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(said[0].std(1).numpy(), 1, rtol=1e-3)
