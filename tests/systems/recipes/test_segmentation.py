"""What the recipes of segmentation share: the loss on crops, whole pictures in tiles, measures, overlays."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.metrics import jaccard_score

from epochal.errors import UsageError
from epochal.evidence.metrics.segmentation import Tally
from epochal.systems.data import Dataset
from epochal.systems.nets.unet import UNet
from epochal.systems.recipes import _segmentation as shared
from epochal.training.task import Batch, Trained


def settings_of(**data: Any) -> shared.Settings:
    """Settings on two-class pictures, crops of 16."""
    return replace(shared.Settings(), data=shared.DataSettings(**{"wanted": "nuclei", "crop": 16, **data}))


def batch_of(images: Any, masks: Any) -> Batch:
    """A batch."""
    return Batch(images=torch.as_tensor(images), masks=torch.as_tensor(masks))


def pictures(n: int = 3, side: int = 24, classes: int = 2, channels: int = 1) -> dict[str, np.ndarray]:
    """Random columns `images` and `masks`."""
    rng = np.random.default_rng(0)
    shape = (n, side, side) if channels == 1 else (n, side, side, 3)
    return {
        "images": rng.integers(0, 256, shape).astype(np.uint8),
        "masks": rng.integers(0, classes, (n, side, side)).astype(np.uint8),
    }


def dataset(classes: tuple[str, ...], **splits: dict[str, np.ndarray]) -> Dataset:
    """A data set of these splits."""
    return Dataset("made", "made", True, "0", classes, splits)


class Mirror(torch.nn.Module):
    """Answers what the picture shows: class 1 where it is bright."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) → (B, 2, H, W)."""
        return torch.cat([0.5 - x, x - 0.5], 1)


# --- training ------------------------------------------------------------------------------------------------------


def test_what_the_network_reads() -> None:
    """Grey values and colours between 0 and 1, channels first."""
    grey, colour = pictures()["images"], pictures(channels=3)["images"]
    x = shared.network_input(torch.from_numpy(grey))
    assert x.dtype == torch.float32 and np.array_equal(x[:, 0].numpy(), grey.astype(np.float32) / 255)
    x = shared.network_input(torch.from_numpy(colour))
    assert np.array_equal(x.permute(0, 2, 3, 1).numpy(), colour.astype(np.float32) / 255)


@pytest.mark.parametrize("kind", ["cross-entropy", "dice", "both"])
def test_the_loss_is_that_of_the_crops(kind: str) -> None:
    """Crops as large as the picture and upright: the loss is the formula on the whole picture, part by part."""
    from epochal.systems.losses import segmentation

    columns = pictures()
    settings = replace(
        settings_of(crop=None, positions="upright"),
        loss=shared.LossSettings(kind=kind),  # type: ignore[arg-type]
    )
    torch.manual_seed(0)
    net = UNet(1, 2, base=2).eval()
    batch = batch_of(**columns)
    total, parts = shared.loss("net", settings)({"net": net}, batch, torch.Generator())
    x = torch.tensor(columns["images"], dtype=torch.float32)[:, None] / 255
    logits, masks = net(x).detach(), torch.tensor(columns["masks"])
    wanted = {
        "cross_entropy": segmentation.cross_entropy(logits, masks),
        "dice_loss": segmentation.dice(logits, masks),
    }
    names = {"cross-entropy": ["cross_entropy"], "dice": ["dice_loss"], "both": list(wanted)}[kind]
    assert list(parts) == names
    for name in names:
        assert parts[name].item() == pytest.approx(float(wanted[name]), rel=1e-4)
    assert total.item() == pytest.approx(sum(float(wanted[name]) for name in names), rel=1e-4)
    text = shared.definition(settings)
    assert ("cross-entropy" in text) == (kind != "dice") and ("p·g" in text) == (kind != "cross-entropy")


def test_crops_come_from_the_phases_stream() -> None:
    """The same stream gives the same loss, another one another: resuming is exact, seeds differ."""
    settings, batch = settings_of(), batch_of(**pictures())
    net = UNet(1, 2, base=2).eval()
    losses = [
        shared.loss("net", settings)({"net": net}, batch, torch.Generator().manual_seed(seed))[0].item()
        for seed in (0, 0, 1)
    ]
    assert losses[0] == losses[1] != losses[2]


class Seen(torch.nn.Module):
    """Keeps what it is shown."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) → (B, 2, H, W)."""
        self.x = x
        return torch.cat([x, -x], 1)


def test_haze_is_added_to_the_crops_and_to_nothing_else() -> None:
    """Training sees stray light where `data.haze` says so, on pictures that have none; the mask stays the mask."""
    dark = {"images": np.zeros((40, 24, 24), np.uint8), "masks": pictures(40)["masks"]}
    for haze in (0.0, 0.5):
        net = Seen()
        settings = settings_of(haze=haze)
        shared.loss("net", settings)({"net": net}, batch_of(**dark), torch.Generator().manual_seed(0))
        assert bool(net.x.any()) == (haze > 0)
        shared.logits_of(net, torch.from_numpy(dark["images"]))
        assert not net.x.any()


def test_a_border_may_be_a_class() -> None:
    """Void pixels are the last logit's class when the border is learnt, and no class at all when it is void."""
    masks = torch.tensor([[[0, 1, 255]]])
    as_class = replace(shared.Settings(), loss=shared.LossSettings("cross-entropy", "class"))
    as_void = replace(shared.Settings(), loss=shared.LossSettings("cross-entropy", "void"))
    sure = torch.nn.functional.one_hot(torch.tensor([[[0, 1, 2]]]), 3).permute(0, 3, 1, 2) * 50.0
    assert float(shared.terms(sure, masks, as_class)[0]) == pytest.approx(0, abs=1e-6)
    wrong = sure.clone()
    wrong[..., 2] = sure[..., 0]
    assert float(shared.terms(wrong, masks, as_class)[0]) > 10
    assert float(shared.terms(wrong, masks, as_void)[0]) == pytest.approx(0, abs=1e-6)
    assert shared.outputs(as_class)[1] == shared.outputs(as_void)[1] + 1
    assert shared.definition(as_class) != shared.definition(as_void)


def test_validation_sees_whole_pictures() -> None:
    """Its IoU is scikit-learn's over all pixels of the held-out pictures; without any there is no validation."""
    columns = pictures(5)
    net = UNet(1, 2, base=2).eval()
    found = dataset(("background", "nucleus"), train=columns, validation=columns, test=columns)
    validate = shared.validate("net", settings_of(), found)
    assert validate is not None
    got = validate({"net": net}, torch.Generator())
    answers = torch.cat([logits.argmax(1) for logits, _ in shared.whole(net, columns, "cpu")])
    wanted = jaccard_score(columns["masks"].ravel(), answers.numpy().ravel())
    assert got["iou"] == pytest.approx(wanted) and got["loss"] > 0
    assert shared.validate("net", settings_of(), dataset(("a", "b"), train=columns, test=columns)) is None


# --- whole pictures ------------------------------------------------------------------------------------------------


def test_tiles_show_what_the_whole_shows(monkeypatch: pytest.MonkeyPatch) -> None:
    """A large picture in tiles with enough around them has the logits of the picture at once."""
    torch.manual_seed(0)
    net = UNet(1, 2, base=2).eval()
    images = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 352, 64)).astype(np.uint8))
    at_once = shared.logits_of(net, images)
    monkeypatch.setattr(shared, "_TILE", 64)
    in_tiles = shared.logits_of(net, images)
    assert in_tiles.shape == at_once.shape == (1, 2, 352, 64)
    torch.testing.assert_close(in_tiles, at_once, rtol=1e-4, atol=1e-4)


def test_pictures_are_seen_in_stored_order(monkeypatch: pytest.MonkeyPatch) -> None:
    """However many fit a batch, every picture is seen once, in order, with its own mask."""
    columns = pictures(5)
    monkeypatch.setattr(shared, "_PIXELS", 2 * 24 * 24)
    seen = list(shared.whole(UNet(1, 2, base=2).eval(), columns, "cpu"))
    assert [len(masks) for _, masks in seen] == [2, 2, 1]
    assert np.array_equal(torch.cat([masks for _, masks in seen]).numpy(), columns["masks"])


class OneCorner(torch.nn.Module):
    """Answers class 1 in the upper left pixel of what it sees, whatever that is: a network blind to turns."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(B, 1, H, W) → (B, 2, H, W)."""
        y = torch.zeros(len(x), 2, *x.shape[2:])
        y[:, 1, 0, 0] = 20.0
        return y


@pytest.mark.parametrize(("positions", "corners"), [("upright", 1), ("mirrored", 2), ("any", 4)])
def test_answers_are_averaged_over_the_positions_of_training(positions: str, corners: int) -> None:
    """Each position's answer is turned back: one pixel's probability is shared by the corners that it can come to."""
    trained = Trained(replace(settings_of(positions=positions), average=True), {"net": OneCorner()})
    chance = shared.answering(trained, "net")(torch.zeros(2, 1, 5, 8)).softmax(1)[:, 1]
    share = 0.5 + 0.5 / corners
    assert chance.shape == (2, 5, 8) and (chance > 0.5001).sum() == 2 * corners
    torch.testing.assert_close(chance[chance > 0.5001], torch.full((2 * corners,), share))
    once = shared.answering(asked_once(trained), "net")(torch.zeros(1, 1, 5, 8)).softmax(1)[:, 1]
    assert (once > 0.9).sum() == 1


def asked_once(trained: Trained) -> Trained:
    """The same network, asked once."""
    return replace(trained, settings=replace(trained.settings, average=False))


def test_the_average_of_a_network_that_copies_is_its_answer() -> None:
    """What is found in a turned picture lands where it belongs: oblong pictures, all eight positions."""
    images = torch.from_numpy(pictures(2, 24)["images"][:, :15])
    trained = Trained(replace(settings_of(), average=True), {"net": Mirror()})
    torch.testing.assert_close(
        shared.logits_of(shared.answering(trained, "net"), images).softmax(1),
        shared.logits_of(Mirror(), images).softmax(1),
    )


# --- measuring -----------------------------------------------------------------------------------------------------


def test_evaluation_of_a_network_that_copies() -> None:
    """Pictures that show their own masks, two pixels of one wrong: every number by hand."""
    masks = np.zeros((2, 10, 10), np.uint8)
    masks[:, 2:6, 2:7] = 1  # 20 pixels
    images = masks.copy()
    images[0, 2, 2:4] = 0
    columns = {"images": images * 200, "masks": masks}
    found = dataset(("background", "nucleus"), train=columns, test=columns)
    trained = Trained(settings_of(), {"net": Mirror()})
    got = shared.evaluate(trained, "net", found, "test")
    assert got["images"] == 2 and got["iou"] == got["iou_nucleus"] == pytest.approx(38 / 40)
    assert got["iou_image"] == pytest.approx((0.9 + 1) / 2) and got["dice"] == pytest.approx(2 * 38 / 78)
    assert got["pixel_error"] == pytest.approx(2 / 200) == 1 - got["pixel_accuracy"]
    assert got["iou_background"] == pytest.approx(160 / 162)
    assert got["mean_iou"] == pytest.approx((38 / 40 + 160 / 162) / 2)
    assert (got["iou_image_low"], got["iou_image_high"]) == pytest.approx((0.9, 1.0))
    assert "rand" not in got
    with pytest.raises(UsageError, match="held no training images out"):
        shared.evaluate(trained, "net", found, "validation")


def gap(shade: int) -> dict[str, np.ndarray]:
    """Three cells of 48 pixels between membranes; one membrane pixel is only as bright as `shade`."""
    masks = np.zeros((1, 12, 14), np.uint8)
    masks[0, :, (4, 9)] = 1
    images = masks * 200
    images[0, 5, 4] = shade
    return {"images": images, "masks": masks}


def pairs(*sizes: int) -> int:
    """Ordered pairs of different pixels within segments of these sizes."""
    return sum(size * (size - 1) for size in sizes)


def test_membranes_are_measured_by_regions_too() -> None:
    """A membrane with a gap merges two of three cells; what is measured is the interior, not the membrane."""
    found = dataset(("interior", "membrane"), train=gap(0), test=gap(0))
    got = shared.evaluate(Trained(settings_of(), {"net": Mirror()}), "net", found, "test")
    cells, merged = pairs(48, 48, 48), pairs(96, 48)
    assert got["rand_split"] == 1 and got["rand_threshold"] == 0.5
    assert got["rand_merge"] == pytest.approx(cells / merged)
    assert got["rand"] == pytest.approx(2 * cells / (cells + merged))
    assert got["rand"] == got["rand_half"] == got["rand_unthinned"] == got["rand_low"] == got["rand_high"]


def test_the_threshold_is_chosen_on_the_validation_images() -> None:
    """A gap that is 0.38 membrane closes at a threshold of 0.3, which the held-out images choose, not the test's."""
    faint, open_ = gap(65), gap(0)
    trained = Trained(settings_of(), {"net": Mirror()})
    found = dataset(("interior", "membrane"), train=faint, validation=faint, test=faint)
    got = shared.evaluate(trained, "net", found, "test")
    assert got["rand_threshold"] == 0.3 and got["rand"] == 1 > got["rand_half"]
    found = dataset(("interior", "membrane"), train=faint, validation=open_, test=faint)
    assert shared.evaluate(trained, "net", found, "test")["rand_threshold"] == 0.5


def test_an_image_without_anything_to_find_counts_as_right() -> None:
    """Nothing there and nothing answered is an IoU of 1 for that image; answering something is 0."""
    tally = Tally(2)
    tally.add(np.zeros((2, 2), int), np.zeros((2, 2), int))
    tally.add(np.zeros((2, 2), int), np.eye(2, dtype=int))
    assert shared.image_scores(tally.overlap()).tolist() == [1, 0]


def test_a_learnt_border_is_never_the_answer() -> None:
    """With 3 logits and 2 classes the border's is left out, however large."""
    logits = torch.tensor([1.0, 2.0, 9.0]).view(1, 3, 1, 1).expand(1, 3, 4, 4)
    found = dataset(("background", "nucleus"))
    assert (shared._answers(logits, found) == 1).all()


# --- drawing -------------------------------------------------------------------------------------------------------


def test_overlays() -> None:
    """Worst, lower quartile, median and best image in rows, in this order; picture, truth, answer and errors."""
    columns = pictures(8, side=20)
    answers = columns["masks"].copy()
    for item in range(8):  # the higher, the more wrong
        answers[item].ravel()[: 30 * item] ^= 1
    tally = Tally(2)
    for truth, answer in zip(columns["masks"], answers, strict=True):
        tally.add(truth, answer)
    grid = shared.overlays(columns["images"], columns["masks"], answers, tally.overlap())
    assert grid.images.shape == (4, 4, 20, 20, 3) and grid.images.dtype == np.uint8
    assert [row.split(":")[0] for row in grid.rows] == ["worst", "lower quartile", "median", "best"]
    assert grid.rows[3] == "best: 1.000" and "8 test pictures" in grid.title
    assert np.array_equal(grid.images[0, 0], shared.shown(columns["images"][7]))


def test_large_pictures_are_shown_by_their_middle() -> None:
    """A slice of 512x512 is drawn by 256x256 of it, said in the title."""
    columns = pictures(2, side=300)
    tally = Tally(2)
    for mask in columns["masks"]:
        tally.add(mask, mask)
    grid = shared.overlays(columns["images"], columns["masks"], columns["masks"], tally.overlap())
    assert grid.images.shape == (4, 4, 256, 256, 3) and "middle 256x256" in grid.title


def test_errors_have_a_colour_each() -> None:
    """Missed, falsely found, another class; right pixels and void stay pale grey."""
    truth = np.array([[1, 0, 1, 1, 255, 0]], np.uint8)
    answer = np.array([[0, 1, 2, 1, 1, 0]], np.uint8)
    drawn = shared.errors(np.zeros((1, 6, 3), np.uint8), truth, answer)[0]
    assert [tuple(pixel) for pixel in drawn[:3]] == [shared._MISSED, shared._FALSE, shared._CONFUSED]
    assert (drawn[3:] == 100).all()


def test_rims_are_drawn_inside_the_regions() -> None:
    """A square's rim is coloured, its middle and its surroundings are the picture's; several classes are tinted."""
    mask = np.zeros((9, 9), np.uint8)
    mask[2:7, 2:7] = 1
    drawn = shared.marked(np.full((9, 9, 3), 50, np.uint8), mask, (1, 2, 3))
    rim = (drawn == (1, 2, 3)).all(-1)
    assert rim.sum() == 16 and rim[2, 2:7].all() and not rim[4, 4] and (drawn[~rim] == 50).all()
    mask[4, 4] = 2
    tinted = shared.marked(np.full((9, 9, 3), 50, np.uint8), mask, (1, 2, 3))
    assert tuple(tinted[2, 2]) == shared._KINDS[0] and tuple(tinted[4, 4]) == shared._KINDS[1]
    assert tuple(tinted[3, 4]) == shared._KINDS[0] and tuple(tinted[3, 3]) == (69, 121, 150)
    assert (tinted[0] == 50).all()


def test_grey_pictures_are_stretched_for_the_eye() -> None:
    """A dark picture fills the range; a flat one does not divide by nothing; colours stay as they are."""
    dark = np.tile(np.arange(10, 40, dtype=np.uint8), (30, 1))
    drawn = shared.shown(dark)
    assert drawn.shape == (30, 30, 3) and drawn.min() == 0 and drawn.max() == 255
    assert (shared.shown(np.full((4, 4), 9, np.uint8)) == 0).all()
    colour = pictures(1, channels=3)["images"][0]
    assert shared.shown(colour) is colour


def test_the_confusion_is_in_percent_of_the_true_class() -> None:
    """Rows add up to 100; a class that is nowhere is blank."""
    counts = np.array([[3, 1, 0], [0, 4, 0], [0, 0, 0]])
    matrix = shared.confusion_matrix(counts, ("a", "b", "c"))
    assert np.asarray(matrix.values)[0].tolist() == [75, 25, 0] and np.isnan(matrix.values[2]).all()
    assert "8 test pixels" in matrix.title


# --- a picture of the user's own -----------------------------------------------------------------------------------


def test_a_users_picture_is_answered_at_its_size(tmp_path: Path) -> None:
    """A picture that fits nothing in particular, in colour, through a network that reads grey."""
    Image.fromarray(pictures(1, 37, channels=3)["images"][0]).resize((53, 37)).save(tmp_path / "mine.png")
    trained = Trained(settings_of(), {"net": UNet(1, 2, base=2).eval()})
    grid = shared.segment(trained, "net", shared.Request(image=str(tmp_path / "mine.png")))
    assert grid.images.shape == (1, 2, 37, 53, 3) and grid.title.endswith("% of the picture is nucleus")
    photograph = replace(settings_of(), data=shared.DataSettings(wanted="voc2012"))
    trained = Trained(photograph, {"net": UNet(3, 22, base=2).eval()})
    grid = shared.segment(trained, "net", shared.Request(image=str(tmp_path / "mine.png")))
    assert grid.images.shape == (1, 2, 256, 256, 3) and grid.title.endswith("is not background")


def test_pictures_that_cannot_be_read(tmp_path: Path) -> None:
    """None named, none there, no picture: wrong usage, each with what to do."""
    trained = Trained(settings_of(), {"net": Mirror()})
    (tmp_path / "text.png").write_text("no picture")
    for image, message in (
        (None, "No picture was named"),
        (str(tmp_path / "absent.png"), "There is no picture"),
        (str(tmp_path / "text.png"), "cannot be read as a picture"),
    ):
        with pytest.raises(UsageError, match=message) as error:
            shared.segment(trained, "net", shared.Request(image=image))
        assert error.value.hint
