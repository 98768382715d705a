"""Drawn digits are what they claim to be: readable, balanced, repeatable, and as thick as stated."""

from pathlib import Path

import numpy as np
import pytest

from epochal.errors import EpochalError
from epochal.systems import data
from epochal.systems.data import glyphs, kept
from epochal.systems.data.glyph_faces import FACES

LABELS = [8, 7, 4, 0, 6, 9, 3, 2, 1, 5]
SUMS = [38801, 30768, 15329, 17214, 38603, 56330, 17982, 22972, 30497, 21186]
WIDTHS = [2.7553, 3.3761, 1.3152, 1.5325, 3.9857, 4.8629, 2.0869, 1.7767, 3.9341, 2.0643]


@pytest.fixture(scope="module")
def drawn() -> dict[str, np.ndarray]:
    """A sample from a stream of its own."""
    return glyphs.draw(3000, [20, 7])


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Few items and an empty cache; gives the cached file's path."""
    monkeypatch.setattr(glyphs, "ITEMS", (60, 20))
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    return glyphs.GLYPHS.cache_file()


def test_shapes_and_balance(drawn: dict[str, np.ndarray]) -> None:
    """Columns have the stated types, classes are equally frequent, and their order is mixed."""
    assert drawn["images"].shape == (3000, 28, 28) and drawn["images"].dtype == np.uint8
    assert drawn["labels"].dtype == np.uint8 and drawn["thickness"].dtype == np.float32
    assert (np.bincount(drawn["labels"]) == 300).all()
    assert abs(np.mean(drawn["labels"][1:] == drawn["labels"][:-1]) - 0.1) < 0.03


def test_the_same_seed_draws_the_same_digits(drawn: dict[str, np.ndarray]) -> None:
    """Drawing again gives the same bytes, whatever the threads do; another stream gives other digits."""
    again = glyphs.draw(3000, [20, 7])
    assert all(np.array_equal(drawn[column], again[column]) for column in drawn)
    other = glyphs.draw(3000, [20, 8])
    assert not any((drawn["images"][k] == other["images"]).all((1, 2)).any() for k in range(50))


def test_digits_stay_what_they_were() -> None:
    """Recorded sums of ten digits: a change of the drawing must raise EDITION, or caches would mix.

    A grey level or two may differ between processors, so sums are compared within one part in a thousand.
    """
    sample = glyphs.draw(10, [20, 0])
    assert (glyphs.EDITION, glyphs.SEED) == (1, 20)
    assert sample["labels"].tolist() == LABELS
    assert sample["images"].sum((1, 2)) == pytest.approx(SUMS, rel=1e-3)
    assert sample["thickness"] == pytest.approx(WIDTHS, abs=1e-3)


def test_ink_equals_a_plain_evaluation() -> None:
    """Looking at patches only and in batches gives what every pixel's distance to every segment gives."""
    rng = np.random.default_rng(3)
    ends = rng.uniform(5, 23, (6, 12, 1, 2)) + np.stack(
        [np.zeros((6, 12, 2)), rng.normal(0, 2, (6, 12, 2))], 2
    )
    ends = ends.astype(np.float32)
    widths = np.linspace(1.2, 5, 6).astype(np.float32)
    inked = glyphs._ink(ends, widths)
    for k in range(6):
        for row in range(28):
            for column in range(28):
                here = np.array([column + 0.5, row + 0.5])
                distance = min(_distance(here, *segment) for segment in ends[k].astype(float))
                grey = 255 * min(1, max(0, widths[k] / 2 + 0.5 - distance))
                assert abs(inked[k, row, column] - grey) <= 1


def _distance(point: np.ndarray, start: np.ndarray, end: np.ndarray) -> float:
    along = end - start
    share = min(1, max(0, float((point - start) @ along) / max(float(along @ along), 1e-12)))
    return float(np.linalg.norm(point - start - share * along))


@pytest.mark.parametrize("width", [1.2, 2.5, 5.0])
def test_a_stroke_is_as_thick_as_stated(width: float) -> None:
    """The ink of a straight stroke is its length times its width, and two half discs at the ends."""
    ends = np.array([[[[14, 6], [14, 22]]], [[[6, 8], [22, 20]]]], np.float32)
    inked = glyphs._ink(ends, np.full(2, width, np.float32)).sum((1, 2)) / 255
    for ink, length in zip(inked, (16, 20), strict=True):
        assert ink == pytest.approx(length * width + np.pi * width**2 / 4, rel=0.03)


def test_thickness_and_ink_vary_widely(drawn: dict[str, np.ndarray]) -> None:
    """A net conditioned on thickness needs the whole range of it, in every class."""
    assert drawn["thickness"].min() >= 1.2 and drawn["thickness"].max() <= 5.0
    for digit in range(10):
        of_digit = drawn["labels"] == digit
        low, high = np.quantile(drawn["thickness"][of_digit], [0.05, 0.95])
        assert low < 1.7 and high > 3.7
        ink = drawn["images"][of_digit].mean((1, 2))
        assert ink.std() > 0.2 * ink.mean()
        assert np.corrcoef(ink, drawn["thickness"][of_digit])[0, 1] > 0.6


def test_digits_are_whole_and_centred(drawn: dict[str, np.ndarray]) -> None:
    """Ink is white inside, keeps off the picture's rim, and has its mass in the middle as MNIST's has."""
    images = drawn["images"].astype(float)
    assert np.quantile(images.max((1, 2)), 0.01) > 200
    rim = np.ones((28, 28), bool)
    rim[1:-1, 1:-1] = False
    assert images[:, rim].max() <= 66  # a quarter of a pixel
    axis = np.arange(28) + 0.5
    mass = images.sum((1, 2))
    for centre in ((images.sum(1) @ axis) / mass, (images.sum(2) @ axis) / mass):
        assert np.abs(centre - 14).mean() < 0.5


def test_every_digit_has_several_faces() -> None:
    """Three ways of writing each digit at least; every stroke has two points or more."""
    assert len(FACES) == 10
    assert all(len(faces) >= 3 for faces in FACES)
    assert all(len(stroke) >= 2 for faces in FACES for face in faces for stroke in face)


def test_drawn_digits_read_like_real_ones(drawn: dict[str, np.ndarray], real_data: Path) -> None:
    """Nearest neighbours among real MNIST digits name the drawn ones: they look like handwriting."""
    from sklearn.neighbors import KNeighborsClassifier

    with np.load(real_data / "mnist.npz", allow_pickle=False) as archive:
        images, labels = archive["x_train"][:10_000], archive["y_train"][:10_000]
    reader = KNeighborsClassifier(3).fit(images.reshape(-1, 784) / 255.0, labels)
    assert reader.score(drawn["images"][:500].reshape(-1, 784) / 255.0, drawn["labels"][:500]) > 0.85


def test_cached_digits_are_read_back(small: Path) -> None:
    """The second load reads what the first one drew, and train and test come from different streams."""
    first = data.load("glyphs")
    assert small.is_file()
    changed = small.stat().st_mtime_ns
    second = data.load("glyphs")
    assert small.stat().st_mtime_ns == changed
    assert first.sha256 == second.sha256
    assert first.drawn and first.splits["train"]["thickness"].shape == (60,)
    assert not np.array_equal(first.splits["train"]["images"][:20], first.splits["test"]["images"])


@pytest.mark.parametrize("damage", ["cut", "empty", "altered", "other"])
def test_a_damaged_cache_is_drawn_anew(small: Path, damage: str) -> None:
    """The cached file is Epochal's own: whatever happened to it, the digits are drawn again."""
    digest = data.load("glyphs").sha256
    content = small.read_bytes()
    if damage == "altered":
        splits, recorded = kept.read(small)
        splits["train"]["images"][0, 14, 14] ^= 1
        kept.write(small, splits, recorded)
    else:
        small.write_bytes({"cut": content[:-500], "empty": b"", "other": b"\x80\x04."}[damage])
    with pytest.raises(EpochalError):
        kept.read(small)
    assert not data.verify("glyphs").passed
    assert data.load("glyphs").sha256 == digest
    assert data.verify("glyphs").passed


def test_a_cache_that_cannot_be_written_only_warns(
    small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without a place to keep them, the digits are drawn each time."""
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.warns(UserWarning, match="cannot be kept"):
        assert len(data.load("glyphs").splits["train"]["labels"]) == 60
