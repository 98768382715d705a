"""The verbs of the data room, as recipes and the command line call them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from epochal.errors import UsageError
from epochal.systems import data
from epochal.systems.data import glyphs


@pytest.fixture(autouse=True)
def _nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(glyphs, "ITEMS", (60, 20))


def test_auto_is_mnist_only_where_it_lies(real_data: Path) -> None:
    """Real digits are used when they are on this machine; otherwise nothing is downloaded unasked."""
    assert data.resolve("auto") == "glyphs"
    assert data.resolve("auto", str(real_data)) == "mnist"
    assert data.resolve("fashion-mnist") == "fashion-mnist"


@pytest.mark.parametrize(
    ("wanted", "needs"),
    [
        (None, "mnist.npz"),
        ("cifar10", "cifar10.npz"),
        ("nuclei", "stage1_train"),
        ("membranes", "challenge"),
        ("faces-folder", "CSV"),
        ("faces-sfhq", "faces_sfhq_64.npz"),
    ],
)
def test_who_names_a_folder_is_never_given_drawn_items(
    tmp_path: Path, wanted: str | None, needs: str
) -> None:
    """A folder without the data was mistyped: training on drawn items instead would spend hours on the wrong thing."""
    for read in (data.resolve, data.load):
        with pytest.raises(UsageError, match=rf"where no {wanted or 'mnist'} was found") as error:
            read("auto", folder=str(tmp_path), wanted=wanted)
        assert needs in str(error.value.hint) and "--data.source" in str(error.value.hint)
    assert data.resolve("auto", wanted=wanted) != (wanted or "mnist")  # without a folder, they are drawn


@pytest.mark.parametrize(
    ("typed", "meant"), [("minst", "'mnist'"), ("fashion_mnist", "'fashion-mnist'"), ("Glyphs", "'glyphs'")]
)
def test_an_unknown_source_names_the_nearest(typed: str, meant: str) -> None:
    """A typo gets the name that was meant, and the whole list."""
    for verb in (data.load, data.resolve, data.fetch, data.verify):
        with pytest.raises(UsageError, match=typed) as error:
            verb(typed)
        assert f"Did you mean {meant}?" in str(error.value)
        assert "Sources: mnist, fashion-mnist, glyphs, cifar10" in str(error.value)


def test_limit_takes_the_first_training_items() -> None:
    """`limit` cuts training columns alike and leaves the test items and the identity alone."""
    whole, limited = data.load("glyphs"), data.load("glyphs", limit=7)
    for column, array in whole.splits["train"].items():
        assert np.array_equal(limited.splits["train"][column], array[:7])
    assert len(limited.splits["test"]["labels"]) == 20
    assert limited.sha256 == whole.sha256
    assert len(data.load("glyphs", limit=1000).splits["train"]["labels"]) == 60


@pytest.mark.parametrize("limit", [0, -3])
def test_a_limit_below_one_is_a_usage_error(limit: int) -> None:
    """No items, no training: said before anything is read."""
    with pytest.raises(UsageError, match=f"data.limit is {limit}"):
        data.load("glyphs", limit=limit)


def test_sources_say_where_they_are(real_data: Path) -> None:
    """The list names every source, its size, and where it was found."""
    listed = {source.name: source for source in data.sources(str(real_data))}
    assert {"mnist", "fashion-mnist", "glyphs", "cifar10"} <= set(listed)
    assert listed["mnist"].found == str(real_data / "mnist.npz")
    assert listed["fashion-mnist"].found is None
    assert listed["fashion-mnist"].download_bytes > 30_000_000
    assert listed["glyphs"].found is None
    data.fetch("glyphs")
    listed = {source.name: source for source in data.sources()}
    assert listed["glyphs"].found == str(glyphs.GLYPHS.cache_file())


def test_verify_reports_each_check(real_data: Path) -> None:
    """What is there is checked item by item; what is not is a failed check that says how to get it."""
    assert data.verify("mnist", str(real_data)).passed
    absent = data.verify("fashion-mnist", str(real_data))
    assert not absent.passed and absent.origin is None
    assert "epochal data fetch fashion-mnist" in absent.checks[0].detail
    assert data.verify("glyphs").passed  # drawn when first used


def test_importing_the_room_is_cheap() -> None:
    """Recipes import it at their top, and `epochal list` imports every recipe."""
    program = (
        "import sys, epochal.systems.data; "
        "heavy = {'numpy', 'torch', 'pooch', 'requests', 'scipy', 'filelock'} & set(sys.modules); "
        "sys.exit(str(heavy) if heavy else 0)"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_held_out_items_are_the_last_and_limit_takes_of_the_rest() -> None:
    """Validation items are the last in stored order, and never among those trained on."""
    whole = data.load("glyphs").splits["train"]
    divided = data.load("glyphs", hold_out=10, limit=30)
    for column, array in whole.items():
        assert np.array_equal(divided.splits["validation"][column], array[50:])
        assert np.array_equal(divided.splits["train"][column], array[:30])
    assert len(data.load("glyphs", hold_out=10, limit=1000).splits["train"]["labels"]) == 50
    assert "validation" not in data.load("glyphs").splits


@pytest.mark.parametrize(
    ("hold_out", "says"), [(60, "hold_out is 60, but glyphs has 60 training items"), (-1, "hold_out is -1")]
)
def test_holding_out_everything_is_a_usage_error(hold_out: int, says: str) -> None:
    """Nothing left to train on: said with the number of items there are."""
    with pytest.raises(UsageError, match=says):
        data.load("glyphs", hold_out=hold_out)


def test_a_source_of_another_kind_is_refused(real_data: Path) -> None:
    """A recipe for colour images says so before it is built, and names what it takes."""
    with pytest.raises(UsageError, match="'mnist' holds 28x28 grey images") as error:
        data.load("mnist", wanted="cifar10", folder=str(real_data))
    assert "cifar10" in str(error.value.hint) and "auto" in str(error.value.hint)
    assert data.resolve("fashion-mnist", wanted="mnist") == "fashion-mnist"
    assert data.resolve("auto", str(real_data), wanted="cifar10") == "cifar10"
