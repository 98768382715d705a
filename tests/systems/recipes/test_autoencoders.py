"""ae, vae and wae: their losses against formulas written apart, their samplers, and end to end on digits."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from epochal import api
from epochal import settings as settings_room
from epochal.errors import UsageError
from epochal.evidence.metrics import mmd
from epochal.journal import Run
from epochal.systems import recipes
from epochal.systems.data import glyphs
from epochal.systems.nets.feature_classifier import FeatureClassifier
from epochal.systems.recipes import _autoencoders as shared
from epochal.systems.recipes import _latent_samples as samples
from epochal.systems.recipes import image_features, vae
from epochal.training import checkpoint, engine
from epochal.training.task import Batch, Trained

ALL = ("ae", "vae", "wae")
LITTLE = {
    "data.source": "glyphs",
    "data.limit": 256,
    "data.hold_out": 30,
    "net.hidden": 32,
    "net.latent": 4,
    "net.width": 4,
    "epochs": 1,
}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a cache of its own, where few digits are drawn."""
    folder = tmp_path_factory.mktemp("autoencoders")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(glyphs, "ITEMS", (300, 100))
        patch.setenv("EPOCHAL_CACHE", str(folder / "cache"))
        patch.setenv("XDG_STATE_HOME", str(folder / "state"))
        yield folder


def settings_of(name: str, version: str = "mlp", **patch: Any) -> Any:
    """A version's settings with changes by dotted key, `__` for the dot."""
    changes = {key.replace("__", "."): value for key, value in patch.items()}
    settings = recipes.settings_of(recipes.find(name), version)
    return settings_room.apply(settings, {**LITTLE, **changes})


def made(name: str, version: str = "mlp", **patch: Any) -> tuple[Any, Any, Any, Batch]:
    """Settings, fresh networks, the task on drawn digits, and a batch of 20."""
    settings = settings_of(name, version, **patch)
    recipe = recipes.find(name)
    torch.manual_seed(0)
    nets = recipe.nets(settings)
    task = recipe.build(settings, nets)
    batch = task.prepare(Batch({key: torch.as_tensor(column[:20]) for key, column in task.train.items()}))
    return settings, nets, task, batch


def run_of(home: Path, name: str, version: str = "mlp", **patch: Any) -> tuple[Run, Trained]:
    """A version trained on drawn digits, as the verb `run` does it, and what `load` gives."""
    changes = {**LITTLE, **{key.replace("__", "."): value for key, value in patch.items()}}
    (run,) = api.run(
        name, version, patch=changes, precision="float32", threads=1, lab=home / "lab", show=False
    )
    return run, engine.load(recipes.find(name), run, device="cpu")


@pytest.fixture(scope="module")
def trained(home: Path) -> dict[str, Trained]:
    """One trained run of each recipe."""
    return {name: run_of(home, name)[1] for name in ALL}


# --- settings ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ALL)
def test_every_version_makes_networks_for_its_images(name: str) -> None:
    """Each fits images of its size, whatever the size and architecture; encoder and decoder agree on the latents."""
    recipe = recipes.find(name)
    for version in recipe.versions:
        settings = recipes.settings_of(recipe, version.name)
        nets = recipe.nets(settings)
        x = torch.rand(2, *shared.SHAPES[settings.data.images])
        with torch.no_grad():
            z, _ = shared.encode(nets, x)
            assert z.shape == (2, settings.net.latent)
            assert shared.decode(nets, z).shape == x.shape


def test_the_likelihood_versions_are_the_references() -> None:
    """784-400-40-400-784 on binarised digits with a Bernoulli likelihood, batch 100, as the sheet has it."""
    recipe = recipes.find("vae")
    for version in ("binarised", "iwae"):
        settings = recipes.settings_of(recipe, version)
        net, data = settings.net, settings.data
        assert (net.architecture, net.hidden, net.latent) == ("mlp", 400, 40)
        assert (data.images, data.binarise, settings.batch_size) == ("28x28x1", True, 100)
        assert (settings.loss.likelihood, settings.loss.beta) == ("bernoulli", 1)
    assert settings.loss.importance_samples == 50
    assert {v.name: dict(v.reported) for v in recipe.versions if v.reported} == {
        "binarised": {"nll": 89.9},
        "iwae": {"nll": 87.1},
    }


def test_what_does_not_fit_together_is_refused_in_words() -> None:
    """A weight on a KL term that a bound of several samples lacks; a source of images of another size."""
    with pytest.raises(UsageError, match="no KL term to weigh"):
        settings_of("vae", loss__importance_samples=5, loss__beta=2.0)
    with pytest.raises(UsageError, match="32x32 colour images") as problem:
        shared.read(settings_of("ae", data__source="shapes"))
    assert "--data.images" in problem.value.hint and "32x32x3" in problem.value.hint


# --- data ----------------------------------------------------------------------------------------------------------


def test_binarised_digits_are_drawn_once(home: Path) -> None:
    """Training, validation and test pixels are 0 or 255, drawn from the grey ones, the same in every run and for
    any limit; without the setting they stay grey."""
    grey = shared.read(settings_of("vae", data__limit=200)).splits
    first = shared.read(settings_of("vae", data__limit=200, data__binarise=True)).splits
    again = shared.read(settings_of("vae", data__limit=100, data__binarise=True)).splits
    assert set(first) == {"train", "validation", "test"}
    for split, columns in first.items():
        images, before = columns["images"], grey[split]["images"]
        assert set(np.unique(images)) == {0, 255} and len(np.unique(before)) > 100
        assert (images[before == 0] == 0).all() and (images[before == 255] == 255).all()
        assert np.array_equal(images[:100], again[split]["images"][:100])
        assert images.mean() == pytest.approx(before.mean(), rel=0.05)


# --- losses --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_vae_minimises_the_negative_elbo(home: Path, likelihood: str) -> None:
    """Mean over images of -log p(x|z), summed over pixels, + β·KL, both from torch's distributions."""
    _, nets, task, batch = made(
        "vae",
        data__binarise=True,
        loss__likelihood=likelihood,
        loss__beta=3.0,
        loss__variance=0.1,
    )
    with torch.no_grad():
        loss, parts = task.phases[0].loss(nets, batch, torch.Generator().manual_seed(3))
        mean, log_variance = nets["encoder"](batch["x"])
        noise = torch.empty_like(mean).normal_(generator=torch.Generator().manual_seed(3))
        logits = nets["decoder"](mean + (log_variance / 2).exp() * noise)
    pixels: Any = (
        Bernoulli(logits=logits) if likelihood == "bernoulli" else Normal(logits.sigmoid(), 0.1**0.5)
    )
    distortion = -pixels.log_prob(batch["x"]).sum((1, 2, 3)).mean()
    kl = kl_divergence(Normal(mean, (log_variance / 2).exp()), Normal(0.0, 1.0)).sum(1).mean()
    torch.testing.assert_close(parts["distortion"], distortion)
    torch.testing.assert_close(parts["kl"], kl, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(loss, distortion + 3 * kl)
    assert "3·KL" in task.phases[0].definition


def test_several_importance_samples_give_the_iwae_bound(home: Path) -> None:
    """-log of the mean weight of K samples, the densities from torch's distributions; it is tighter than the ELBO."""
    k = 7
    _, nets, task, batch = made("vae", data__binarise=True, loss__importance_samples=k)
    with torch.no_grad():
        loss, _ = task.phases[0].loss(nets, batch, torch.Generator().manual_seed(3))
        mean, log_variance = nets["encoder"](batch["x"])
        noise = torch.empty(k, *mean.shape).normal_(generator=torch.Generator().manual_seed(3))
        z = mean + (log_variance / 2).exp() * noise
        weights = []
        for one in z:
            seen = Bernoulli(logits=nets["decoder"](one)).log_prob(batch["x"]).sum((1, 2, 3))
            prior = Normal(0.0, 1.0).log_prob(one).sum(1)
            posterior = Normal(mean, (log_variance / 2).exp()).log_prob(one).sum(1)
            weights.append(seen + prior - posterior)
    expected = -(torch.stack(weights).double().exp().mean(0).log()).mean()
    assert float(loss) == pytest.approx(float(expected), rel=1e-5)
    assert float(loss) < float(-torch.stack(weights).mean())


def test_wae_adds_the_weighted_kernel_distance(home: Path) -> None:
    """Squared error summed over pixels + λ times what the metric, written apart, measures on the same samples."""
    _, nets, task, batch = made("wae", loss__weight=50.0)
    with torch.no_grad():
        loss, parts = task.phases[0].loss(nets, batch, torch.Generator().manual_seed(3))
        z = nets["encoder"](batch["x"])
        y = nets["decoder"](z).sigmoid()
    prior = torch.empty_like(z).normal_(generator=torch.Generator().manual_seed(3))
    error = ((batch["x"] - y) ** 2).sum((1, 2, 3)).mean()
    torch.testing.assert_close(parts["reconstruction"], error)
    assert float(parts["mmd"]) == pytest.approx(mmd.imq(z, prior), abs=1e-4)
    assert float(loss) == pytest.approx(float(error) + 50 * mmd.imq(z, prior), rel=1e-4)


def test_wae_with_an_adversary_has_two_phases(home: Path) -> None:
    """The encoder is trained to pass for the prior, then the discriminator to tell the same codes apart: both losses
    as binary cross-entropies from torch; each phase has gradients for its own networks only."""
    _, nets, task, batch = made("wae", "gan", loss__weight=50.0)
    first, second = task.phases
    assert first.trains == ("encoder", "decoder") and second.trains == ("discriminator",)
    loss, parts = first.loss(nets, batch, torch.Generator().manual_seed(3))
    z = nets["encoder"](batch["x"])
    cross_entropy = torch.nn.functional.binary_cross_entropy_with_logits
    fooled = cross_entropy(nets["discriminator"](z), torch.ones(len(z)))
    torch.testing.assert_close(parts["adversary"], fooled)
    torch.testing.assert_close(loss, parts["reconstruction"] + 50 * fooled)

    rng = torch.Generator().manual_seed(4)
    told, right = second.loss(nets, batch, rng)
    prior = torch.empty_like(z).normal_(generator=torch.Generator().manual_seed(4))
    on_prior, on_codes = nets["discriminator"](prior), nets["discriminator"](z)
    expected = cross_entropy(on_prior, torch.ones(len(z))) + cross_entropy(on_codes, torch.zeros(len(z)))
    torch.testing.assert_close(told, expected)
    assert float(right["prior_accuracy"]) == pytest.approx(float((on_prior > 0).float().mean()))
    told.backward()
    assert all(p.grad is None for p in nets["encoder"].parameters())
    assert all(p.grad is not None for p in nets["discriminator"].parameters())


def test_the_adversarial_run_resumes_to_the_bit(home: Path) -> None:
    """One epoch and then another is the same as two: weights of all three networks and both optimisers' states."""
    last = "checkpoints/last.safetensors"
    patch = {"optim__end": 1.0}  # a schedule that does not depend on how long the training is
    whole, _ = run_of(home, "wae", "gan", **patch, epochs=2)
    parted, _ = run_of(home, "wae", "gan", **patch, epochs=1)
    parted = api.resume(parted.id, epochs=2, lab=home / "lab", show=False)
    a, b = (checkpoint.read(run.path / last)[0] for run in (whole, parted))
    assert a.keys() == b.keys() and any(key.startswith("optimiser/discriminator/") for key in a)
    assert all(torch.equal(a[key], b[key]) for key in a)
    assert whole.meta["final"]["loss"] == parted.meta["final"]["loss"]


# --- measuring -----------------------------------------------------------------------------------------------------


def test_likelihood_equals_an_integral_over_the_latent(home: Path) -> None:
    """With one latent p(x) is an integral that a fine grid gives in float64: 5,000 importance samples come within
    0.02 nats of it, and 10 do not fall below it but by chance."""
    run, model = run_of(home, "vae", data__binarise=True, net__latent=1)
    images = shared.read(model.settings).splits["test"]["images"][:20]
    (batch,) = shared.batches(images, "cpu")
    grid = torch.linspace(-8, 8, 4001, dtype=torch.float64)
    decoder = model.nets["decoder"].double()
    with torch.no_grad():
        pixels = Bernoulli(logits=decoder(grid[:, None]))
        density = [pixels.log_prob(x.double()).sum((1, 2, 3)) for x in batch["x"]]
    decoder.float()
    prior = Normal(0.0, 1.0).log_prob(grid)
    step = float(grid[1] - grid[0])
    exact = -float(torch.stack([(d + prior).logsumexp(0) + np.log(step) for d in density]).mean())
    found = vae.likelihood(model, images, 5000)
    assert found["nll"] == pytest.approx(exact, abs=0.02)
    few = vae.likelihood(model, images, 10)
    assert exact - 0.05 < found["nll"] <= few["nll"] <= -few["elbo"]
    assert run.meta["data"]["binarised"] is True


def with_untrained_eyes(model: Trained) -> Trained:
    """The same run with an extractor whose weights were only drawn: enough to see that all is measured."""
    torch.manual_seed(0)
    eyes = FeatureClassifier(10, 4).eval()
    settings = settings_room.apply(image_features.Settings(), {"data.source": "glyphs"})
    helper = Trained(settings=settings, nets={"classifier": eyes})
    return Trained(model.settings, model.nets, model.device, model.seed, {"extractor": helper})


@pytest.mark.parametrize("name", ALL)
def test_evaluate_measures_what_it_says(home: Path, trained: Mapping[str, Trained], name: str) -> None:
    """Every number is finite; all metrics of the recipe but the likelihood of grey digits are there; what the
    distances depend on is said in words; reconstruction is what a plain loop gives."""
    recipe: Any = recipes.find(name)
    model = with_untrained_eyes(trained[name])
    measured = recipe.evaluate(model, "test")
    wanted = {metric.name for metric in recipe.metrics} - {"nll", "fid_prior", "fid_mixture"}
    assert wanted <= measured.keys()
    numbers = [value for value in measured.values() if not isinstance(value, str)]
    assert np.isfinite(numbers).all()
    assert (
        measured["extractor"].startswith("image-features/glyphs ")
        and "real: test images" in measured["measured_on"]
    )
    assert {"fd_floor", "kid_floor", "precision_floor", "swd_floor"} <= measured.keys()

    images = shared.read(model.settings).splits["test"]["images"]
    x = torch.from_numpy(images)[:, None].double() / 255
    with torch.no_grad():
        mean, _ = shared.encode(model.nets, x.float())
        y = torch.sigmoid(model.nets["decoder"](mean)).double()
    assert measured["mse"] == pytest.approx(float(((x - y) ** 2).mean()), rel=1e-5)
    assert measured["active_units"] == int((mean.double().var(0, correction=0) > 0.01).sum())


def test_a_folder_of_faces_need_not_hold_photographs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The extractor for faces learns from photographs wherever they are found: the faces' own folder is no place to
    insist on."""
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    settings = settings_of("vae", "faces", **{"data.source": "auto", "data.dir": str(tmp_path)})
    ((_, patch),) = shared.needs(settings).values()
    assert (patch["data.source"], patch["data.dir"]) == ("shapes", None)


def test_a_collapsed_code_is_no_distance_from_the_prior(
    home: Path, trained: Mapping[str, Trained], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Codes that are nothing but noise have an MMD² of 0 but for chance: were the prior's samples that very noise, it
    would be far below."""
    model = trained["vae"]
    latent = model.settings.net.latent
    monkeypatch.setattr(shared, "encode", lambda nets, x: tuple(torch.zeros(2, len(x), latent)))
    images = shared.read(model.settings).splits["test"]["images"][:60]
    assert abs(shared._rebuilt(model, images)["mmd"]) < 0.05


# --- samplers ------------------------------------------------------------------------------------------------------


def test_the_mixture_has_the_moments_of_its_codes() -> None:
    """Of codes from two correlated clouds, a mixture of two draws clouds of the same shares, means and covariances."""
    rng = np.random.default_rng(0)
    clouds = (
        rng.multivariate_normal([5, 0], [[1, 0.8], [0.8, 1]], 3000),
        rng.multivariate_normal([-5, 2], [[0.2, 0], [0, 2]], 1000),
    )
    draw = samples.mixture(np.concatenate(clouds), 2, seed=0)
    drawn = draw(8000, torch.Generator().manual_seed(0)).numpy()
    right = drawn[:, 0] > 0
    assert right.mean() == pytest.approx(0.75, abs=0.02)
    for mine, cloud in ((drawn[right], clouds[0]), (drawn[~right], clouds[1])):
        np.testing.assert_allclose(mine.mean(0), cloud.mean(0), atol=0.1)
        np.testing.assert_allclose(np.cov(mine.T), np.cov(cloud.T), atol=0.15)


def test_the_mixture_has_no_more_components_than_codes_allow() -> None:
    """Ten codes for each: 25 codes give two, 3 give one, a single code a point, and nothing fails."""
    codes = np.random.default_rng(0).normal(size=(25, 3))
    for some in (codes, codes[:3], codes[:1]):
        assert samples.mixture(some, 10, seed=0)(5, torch.Generator()).shape == (5, 3)


@pytest.mark.parametrize(
    ("request_", "shape"),
    [
        ({"n": 10}, (2, 8, 28, 28)),
        ({"sampler": "mixture", "n": 64, "components": 3}, (8, 8, 28, 28)),
        ({"sampler": "interpolate", "n": 3, "steps": 5}, (3, 5, 28, 28)),
        ({"sampler": "variation", "n": 7, "item": 4}, (1, 8, 28, 28)),
    ],
)
@pytest.mark.parametrize("name", ALL)
def test_generate(
    home: Path, trained: Mapping[str, Trained], name: str, request_: dict[str, Any], shape: tuple[int, ...]
) -> None:
    """Every sampler gives as many pictures as were asked for; the seed alone decides which."""
    generate: Any = recipes.find(name).generate
    grid = generate(trained[name], samples.Request(**request_))
    assert grid.images.shape == shape and grid.images.dtype == np.uint8 and grid.title
    assert np.array_equal(grid.images, generate(trained[name], samples.Request(**request_)).images)
    assert not np.array_equal(
        grid.images, generate(trained[name], samples.Request(**request_, seed=1)).images
    )


@pytest.mark.parametrize("name", ALL)
def test_interpolation_runs_from_image_to_image(
    home: Path, trained: Mapping[str, Trained], name: str
) -> None:
    """Its ends are the reconstructions of two test images, and steps between lie between: the middle one is the
    decoded mean of their codes."""
    model = trained[name]
    found = shared.read(model.settings)
    grid = samples.interpolations(model, found, rows=2, steps=3, seed=5)
    ends = np.random.default_rng(5).integers(0, 100, 4)
    x = torch.from_numpy(found.splits["test"]["images"][ends])[:, None].float() / 255
    with torch.no_grad():
        z, _ = shared.encode(model.nets, x)
        for row in (0, 1):
            wanted = torch.stack([z[row], (z[row] + z[row + 2]) / 2, z[row + 2]])
            expected = samples.pictures(shared.decode(model.nets, wanted)).astype(int)
            assert np.abs(expected - grid.images[row].astype(int)).max() <= 1


def test_variation_shows_the_image_and_its_posterior(home: Path, trained: Mapping[str, Trained]) -> None:
    """First the test image itself; without spread every decoding is one picture, with it they differ. An image that
    is not there is refused."""
    model = trained["vae"]
    images = shared.read(model.settings).splits["test"]["images"]
    still = samples.generate(model, samples.Request("variation", n=3, item=2, spread=0.0)).images[0]
    assert np.array_equal(still[0], images[2]) and np.array_equal(still[1], still[3])
    drawn = samples.generate(model, samples.Request("variation", n=3, item=2))
    moved = drawn.images[0]
    assert not np.array_equal(moved[1], moved[2])
    assert drawn.title.endswith("decoded 3 times with noise of 1 standard deviations of its posterior")
    with pytest.raises(UsageError, match="no test image 100"):
        samples.generate(model, samples.Request("variation", item=100))


def test_samples_of_a_binarised_model_are_black_and_white(home: Path) -> None:
    """They are compared with binarised digits, so they are drawn from p(x|z) and not shown as its mean."""
    _, model = run_of(home, "vae", data__binarise=True)
    parts = list(samples.drawn(model, samples.prior(4), 30, torch.Generator().manual_seed(0)))
    assert sum(map(len, parts)) == 30
    assert set(torch.cat(parts).unique().tolist()) == {0.0, 1.0}


@pytest.mark.parametrize("name", ALL)
def test_figures(home: Path, trained: Mapping[str, Trained], name: str) -> None:
    """Samples of both kinds, interpolations, reconstructions and the plane of codes, one cloud a digit."""
    figures: Any = recipes.find(name).figures
    found = figures(trained[name])
    assert set(found) == {"samples_prior", "samples_mixture", "interpolations", "reconstructions", "codes"}
    assert found["reconstructions"].images.shape == (2, 10, 28, 28)
    points = found["codes"].series
    assert set(points) <= set("0123456789") and sum(len(x) for x, _ in points.values()) == 100


# --- real digits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("name", "version"), [("ae", "mlp"), ("vae", "mlp"), ("wae", "mlp")])
def test_they_learn_real_digits(real_data: Path, tmp_path: Path, name: str, version: str) -> None:
    """Ten epochs on 5,000 digits of MNIST: half the pixel variance (0.0675) of unseen digits is explained, and the
    codes of both WAEs come nearer to N(0, I) than those of the plain autoencoder, which nothing holds there."""
    patch = {"data.source": "mnist", "data.dir": str(real_data), "data.limit": 5000, "data.hold_out": 500}
    (run,) = api.run(
        name, version, patch={**patch, "epochs": 10}, precision="float32", threads=1, lab=tmp_path, show=False
    )
    model = engine.load(recipes.find(name), run, device="cpu")
    images = shared.read(model.settings).splits["validation"]["images"]
    (batch,) = shared.batches(images, "cpu")
    rng = torch.Generator().manual_seed(0)
    with torch.no_grad():
        z, _ = shared.encode(model.nets, batch["x"])
        error = float((shared.decode(model.nets, z) - batch["x"]).square().mean())
        distance = mmd.imq(shared.codes(model.nets, batch["x"], rng), torch.randn(500, 16, generator=rng))
    assert error < 0.034
    assert distance > 0.5 if name == "ae" else distance < 0.5
