"""cvae-digits: its lineage, its loss, its golden curve on real digits, and end to end on drawn ones."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from epochal import settings as settings_room
from epochal.errors import UsageError
from epochal.journal import Lab, Run
from epochal.systems import recipes
from epochal.systems.data import glyphs
from epochal.systems.recipes import cvae_digits
from epochal.training import checkpoint, engine
from epochal.training.learner import Choices
from epochal.training.task import Batch, Recipe, Trained

RECIPE = cvae_digits.RECIPE
GOLDEN = json.loads((Path(__file__).parent / "cvae_digits_golden.json").read_text())


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A few drawn digits in a cache of their own."""
    home = tmp_path_factory.mktemp("cvae")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glyphs, "ITEMS", (300, 100))
        patch.setenv("EPOCHAL_CACHE", str(home / "cache"))
        patch.setenv("XDG_STATE_HOME", str(home / "state"))
        yield home


@pytest.fixture(scope="module")
def trained(drawn: Path) -> tuple[Run, Trained]:
    """model-4 after one epoch on 256 drawn digits, as the verb `run` trains it, and what `load` gives."""
    from epochal import api

    patch = {"epochs": 1, "data.source": "glyphs", "data.limit": 256}
    (run,) = api.run(
        "cvae-digits", "model-4", patch=patch, precision="bfloat16", lab=drawn / "lab", show=False
    )
    return run, engine.load(RECIPE, run, device="cpu")


def settings_of(version: str, **patch: Any) -> Any:
    """A version's settings with changes by dotted key, `__` for the dot."""
    changes = {key.replace("__", "."): value for key, value in patch.items()}
    return settings_room.apply(recipes.settings_of(RECIPE, version), changes)


def task_of(version: str, **patch: Any) -> tuple[Any, Any]:
    """Fresh networks and the task of a version on drawn digits."""
    settings = settings_of(version, data__source="glyphs", **patch)
    torch.manual_seed(0)
    nets = RECIPE.nets(settings)
    return RECIPE.build(settings, nets), nets


# --- lineage -------------------------------------------------------------------------------------------------------


def test_the_five_versions() -> None:
    """Each stores only what it changes; settings in force and reported losses are the sheet's."""
    assert {v.name: (v.parent, dict(v.patch), dict(v.reported)) for v in RECIPE.versions} == {
        "model-1": (None, {}, {"loss": 24.85}),
        "model-2": ("model-1", {"condition.thickness": "per-class"}, {"loss": 24.193}),
        "model-3": ("model-2", {"epochs": 40}, {"loss": 22.5267}),
        "model-4": ("model-2", {"loss.grey_weight": 0.32, "epochs": 9}, {"loss": 30.9971}),
        "model-5": ("model-4", {"epochs": 41}, {"loss": 28.9503}),
    }
    in_force = {v.name: settings_room.flatten(recipes.settings_of(RECIPE, v.name)) for v in RECIPE.versions}
    for key, values in {
        "epochs": [8, 8, 40, 9, 41],
        "condition.thickness": ["global", *["per-class"] * 4],
        "loss.grey_weight": [0, 0, 0, 0.32, 0.32],
        "loss.grey_from_epoch": [2] * 5,
        "loss.l2": [0.001] * 5,
        "batch_size": [32] * 5,
        "net.latent": [40] * 5,
        "net.dropout": [0.45] * 5,
        "optim.lr": [1e-3] * 5,
        "optim.decay": [1e-6] * 5,
        "optim.eps": [1e-7] * 5,
    }.items():
        assert [in_force[v.name][key] for v in RECIPE.versions] == values, key
    assert all(v.change for v in RECIPE.versions)


def test_losses_compare_only_where_they_are_the_same() -> None:
    """The definition names the grey loss with its weight and first epoch, and nothing else changes it."""
    texts = [cvae_digits.definition(recipes.settings_of(RECIPE, v.name)) for v in RECIPE.versions]
    assert texts[0] == texts[1] == texts[2] != texts[3] == texts[4]
    assert "0.32·Σ_784 max(0, y(1 - y)) from epoch 2" in texts[3]


# --- training ------------------------------------------------------------------------------------------------------


def test_the_loss_is_the_sheets_formula(drawn: Path) -> None:
    """Squared error over 784 pixels + KL (torch.distributions) + 0.32 times the greyness, averaged over images."""
    from torch.distributions import Normal, kl_divergence

    task, nets = task_of("model-4", net__dropout=0.0)
    batch = task.prepare(Batch({name: torch.as_tensor(column[:32]) for name, column in task.train.items()}))
    batch.epoch = 2
    (phase,) = task.phases
    with torch.no_grad():
        loss, parts = phase.loss(nets, batch, torch.Generator().manual_seed(3))
        c = nets["condition"](batch["labels"], batch["thickness"])
        mean, log_variance = nets["encoder"](batch["x"], c)
        noise = torch.empty_like(mean).normal_(generator=torch.Generator().manual_seed(3))
        y = nets["decoder"](mean + (0.5 * log_variance).exp() * noise, c).double().numpy()
    x = batch["x"].double().numpy()
    posterior = Normal(mean.double(), (0.5 * log_variance.double()).exp())
    kl = kl_divergence(posterior, Normal(0.0, 1.0)).sum(1).mean()
    assert float(parts["reconstruction"]) == pytest.approx(((x - y) ** 2).sum((1, 2, 3)).mean(), rel=1e-5)
    assert float(parts["kl"]) == pytest.approx(float(kl), rel=1e-4)
    assert float(parts["grey"]) == pytest.approx(
        0.32 * np.maximum(0, y * (1 - y)).sum((1, 2, 3)).mean(), rel=1e-4
    )
    assert float(loss) == pytest.approx(sum(map(float, parts.values())), rel=1e-6)


def test_the_grey_loss_starts_in_the_second_epoch(drawn: Path) -> None:
    """Absent in epoch 1 of model-4, present from epoch 2 on, and never there in model-2."""
    for version, epoch, expected in (("model-4", 1, False), ("model-4", 2, True), ("model-2", 2, False)):
        task, nets = task_of(version)
        batch = task.prepare(
            Batch({name: torch.as_tensor(column[:4]) for name, column in task.train.items()})
        )
        batch.epoch = epoch
        _, parts = task.phases[0].loss(nets, batch, torch.Generator())
        assert ("grey" in parts) == expected


def test_the_penalty_is_on_convolution_kernels_only(drawn: Path) -> None:
    """0.001·Σw² over six kernels, no bias and no dense layer among them; Adam and its rate are the sheet's."""
    task, nets = task_of("model-2")
    (phase,) = task.phases
    named = {f"{net}.{name}": p for net in phase.trains for name, p in nets[net].named_parameters()}
    assert phase.l2 == 0.001 and phase.trains == ("encoder", "decoder")
    assert {name for name, p in named.items() if phase.l2_on(name, tuple(p.shape))} == {
        *(f"encoder.conv{i}.weight" for i in (1, 2, 3)),
        *(f"decoder.{name}.weight" for name in ("up1", "up2", "out")),
    }
    optimiser = phase.optimiser
    assert (optimiser.name, optimiser.lr, optimiser.eps, optimiser.betas) == (
        "adam",
        1e-3,
        1e-7,
        (0.9, 0.999),
    )
    assert optimiser.schedule is not None
    assert [optimiser.schedule(step, 9) for step in (0, 1_000_000)] == [1.0, 0.5]


@pytest.mark.parametrize("version", ["model-1", "model-2"])
def test_images_train_with_their_own_thickness(drawn: Path, version: str) -> None:
    """Pixels in [0, 1]; t from the white ratio by the version's formula, statistics over the training images."""
    task, _ = task_of(version, data__limit=256)
    images, labels = task.train["images"][:, 0] / 255.0, task.train["labels"]
    white = images.mean((1, 2))
    if version == "model-1":
        expected = np.clip((white - 0.075) * 10, 0, 1)
    else:
        mean = np.array([white[labels == c].mean() for c in range(10)])
        std = np.array([white[labels == c].std() for c in range(10)])
        expected = np.clip(0.5 * (white - mean[labels]) / std[labels], -1, 1)
    np.testing.assert_allclose(task.train["thickness"], expected, atol=2e-4)
    batch = task.prepare(Batch({name: torch.as_tensor(column[:8]) for name, column in task.train.items()}))
    np.testing.assert_allclose(batch["x"][:, 0].numpy(), images[:8], atol=1e-6)
    assert len(images) == 256 and task.data["drawn"] is True and task.data["name"] == "glyphs"


# --- the golden curve ----------------------------------------------------------------------------------------------


def curve(real_data: Path, lab: Path, choices: Choices, **patch: Any) -> list[dict[str, float]]:
    """Losses of 30 steps (two epochs, so that the grey loss takes part) on the first 480 images of MNIST."""
    settings = settings_of(
        "model-4", epochs=2, data__source="mnist", data__dir=str(real_data), data__limit=480, **patch
    )

    def build(settings: Any, nets: Any) -> Any:
        return replace(RECIPE.build(settings, nets), validate=None, sample=None, keep_best=None)

    run = Lab(lab).create_run(recipe=RECIPE.name, seed=0, settings=settings_room.to_dict(settings))
    with pytest.MonkeyPatch.context() as patch_:
        patch_.setattr(engine.precision_, "choose", lambda *_, **__: (choices, "fixed by a test"))
        engine.train(replace(RECIPE, build=build), settings, run, device="cpu", show=False)
    return [line["values"] for line in run.metrics() if line["scope"] == "step"]


def test_golden_curve(real_data: Path, tmp_path: Path) -> None:
    """Thirty recorded steps of the plain path, without dropout (whose masks differ between processors): within 0.5 %.

    A change that should have no effect must leave them as they are; whoever means to change them records them anew.
    """
    found = curve(real_data, tmp_path, Choices(), net__dropout=0.0)
    assert len(found) == 30 and [sorted(step) for step in found] == [sorted(step) for step in GOLDEN]
    for name in ("loss", "reconstruction", "kl", "grey", "l2"):
        steps = [i for i, step in enumerate(GOLDEN) if name in step]
        assert [found[i][name] for i in steps] == pytest.approx([GOLDEN[i][name] for i in steps], rel=5e-3), (
            name
        )


def test_the_fast_path_follows_the_plain_one(real_data: Path, tmp_path: Path) -> None:
    """bfloat16, channels-last and fast layers, same noise: each of the thirty steps within 1 % of the golden one."""
    fast = Choices("bfloat16", "channels_last", "fast", 1)
    found = [step["loss"] for step in curve(real_data, tmp_path, fast, net__dropout=0.0)]
    assert found == pytest.approx([step["loss"] for step in GOLDEN], rel=0.01)


def test_fast_dropout_trains_like_torchs(real_data: Path, tmp_path: Path) -> None:
    """With dropout the masks differ, so single steps do; the second epoch's mean loss agrees within 2 %."""
    means = []
    for choices in (Choices(), Choices("bfloat16", "channels_last", "fast", 1)):
        found = [step["loss"] for step in curve(real_data, tmp_path, choices)]
        means.append(np.mean(found[15:]))
    assert means[1] == pytest.approx(means[0], rel=0.02)


# --- end to end ----------------------------------------------------------------------------------------------------


def test_it_trains_end_to_end(trained: tuple[Run, Trained]) -> None:
    """Eight steps on drawn digits: finished, honest about its data, sampled, drawn."""
    run, _ = trained
    assert (run.status, run.meta["epochs_done"], run.meta["steps_done"]) == ("finished", 1, 8)
    assert run.meta["data"]["name"] == "glyphs" and run.meta["data"]["drawn"] is True
    assert set(run.epoch_values()) == {"loss", "reconstruction", "kl", "l2"}
    assert set(run.epoch_values("validation")) == {"loss", "reconstruction", "kl", "grey"}
    assert (run.samples_dir / "epoch-0001.png").stat().st_size > 0
    assert {"digits.png", "reconstructions.png"} <= {file.name for file in run.figures_dir.iterdir()}


def test_the_statistics_travel_with_the_checkpoint(trained: tuple[Run, Trained], monkeypatch: Any) -> None:
    """Mean and deviation of each class are the training images', and loading and drawing read no data."""
    run, _ = trained
    tensors, _ = checkpoint.read(run.checkpoints_dir / "last.safetensors")
    train, _, _ = cvae_digits.digits(settings_of("model-4", data__source="glyphs", data__limit=256))
    for c in range(10):
        white = train["white"][train["labels"] == c].numpy()
        assert float(tensors["weights/condition.mean"][c]) == pytest.approx(white.mean(), rel=1e-5)
        assert float(tensors["weights/condition.std"][c]) == pytest.approx(white.std(), rel=1e-4)
    monkeypatch.setattr(cvae_digits, "digits", lambda *_: pytest.fail("read the data"))
    loaded = engine.load(RECIPE, run, device="cpu")
    assert torch.equal(loaded.nets["condition"].mean, tensors["weights/condition.mean"])
    RECIPE.generate(loaded, cvae_digits.Request())  # type: ignore[misc]


@pytest.mark.parametrize(
    ("request_", "shape"),
    [
        ({}, (12, 10, 28, 28)),
        ({"n": 2, "thickness": 0.5}, (2, 10, 28, 28)),
        ({"digit": 7, "n": 64}, (8, 8, 28, 28)),
        ({"digit": 7, "n": 3, "thickness": 0.8}, (1, 3, 28, 28)),
        ({"digit": 0, "n": 1}, (1, 1, 28, 28)),
    ],
)
def test_generate(trained: tuple[Run, Trained], request_: dict[str, Any], shape: tuple[int, ...]) -> None:
    """All ten digits in columns (rows: handwritings at three levels), or so many of one digit; the seed decides."""
    generate: Any = RECIPE.generate
    grid = generate(trained[1], cvae_digits.Request(**request_))
    assert grid.images.shape == shape and grid.images.dtype == np.uint8
    assert not grid.rows or len(grid.rows) == shape[0]
    assert not grid.columns or len(grid.columns) == shape[1]
    assert np.array_equal(grid.images, generate(trained[1], cvae_digits.Request(**request_)).images)
    other = generate(trained[1], cvae_digits.Request(**request_, seed=1))
    assert not np.array_equal(grid.images, other.images)


def test_style_transfer(trained: tuple[Run, Trained], tmp_path: Path) -> None:
    """A drawn stroke gives ten digits at three levels of thickness; a missing picture is wrong usage."""
    from PIL import Image, ImageDraw

    sheet = Image.new("L", (200, 200), 255)
    ImageDraw.Draw(sheet).line((100, 30, 90, 170), fill=0, width=14)
    sheet.save(tmp_path / "one.png")
    generate: Any = RECIPE.generate
    grid = generate(trained[1], cvae_digits.Request(style=str(tmp_path / "one.png"), drawn=1))
    assert grid.images.shape == (3, 10, 28, 28) and "drawn 1" in grid.title
    assert generate(trained[1], cvae_digits.Request(style=str(tmp_path / "one.png"))).images.shape == (
        3,
        10,
        28,
        28,
    )
    with pytest.raises(UsageError, match="no picture"):
        generate(trained[1], cvae_digits.Request(style=str(tmp_path / "two.png")))


def test_figures(trained: tuple[Run, Trained]) -> None:
    """The grid of digits, and ten test images, one a class, above their reconstructions."""
    figures: Any = RECIPE.figures
    found = figures(trained[1])
    assert set(found) == {"digits", "reconstructions"}
    assert found["digits"].images.shape == (12, 10, 28, 28)
    assert found["reconstructions"].images.shape == (2, 10, 28, 28)
    assert list(found["reconstructions"].columns) == [str(d) for d in range(10)]


def test_sampling_and_validation_leave_the_training_alone(drawn: Path) -> None:
    """Both are functions of the stream they are given: the same one draws the same picture and the same numbers."""
    task, nets = task_of("model-4")
    for net in nets.values():
        net.eval()
    with torch.no_grad():
        for look in (task.sample, task.validate):
            first, second = (look(nets, torch.Generator().manual_seed(5)) for _ in range(2))
            if look is task.sample:
                assert np.array_equal(first.images, second.images) and first.images.shape == (6, 10, 28, 28)
            else:
                assert {k: float(v) for k, v in first.items()} == {k: float(v) for k, v in second.items()}


def test_the_recipe_is_complete() -> None:
    """Everything the verbs need is there, and each metric says what it is."""
    assert isinstance(RECIPE, Recipe) and recipes.find("cvae-digits") is RECIPE
    assert all((RECIPE.evaluate, RECIPE.generate, RECIPE.figures, RECIPE.needs, RECIPE.request))
    assert all(metric.what for metric in RECIPE.metrics)
