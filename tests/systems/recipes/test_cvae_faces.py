"""cvae-faces: its lineage, its loss, what β is said to let survive, missing labels, and end to end on drawn faces."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from epochal import settings as settings_room
from epochal.cli import main
from epochal.errors import EpochalError, UsageError
from epochal.journal import Run
from epochal.systems import data, recipes
from epochal.systems.data import faces_drawn
from epochal.systems.data.dataset import Dataset
from epochal.systems.nets.cvae_faces import Codes
from epochal.systems.recipes import _faces_drawing, _faces_measuring, cvae_faces, face_conditions
from epochal.training import checkpoint, engine
from epochal.training.task import Batch, Trained

RECIPE = cvae_faces.RECIPE
TINY = {"data.source": "drawn-faces", "net.width": 0.05, "net.latent": 4}


@pytest.fixture(scope="module")
def few() -> Dataset:
    """The first drawn faces of each split, drawn for these tests alone."""
    splits = {
        split: {"images": faces_drawn.draw_rows(split, 0, n), **faces_drawn.columns(split, n)}
        for split, n in (("train", 40), ("test", 12))
    }
    return Dataset("drawn-faces", "drawn for a test", True, "0" * 64, (), splits)


@pytest.fixture(autouse=True)
def only_these(few: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is loaded, it is these faces."""
    monkeypatch.setattr(data, "load", lambda *_, **__: few)


def settings_of(version: str, **patch: Any) -> Any:
    """A version's settings for small networks, with changes by dotted key, `__` for the dot."""
    changes = TINY | {key.replace("__", "."): value for key, value in patch.items()}
    return settings_room.apply(recipes.settings_of(RECIPE, version), changes)


def task_of(version: str, **patch: Any) -> tuple[Any, Any]:
    """A version's task and its networks, from one seed."""
    settings = settings_of(version, **patch)
    torch.manual_seed(0)
    nets = RECIPE.nets(settings)
    return RECIPE.build(settings, nets), nets


def batch_of(task: Any, count: int = 8) -> Batch:
    """The first images of a task's training set, prepared."""
    prepared: Batch = task.prepare(
        Batch({name: torch.as_tensor(column[:count]) for name, column in task.train.items()})
    )
    return prepared


# --- lineage -------------------------------------------------------------------------------------------------------


def test_the_versions_are_the_sheets() -> None:
    """Latent dimensions, W, tanh, learning rate and reported losses; `run` takes the recommended start."""
    in_force = {v.name: recipes.settings_of(RECIPE, v.name) for v in RECIPE.versions}
    found = {
        name: (s.net.latent, s.loss.weight, s.net.bounded, s.optim.lr, s.optim.factor)
        for name, s in in_force.items()
    }
    assert found == {
        "baseline": (48, 1.0, True, 2e-4, 0.99),
        "model-2": (48, 500.0, True, 2e-4, 0.99),
        "model-3": (110, 500.0, True, 2e-4, 0.99),
        "logged-best": (231, 200_000.0, True, 6e-4, 0.9675),
        "sum-mse": (48, 43_200.0, False, 2e-4, 0.99),
        "recommended": (48, 432_000.0, False, 1e-3, 0.85),
    }
    for name, s in in_force.items():
        own = (0.0, 0.5, 100, 12, 100.0) if name == "recommended" else (0.45, 1.0, 0, 4, None)
        assert (s.net.dropout, s.net.width, s.optim.warm_up, s.optim.constant_epochs, s.clip_grad_norm) == own
        assert (s.epochs, s.batch_size, s.net.side_path) == (24, 32, "dense")
        assert (s.loss.kl_from > 1) is (s.loss.independence > 0) is (name == "recommended")
        assert (s.net.prior == "fitted") is (name == "recommended")
        assert (s.loss.l2, s.optim.decay) == (0.001, 1e-6)
    assert {v.name: v.parent for v in RECIPE.versions} == {
        "baseline": None,
        "model-2": "baseline",
        "model-3": "model-2",
        "logged-best": "model-3",
        "sum-mse": "baseline",
        "recommended": "sum-mse",
    }
    assert {v.name: v.reported.get("loss") for v in RECIPE.versions} == {
        "baseline": 0.0449,
        "model-2": 18.4235,
        "model-3": 18.7374,
        "logged-best": 1499,
        "sum-mse": None,
        "recommended": None,
    }
    assert RECIPE.versions[-1].name == "recommended"


def test_losses_of_different_weight_do_not_compare() -> None:
    """The formula names W and the β that it makes; only versions of one W share it."""
    texts = {v.name: cvae_faces.definition(recipes.settings_of(RECIPE, v.name)) for v in RECIPE.versions}
    assert len(set(texts.values())) == 5 and texts["model-2"] == texts["model-3"]
    for version, said in {
        "baseline": "W = 1 (β = 43,200 / W = 43,200)",
        "model-2": "W = 500 (β = 43,200 / W = 86.4)",
        "sum-mse": "W = 43,200 (β = 43,200 / W = 1)",
        "logged-best": "W = 200,000 (β = 43,200 / W = 0.216)",
        "recommended": "(β = 43,200 / W = 0.1); the KL times 864 in the first epochs (3), falling to 1 within 5",
    }.items():
        assert said in texts[version]


@pytest.mark.parametrize(
    ("side_path", "said"),
    [
        (
            "dense",
            "72,600,879 parameters: encoder 17,263,152, decoder 55,337,727, of these 48,114,000 in side",
        ),
        (
            "broadcast",
            "24,503,079 parameters: encoder 17,263,152, decoder 7,239,927, of these 16,200 in side",
        ),
        ("none", "24,486,879 parameters: encoder 17,263,152, decoder 7,223,727, of these 0 in side"),
    ],
)
def test_the_counts_of_parameters_are_said(side_path: str, said: str) -> None:
    """Of each way of the side paths, at the full size; the counts are held to hand-made ones by the networks' tests."""
    settings = settings_room.apply(recipes.settings_of(RECIPE, "baseline"), {"net.side_path": side_path})
    assert cvae_faces.parameters_text(settings).startswith(said)


# --- training ------------------------------------------------------------------------------------------------------


def test_the_kl_weighs_less_from_epoch_to_epoch() -> None:
    """`recommended`: β = 86.4 in three epochs, then by the same factor down to 0.1; a batch's loss knows its epoch."""
    settings = recipes.settings_of(RECIPE, "recommended")
    weights = [cvae_faces.kl_weight(settings, epoch) for epoch in (1, 2, 3, 4, 6, 8, 9, 24)]
    assert weights == pytest.approx([864, 864, 864, 864 ** (4 / 5), 864 ** (2 / 5), 1, 1, 1])
    assert cvae_faces.beta(settings) * weights[0] == pytest.approx(86.4)
    constant = recipes.settings_of(RECIPE, "sum-mse")
    assert [cvae_faces.kl_weight(constant, epoch) for epoch in (1, 2, 24)] == [1, 1, 1]
    task, nets = task_of("recommended")
    batch = batch_of(task)
    for epoch, weight in ((1, 864.0), (8, 1.0)):
        batch.epoch = epoch
        with torch.no_grad():
            loss, parts = task.phases[0].loss(nets, batch, torch.Generator().manual_seed(3))
        terms = parts["reconstruction"] + weight * parts["kl"] + 100 * parts["told"]
        assert float(loss) == pytest.approx(float(terms), rel=1e-5)


def test_the_adversary_reads_conditions_off_the_code() -> None:
    """Its loss is the squared error of the standardised conditions (by NumPy), and trains it alone; what the encoder
    pays is the mean square of its answers, and a step against that makes it read less."""
    task, nets = task_of("sum-mse", loss__independence=1e6, net__dropout=0.0)
    cvae, adversary = task.phases
    assert (cvae.trains, adversary.trains) == (("encoder", "decoder"), ("adversary",))
    assert "1,000,000·sum over 4 conditions of a(z)²" in cvae.definition
    batch = batch_of(task)
    loss, parts = cvae.loss(nets, batch, torch.Generator().manual_seed(3))
    with torch.no_grad():
        answers = nets["adversary"](batch["z"]).double().numpy()
        moved = nets["adversary"](3 * batch["z"] + 5).double().numpy()
    assert float(parts["told"].detach()) == pytest.approx((answers**2).sum(1).mean(), rel=1e-4)
    np.testing.assert_allclose(moved, answers, atol=1e-3)  # codes that all move together do not escape it
    assert torch.isfinite(nets["adversary"](batch["z"][:1])).all()
    conditions = np.delete(task.train["conditions"], 1, axis=1).astype(np.float64)
    wanted = ((conditions - conditions.mean(0)) / conditions.std(0))[:8]
    other, _ = adversary.loss(nets, batch, torch.Generator())
    assert float(other.detach()) == pytest.approx(((answers - wanted) ** 2).sum(1).mean(), rel=1e-4)

    other.backward()
    assert all(p.grad is None for net in cvae.trains for p in nets[net].parameters())
    loss.backward()
    with torch.no_grad():
        for p in nets["encoder"].parameters():
            p -= 1e-3 * p.grad / p.grad.norm().clamp_min(1e-12)
        _, after = cvae.loss(nets, batch, torch.Generator().manual_seed(3))
    assert float(after["told"]) < float(parts["told"].detach())


def test_new_codes_lie_where_the_codes_of_training_do() -> None:
    """Mean and covariance are those of a plain loop over the batches in float64, and of what is drawn; N(0, I) before
    anything was seen."""
    rng, codes = torch.Generator().manual_seed(0), Codes(3)
    first = codes.draw(20_000, torch.Generator().manual_seed(1))
    torch.testing.assert_close(torch.cov(first.T), torch.eye(3), atol=0.05, rtol=0)
    root, middle = torch.tensor([[1.0, 0, 0], [0.5, 0.3, 0], [0, 2.0, 0.1]]), torch.tensor([8.0, -1.0, 0.0])
    mean, square = np.zeros(3), np.eye(3)
    for step in range(1, 701):
        z = torch.randn(16, 3, generator=rng) @ root.T + middle
        codes.learn(z)
        share = max(1 / step, 1 / Codes.STEPS)
        batch = z.double().numpy()
        mean += share * (batch.mean(0) - mean)
        square += share * (batch.T @ batch / 16 - square)
    covariance = square - np.outer(mean, mean)
    np.testing.assert_allclose(codes.mean, mean, rtol=1e-3, atol=1e-3)
    drawn = codes.draw(50_000, torch.Generator().manual_seed(1)).double().numpy()
    np.testing.assert_allclose(drawn.mean(0), mean, atol=0.03)
    np.testing.assert_allclose(np.cov(drawn.T), covariance, atol=0.05)
    np.testing.assert_allclose(covariance, (root @ root.T).numpy(), atol=0.6)
    for _ in range(400):  # all codes in one point, far away: rounding alone is left of the covariance
        codes.learn(torch.tensor([[1000.0, -1000.0, 0.0]]).expand(4, -1))
    alike = codes.draw(100, torch.Generator().manual_seed(1))
    assert torch.isfinite(alike).all() and float((alike.mean(0) - codes.mean).abs().max()) < 50


def test_a_fitted_prior_changes_what_is_drawn_and_not_the_training() -> None:
    """The same loss with and without it; new faces are then decoded from where the codes were."""
    losses = {}
    for prior in ("standard", "fitted"):
        task, nets = task_of("sum-mse", net__prior=prior, net__dropout=0.0)
        loss, _ = task.phases[0].loss(nets, batch_of(task), torch.Generator().manual_seed(3))
        losses[prior] = float(loss.detach())
    assert losses["standard"] == losses["fitted"]
    assert float(nets["codes"].seen) == 1
    nets["codes"].learn(torch.full((4, 4), 50.0))
    assert float(_faces_drawing.latents(nets, 100, torch.Generator().manual_seed(0)).mean()) > 10
    assert "codes" not in RECIPE.nets(settings_of("sum-mse"))


def test_training_with_an_adversary_resumes_to_the_bit(few: Dataset, tmp_path: Path) -> None:
    """One epoch and then another is the same as two: three networks, where their codes lie, both optimisers."""
    from epochal import api

    how: dict[str, Any] = {"precision": "float32", "threads": 1, "lab": tmp_path, "show": False}
    patch = {**TINY, "batch_size": 8, "loss.kl_from": 10.0, "loss.independence": 100.0, "net.prior": "fitted"}
    (whole,) = api.run("cvae-faces", "sum-mse", patch={**patch, "epochs": 2}, **how)
    (parted,) = api.run("cvae-faces", "sum-mse", patch={**patch, "epochs": 1}, **how)
    parted = api.resume(parted.id, epochs=2, lab=tmp_path, show=False)
    a, b = (checkpoint.read(run.path / "checkpoints" / "last.safetensors")[0] for run in (whole, parted))
    assert a.keys() == b.keys() and any(key.startswith("optimiser/adversary/") for key in a)
    assert all(torch.equal(a[key], b[key]) for key in a)


@pytest.mark.parametrize(("version", "weight"), [("baseline", 1), ("model-2", 500), ("sum-mse", 43_200)])
def test_the_loss_is_the_sheets_formula(version: str, weight: float) -> None:
    """W times the mean over 43,200 values plus KL (torch.distributions), averaged over images."""
    from torch.distributions import Normal, kl_divergence

    task, nets = task_of(version, net__dropout=0.0)
    batch = batch_of(task)
    (phase,) = task.phases
    with torch.no_grad():
        loss, parts = phase.loss(nets, batch, torch.Generator().manual_seed(3))
        mean, log_variance = nets["encoder"](batch["x"], batch["c"])
        noise = torch.empty_like(mean).normal_(generator=torch.Generator().manual_seed(3))
        y = nets["decoder"](mean + (0.5 * log_variance).exp() * noise, batch["c"]).double().numpy()
    x = task.train["images"][:8].transpose(0, 3, 1, 2) / 255.0
    posterior = Normal(mean.double(), (0.5 * log_variance.double()).exp())
    kl = float(kl_divergence(posterior, Normal(0.0, 1.0)).sum(1).mean())
    mse = ((x - y) ** 2).mean()
    assert float(parts["mse"]) == pytest.approx(mse, rel=1e-4)
    assert float(parts["kl"]) == pytest.approx(kl, rel=1e-4)
    assert float(loss) == pytest.approx(weight * mse + kl, rel=1e-4)
    assert batch["c"].numpy() == pytest.approx(task.train["conditions"][:8])


def test_penalty_and_learning_rate_are_the_sheets() -> None:
    """0.001·Σw² over the eight convolution kernels alone; Adam 2e-4 with decay 1e-6 a step, constant for four epochs,
    then 0.99 an epoch."""
    task, nets = task_of("baseline")
    (phase,) = task.phases
    named = {f"{net}.{name}": p for net in phase.trains for name, p in nets[net].named_parameters()}
    assert phase.l2 == 0.001
    assert {name for name, p in named.items() if phase.l2_on(name, tuple(p.shape))} == {
        *(f"encoder.conv{i}.weight" for i in (1, 2, 3, 4)),
        *(f"decoder.{name}.weight" for name in ("up1", "up2", "up3", "out")),
    }
    optimiser = phase.optimiser
    assert (optimiser.name, optimiser.lr, optimiser.eps) == ("adam", 2e-4, 1e-7)
    assert optimiser.schedule is not None
    factors = [optimiser.schedule(0, epoch) for epoch in (1, 4, 5, 24)]
    assert factors == pytest.approx([1, 1, 0.99, 0.99**20])
    assert optimiser.schedule(1_000_000, 1) == pytest.approx(0.5)


def test_the_rate_is_warmed_up() -> None:
    """It rises in equal parts to its full height: at full height from the first step the loss may become NaN."""
    settings = recipes.settings_of(RECIPE, "recommended")
    schedule = cvae_faces.schedule(settings)
    assert settings.optim.warm_up == 100
    assert [schedule(step, 1) for step in (0, 49, 99)] == pytest.approx([0.01, 0.5, 1.0], rel=1e-3)
    assert schedule(500, 1) == pytest.approx(1.0, rel=1e-3)


def test_images_stay_bytes_until_the_batch() -> None:
    """The engine is given the stored uint8 images themselves: as floats they would take 2.9 GB."""
    task, _ = task_of("baseline")
    assert task.train["images"].dtype == np.uint8
    assert np.shares_memory(task.train["images"], data.load("drawn-faces").splits["train"]["images"])
    assert set(task.train) == {"images", "conditions"}


# --- what β lets survive -------------------------------------------------------------------------------------------


def test_a_run_says_at_its_start_what_to_expect() -> None:
    """Parameters, β with the directions that can survive, and the penalty beside the picture. At W = 1 nothing
    survives and the penalty begins far above all that the picture can gain; at W = 43,200 neither holds."""
    said = {}
    for version in ("baseline", "sum-mse"):
        task, _ = task_of(version, net__width=0.2)
        said[version] = " | ".join(task.remarks)
    assert "β = 43,200 / W = 43,200 / 1 = 43,200, 4 latent" in said["baseline"]
    assert "exceeds 43,200 / (2W) = 21,600: 0 of the images', 0 of what" in said["baseline"]
    assert "the penalty, not the picture, is what training reduces" in said["baseline"]
    assert "exceeds 43,200 / (2W) = 0.5: 3" in said["sum-mse"]  # of 39 that 40 images can have
    assert "the penalty, not" not in said["sum-mse"]


def test_glorots_penalty_is_what_a_fresh_network_has() -> None:
    """The formula for the penalty at the start (0.39 at full size, as the sheet has it) is that of drawn weights."""
    full = recipes.settings_of(RECIPE, "baseline")
    with torch.device("meta"):
        nets = RECIPE.nets(full)
    assert "begins at 0.394," in _faces_measuring.kernel_penalty(full, nets, 0.05)[1]
    settings = settings_of("baseline", net__width=0.5)
    torch.manual_seed(0)
    numbers, text = _faces_measuring.kernel_penalty(settings, RECIPE.nets(settings), 0.05, 0.04)
    begins = float(text.split("begins at ")[1].split(",")[0])
    assert numbers["l2_penalty"] == pytest.approx(begins, rel=0.02)
    assert numbers["picture_term"] == 0.04


# --- missing labels ------------------------------------------------------------------------------------------------


def test_the_threshold_is_a_line_over_all_directions() -> None:
    """The figure of directions draws the variance that each must exceed over as many as the spectrum could have: two
    points would be marked with dots, as if they had been measured."""
    rng = np.random.default_rng(0)
    columns = {
        "images": rng.integers(0, 256, (80, 120, 120, 3), dtype=np.uint8),
        "conditions": rng.random((80, 5), dtype=np.float32),
    }
    figure = _faces_measuring.directions_figure(500.0, columns)
    directions, heights = figure.series["43,200 / (2W) = 43.2"]
    assert list(directions) == list(range(1, 81)) and set(heights) == {43.2}


def test_missing_labels_are_filled_and_given_ones_kept(few: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only where labels are missing is face-conditions asked for; then its answers stand in the empty places alone."""
    settings = settings_of("baseline")
    assert cvae_faces.needs_to_train(settings) == {}
    train = dict(few.splits["train"])
    given = train["conditions"].copy()
    given[3, 2] = given[7, :2] = np.nan
    holes = replace(few, splits={**few.splits, "train": train | {"conditions": given}})
    monkeypatch.setattr(data, "load", lambda *_, **__: holes)
    asked = cvae_faces.needs_to_train(settings)
    assert asked == cvae_faces.needs(settings) and asked["instrument"][0] == "face-conditions"
    nets = RECIPE.nets(settings)
    with pytest.raises(EpochalError, match=r"2 of 40 train images of drawn-faces lack a condition"):
        RECIPE.build(settings, nets)
    quarter = lambda trained, images, rows: np.full((len(rows), 5), 0.25, np.float32)  # noqa: E731
    monkeypatch.setattr(face_conditions, "conditions_of", quarter)
    helper = Trained(settings, {})
    task = RECIPE.build(settings, nets, helpers={"instrument": helper})
    filled = task.train["conditions"]
    assert filled[3, 2] == filled[7, 0] == filled[7, 1] == 0.25
    said = "conditions filled in by networks, of 40 training images: sex 1, hair 1"
    assert task.remarks[-1] == said, "who reads the log must know that these are no labels"
    untouched = ~np.isnan(given)
    assert np.array_equal(filled[untouched], given[untouched])
    assert np.isnan(holes.splits["train"]["conditions"]).sum() == 3, "the source's own column is left alone"


def test_what_a_network_filled_in_is_no_label(few: Dataset) -> None:
    """Faces are trained on with it, but the instrument is not measured on it: it would agree with itself."""
    predicted = np.zeros((12, 5), bool)
    predicted[2, 3] = True
    splits = {**few.splits, "test": {**few.splits["test"], "predicted": predicted}}
    columns = cvae_faces.columns_of(replace(few, splits=splits), "test", {})
    assert np.array_equal(columns["conditions"], few.splits["test"]["conditions"])
    assert np.array_equal(np.isnan(columns["labels"]), predicted)


def test_a_single_test_image_is_measured_too() -> None:
    """A third of the test images watch, at most 400; one alone both watches and is measured, none is left out."""
    cases = {1: (1, 1), 2: (1, 1), 3: (1, 2), 12: (4, 8), 2000: (400, 1600)}
    for count, wanted in cases.items():
        parts = [range(count)[part] for part in cvae_faces.parts_of(count)]
        assert tuple(map(len, parts)) == wanted and {*parts[0], *parts[1]} == {*range(count)}


# --- end to end ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def trained(few: Dataset, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Run, Trained]]:
    """sum-mse, small, after three epochs on 40 drawn faces, as the verb `run` trains it, and what `load` gives."""
    from epochal import api

    home = tmp_path_factory.mktemp("faces")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "load", lambda *_, **__: few)
        patch.setenv("EPOCHAL_CACHE", str(home / "cache"))
        (run,) = api.run(
            "cvae-faces",
            "sum-mse",
            patch=TINY | {"epochs": 3, "batch_size": 8, "optim.lr": 2e-3},
            precision="float32",
            threads=1,
            lab=home / "lab",
            show=False,
        )
        yield run, engine.load(RECIPE, run, device="cpu")


def test_it_trains_end_to_end(trained: tuple[Run, Trained], capsys: pytest.CaptureFixture[str]) -> None:
    """The loss falls; console, record and `show` say sizes, the console what to expect; all figures are drawn."""
    run, _ = trained
    assert (run.status, run.meta["epochs_done"], run.meta["steps_done"]) == ("finished", 3, 15)
    losses = [value for _, value in run.epoch_values()["loss"]]
    assert losses[-1] < 0.7 * losses[0]
    watched = {"bound", "reconstruction", "kl", "mse"}
    assert set(run.epoch_values()) == {"loss", *watched, "l2"}
    assert set(run.epoch_values("validation")) == {*watched, "active_units"}
    assert set(run.meta["data"]["parameters"]) == {"encoder", "decoder", "decoder's side paths"}
    console = (run.path / "console.log").read_text("utf-8")
    assert "β = 43,200 / W = 43,200 / 43,200 = 1, 4 latent dimensions" in console
    assert "in side paths (dense)" in console
    capsys.readouterr()
    assert main(["show", str(run.path)]) == 0
    counts = run.meta["data"]["parameters"]
    assert (
        f"parameters: encoder {counts['encoder']:,}, decoder {counts['decoder']:,}, "
        in capsys.readouterr().out
    )
    stems = {"faces", "conditions", "moved", "interpolation", "reconstructions", "directions"}
    assert stems <= {file.stem for file in run.figures_dir.iterdir()}


class Exact:
    """A generator and an instrument that are perfect: the picture's first pixels are its conditions."""

    @staticmethod
    def drawn(nets: Any, z: Any, c: Any) -> Any:
        """Faces whose first five red pixels are the conditions, in 255ths."""
        images = np.zeros((len(c), 120, 120, 3), np.uint8)
        images[:, 0, :5, 0] = (c.cpu().numpy() * 255).round()
        return images

    @staticmethod
    def conditions_of(trained: Any, images: Any, rows: Any = None) -> Any:
        """What those pixels say."""
        return images[:, 0, :5, 0].astype(np.float32) / 255


def test_evaluate_measures_what_is_promised(
    trained: tuple[Run, Trained], few: Dataset, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Numbers for every metric and the report line; a perfect generator read by a perfect instrument has R² 1 and no
    cross-talk, and the instrument's own errors are those on the test images."""
    monkeypatch.setattr(_faces_drawing, "drawn", Exact.drawn)
    monkeypatch.setattr(face_conditions, "conditions_of", Exact.conditions_of)
    monkeypatch.setattr(faces_drawn, "draw", lambda c, persons: Exact.drawn(None, None, torch.from_numpy(c)))
    model = replace(trained[1], helpers={"instrument": trained[1]})
    evaluate: Any = RECIPE.evaluate
    with torch.no_grad():
        found = evaluate(model, "test")
    assert {metric.name for metric in RECIPE.metrics} <= set(found)
    for axis in ("sex", "hair", "mouth", "eyes"):
        assert found[f"{axis}_mae"] < 0.003 and found[f"{axis}_r2"] > 0.999
        assert found[f"{axis}_moves_{axis}"] == pytest.approx(1, abs=0.01)
    assert found["sex_accuracy"] == 1
    assert found["cross_talk"] < 0.01 and found["instrument_cross_talk"] < 0.01
    test = {name: column[4:] for name, column in few.splits["test"].items()}  # a third of 12 watched
    expected = np.abs(Exact.conditions_of(None, test["images"]) - test["conditions"]).mean(0)
    assert found["instrument_hair_mae"] == pytest.approx(expected[2], rel=1e-5)
    assert found["posterior"].startswith("β = 43,200 / W = 43,200 / 43,200 = 1, active units ")
    assert found["posterior"].endswith("(40 training images)")
    assert "now L2 is" in found["penalty"] and "8 images" in found["instrument_errors"]
    assert re.fullmatch("face-conditions [0-9a-f]{8}", found["instrument"])
    by = {metric.name: metric.by for metric in RECIPE.metrics}
    assert by["hair_r2"] == by["cross_talk"] == ("instrument",) and by["mse"] == ()

    x = torch.from_numpy(test["images"]).permute(0, 3, 1, 2) / 255
    c = torch.from_numpy(test["conditions"])
    with torch.no_grad():
        y = model.nets["decoder"](model.nets["encoder"](x, c)[0], c)
    assert found["mse"] == pytest.approx(float((x - y).square().mean()), rel=1e-4)


def test_cross_talk_is_found(trained: tuple[Run, Trained], monkeypatch: pytest.MonkeyPatch) -> None:
    """A generator that opens the mouth by 0.3 of what it opens the eyes has that cross-talk."""

    def leaking(nets: Any, z: Any, c: Any) -> Any:
        c = c.clone()
        c[:, 3] = 0.7 * c[:, 3] + 0.3 * c[:, 4]
        return Exact.drawn(nets, z, c)

    monkeypatch.setattr(_faces_drawing, "drawn", leaking)
    monkeypatch.setattr(face_conditions, "conditions_of", Exact.conditions_of)
    model = replace(trained[1], helpers={"instrument": trained[1]})
    images = np.zeros((2, 120, 120, 3), np.uint8)
    numbers, _ = _faces_measuring.fidelity(model, images, np.eye(2, 5, dtype=np.float32))
    assert numbers["eyes_moves_mouth"] == pytest.approx(0.3, abs=0.02)
    assert numbers["mouth_moves_mouth"] == pytest.approx(0.7, abs=0.02)
    assert numbers["cross_talk"] == numbers["eyes_moves_mouth"]


@pytest.mark.parametrize(
    ("request_", "shape", "title"),
    [
        ({}, (2, 8, 120, 120, 3), "8 faces, each as both sexes"),
        ({"sex": "male", "n": 1}, (1, 1, 120, 120, 3), "1 face, male"),
        ({"sex": "female", "hair": 0.9, "eyes": 0, "n": 10}, (2, 8, 120, 120, 3), "female, hair 0.9, eyes 0"),
        ({"n": 20}, (6, 8, 120, 120, 3), "20 faces"),
    ],
)
def test_generate(
    trained: tuple[Run, Trained], request_: dict[str, Any], shape: tuple[int, ...], title: str
) -> None:
    """So many faces of what is asked for, each as both sexes where none is; the seed decides."""
    generate: Any = RECIPE.generate
    asked = _faces_drawing.Request(**request_)
    grid = generate(trained[1], asked)
    assert grid.images.shape == shape and grid.images.dtype == np.uint8 and title in grid.title
    assert np.array_equal(grid.images, generate(trained[1], asked).images)
    assert not np.array_equal(grid.images, generate(trained[1], replace(asked, seed=1)).images)


def test_a_picture_is_rebuilt_and_moved(trained: tuple[Run, Trained], few: Dataset, tmp_path: Path) -> None:
    """Picture, reconstruction, and each condition moved in a row; without its sex, a wrong file or one that is not
    square, wrong usage is said."""
    generate: Any = RECIPE.generate
    Image.new("RGB", (50, 60)).save(tmp_path / "tall.png")
    (tmp_path / "no.png").write_text("no picture")
    exif = Image.Exif()
    exif[0x0112] = 6  # a camera held sideways: to be turned clockwise
    Image.fromarray(np.rot90(few.splits["test"]["images"][0])).save(tmp_path / "face.png", exif=exif)
    asked = _faces_drawing.Request(reconstruct=str(tmp_path / "face.png"), sex="male")
    grid = generate(trained[1], asked)
    assert grid.images.shape == (4, 7, 120, 120, 3) and len(grid.rows) == 4
    assert all(np.array_equal(row[0], few.splits["test"]["images"][0]) for row in grid.images)
    for wrong, said in (
        (replace(asked, sex=None), "what the picture shows"),
        (replace(asked, reconstruct=str(tmp_path / "none.png")), "no picture"),
        (replace(asked, reconstruct=str(tmp_path / "tall.png")), "50x60 pixels, not square"),
        (replace(asked, reconstruct=str(tmp_path / "no.png")), "no.png"),
    ):
        with pytest.raises(UsageError, match=said):
            generate(trained[1], wrong)


def test_moving_a_condition_moves_nothing_else(trained: tuple[Run, Trained]) -> None:
    """In what the decoder is given, that is: sex as a pair that adds up to one, every other condition alone."""
    condition = trained[1].nets["condition"]
    c = torch.rand(3, 5)
    for axis, columns in (("sex", [0, 1]), ("hair", [2]), ("mouth", [3]), ("eyes", [4])):
        low, high = (_faces_drawing.with_end(condition, c, axis, end) for end in (0, 1))
        others = [i for i in range(5) if i not in columns]
        assert torch.equal(low[:, others], c[:, others]) and torch.equal(high[:, others], c[:, others])
        assert (high[:, columns[0]] > low[:, columns[0]]).all()
    assert torch.equal(_faces_drawing.with_end(condition, c, "sex", 1)[:, :2], torch.tensor([[1.0, 0.0]] * 3))
