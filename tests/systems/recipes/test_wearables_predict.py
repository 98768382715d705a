"""Answers for a recording: those of the network on the windows that an independent reading cuts, at the clock's time.

The recording is the real GENEActiv sample (99 s, 100 Hz, a right wrist); the networks' weights are random, but for one
run that is trained, used and exported as a user would.
"""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.signal import resample_poly

import epochal
from epochal.api import _export
from epochal.errors import EpochalError, UsageError
from epochal.systems.data.persistence_images import images
from epochal.systems.recipes import _wearables as wearables
from epochal.systems.recipes import har_classifier
from epochal.systems.recipes._wearables_predict import export, predict
from epochal.training.task import Reading, Trained

SAMPLE = "geneactiv_sample_right_wrist.csv"
START = datetime(2011, 10, 9, 10, 25, 2, 500_000)
HEADER = 100
SCALE: dict[str, Any] = {"image_low": [-1.5, -2.0, -1.0], "image_high": [2.0, 1.0, 1.5]}
CLASSES = ["lying", "walking", "climbing, stairs"]


def run_of(**changes: Any) -> Trained:
    """A network of random weights and what its run noted of its data: 100 Hz in g, of the same sensor."""
    about = {
        "name": "geneactiv-folder",
        "source": "a folder",
        "drawn": False,
        "classes": CLASSES,
        "channels": ["x", "y", "z"],
        "shape": "signals",
        "rate_hz": 100.0,
        "unit": "g",
        "window": 500,
        **changes,
    }
    torch.manual_seed(0)
    net = wearables.network("resnet8", about)
    channels = len(about["channels"])
    net.scaled.learn(torch.linspace(-0.5, 0.5, channels), torch.full((channels,), 0.7))
    for norm in (module for module in net.modules() if hasattr(module, "running_mean")):
        torch.nn.init.normal_(norm.running_mean, 0.0, 0.1)
    return Trained(har_classifier.Settings(), {"network": net.eval()}, data=about)


@pytest.fixture
def sample(real_data: Path) -> Path:
    """The real recording."""
    return real_data / SAMPLE


@pytest.fixture
def edited(tmp_path: Path, sample: Path) -> Callable[[Callable[[list[str]], list[str]]], Path]:
    """Writes a copy of the recording whose rows were changed."""

    def write(change: Callable[[list[str]], list[str]]) -> Path:
        lines = sample.read_text("utf-8").splitlines(keepends=True)
        copy = tmp_path / "copy.csv"
        copy.write_text("".join([*lines[:HEADER], *change(lines[HEADER:])]), encoding="utf-8")
        return copy

    return write


def table(file: Path) -> list[dict[str, str]]:
    """The rows of a CSV."""
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.DictReader(opened))


def raw(sample: Path) -> np.ndarray[Any, Any]:
    """(9900, 3): the samples in g, read by NumPy."""
    return np.loadtxt(sample, delimiter=",", skiprows=HEADER, usecols=(1, 2, 3)).astype(np.float32)


def asked(trained: Trained, samples: np.ndarray[Any, Any], window: int) -> np.ndarray[Any, Any]:
    """(n, classes): the network's probabilities for windows that are cut one by one."""
    cut = [samples[k : k + window].T for k in range(0, len(samples) - window + 1, window)]
    with torch.no_grad():
        logits = trained.nets["network"](torch.from_numpy(np.stack(cut).astype(np.float32)))
    return logits.softmax(1).numpy()


def check(rows: list[dict[str, str]], p: np.ndarray[Any, Any]) -> None:
    """A table holds these probabilities, and names the largest."""
    written = np.array([[float(row[f"p_{name}"]) for name in CLASSES] for row in rows])
    np.testing.assert_allclose(written, p, atol=2e-4)
    assert [row["activity"] for row in rows] == [CLASSES[one] for one in p.argmax(1)]
    np.testing.assert_allclose([float(row["confidence"]) for row in rows], p.max(1), atol=2e-4)


def test_the_real_sample(sample: Path, tmp_path: Path) -> None:
    """19 windows of 5 s with their times and the network's answers; the last 4 s are not answered, which is said."""
    trained, out = run_of(), tmp_path / "out.csv"
    told = predict(trained, sample, out)
    rows = table(out)
    check(rows, asked(trained, raw(sample), 500))
    assert list(rows[0]) == [
        "start_s",
        "start",
        "end_s",
        "activity",
        "confidence",
        *(f"p_{one}" for one in CLASSES),
    ]
    for k, row in enumerate(rows):
        assert (float(row["start_s"]), float(row["end_s"])) == (5 * k, 5 * k + 5)
        assert datetime.fromisoformat(row["start"]) == START + timedelta(seconds=5 * k)
    assert told["windows"] == 19 and told["seconds a window"] == 5
    assert told["seconds left over, too short for a window"] == 4
    seconds = {name: told.get(f"seconds of {name}", 0) for name in CLASSES}
    assert seconds == {name: 5.0 * sum(row["activity"] == name for row in rows) for name in CLASSES}
    assert told["mean confidence"] == pytest.approx(
        np.mean([float(row["confidence"]) for row in rows]), abs=1e-4
    )
    assert "another sensor" not in told and "simulated" not in told, "the same sensor, real people"


def test_another_sensor(sample: Path, tmp_path: Path) -> None:
    """A network of 20 Hz in m/s² gets SciPy's own low-pass resampling times 9.80665, and it is said."""
    trained = run_of(name="wisdm-watch", rate_hz=20.0, unit="m/s²", window=100)
    told = predict(trained, sample, tmp_path / "out.csv")
    samples = resample_poly(raw(sample), 1, 5, axis=0, padtype="line") * 9.80665
    check(table(tmp_path / "out.csv"), asked(trained, samples, 100))
    said = str(told["another sensor"])
    assert "wisdm-watch (20 Hz, m/s²); this file (100 Hz, g)" in said
    assert "low-pass filtered and resampled to 20 Hz, converted to m/s²" in said and "not known" in said


def test_a_simulator_is_named(sample: Path, tmp_path: Path) -> None:
    """Classes of drawn data are a simulator's; a recording slower than the run's holds less than the network knows."""
    told = predict(run_of(name="wrist", drawn=True), sample, tmp_path / "out.csv")
    assert "a simulator" in str(told["simulated"]) and "taken as it is" in str(told["another sensor"])
    faster = predict(run_of(rate_hz=200.0, window=1000), sample, tmp_path / "out.csv")
    assert faster["windows"] == 19 and "nothing above 50 Hz is in it" in str(faster["another sensor"])


def test_no_window_reaches_over_a_gap(edited: Any, sample: Path, tmp_path: Path) -> None:
    """Where 12.3 s are missing, both parts are answered as they would be alone, each at the clock's time."""
    trained = run_of()
    told = predict(trained, edited(lambda rows: rows[:3210] + rows[4440:]), tmp_path / "out.csv")
    samples = raw(sample)
    rows = table(tmp_path / "out.csv")
    check(rows, np.concatenate([asked(trained, part, 500) for part in (samples[:3210], samples[4440:])]))
    starts = [5.0 * k for k in range(6)] + [44.4 + 5 * k for k in range(10)]
    np.testing.assert_allclose([float(row["start_s"]) for row in rows], starts, atol=1e-9)
    assert datetime.fromisoformat(rows[6]["start"]) == START + timedelta(seconds=44.4)
    assert str(told["gaps"]).startswith("1; of 12.30 s after ") and "No window reaches over" in str(
        told["gaps"]
    )
    assert told["seconds left over, too short for a window"] == pytest.approx(2.1 + 4.6)
    picture = told["recording"]
    assert isinstance(picture, Reading)
    assert [round(edge, 2) for first, last, _ in picture.signal for edge in (first, last)] == [
        0,
        32.09,
        44.4,
        98.99,
    ]


def test_times_are_the_clock_s(edited: Any, tmp_path: Path) -> None:
    """A clock half a percent faster than the sensor: the windows' times are those that the rows bear."""

    def late(rows: list[str]) -> list[str]:
        times = [START + timedelta(milliseconds=round(10.05 * k)) for k in range(len(rows))]
        said = [f"{time:%Y-%m-%d %H:%M:%S}:{time.microsecond // 1000:03}" for time in times]
        return [f"{time},{row.partition(',')[2]}" for time, row in zip(said, rows, strict=True)]

    predict(run_of(), edited(late), tmp_path / "out.csv")
    last = table(tmp_path / "out.csv")[-1]
    assert float(last["start_s"]) == pytest.approx(18 * 500 * 0.01005, abs=2e-3)
    assert float(last["end_s"]) == pytest.approx(19 * 500 * 0.01005, abs=2e-3)


def test_what_is_drawn(sample: Path, tmp_path: Path) -> None:
    """The picture has the file's samples in g, the table's windows, and a title with the most frequent answer."""
    told = predict(
        run_of(name="wisdm-watch", rate_hz=20.0, unit="m/s²", window=100), sample, tmp_path / "out.csv"
    )
    drawn, rows = told["recording"], table(tmp_path / "out.csv")
    assert isinstance(drawn, Reading) and (drawn.unit, drawn.begins) == ("g", "2011-10-09 10:25:02")
    ((first, last, values),) = drawn.signal
    assert (first, last) == (0, 98.99) and np.array_equal(values, raw(sample))
    assert [CLASSES[one] for one in drawn.answers] == [row["activity"] for row in rows]
    most = max(CLASSES, key=[row["activity"] for row in rows].count)
    share = sum(row["activity"] == most for row in rows) / len(rows)
    assert drawn.title.startswith(f"{SAMPLE} in windows of 5 s, read as {100 * share:.0f} % {most}")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"channels": ["x", "y"]}, "reads 2 channels; a GENEActiv recording has 3"),
        ({"channels": ["z"]}, "reads 1 channel; "),
        ({"unit": "counts"}, "in g; counts are needed"),
    ],
)
def test_networks_of_something_else_are_refused(
    sample: Path, tmp_path: Path, changes: Mapping[str, Any], said: str
) -> None:
    """Other numbers of channels, uncalibrated counts: one message, a remedy, and no table."""
    with pytest.raises(EpochalError, match=said) as error:
        predict(run_of(**changes), sample, tmp_path / "out.csv")
    assert error.value.hint and not list(tmp_path.iterdir())


def test_pictures_are_no_recordings(sample: Path, tmp_path: Path) -> None:
    """A run of CIFAR-10 noted neither rate nor window."""
    about = {
        "name": "cifar10",
        "drawn": False,
        "classes": CLASSES,
        "channels": ["r", "g", "b"],
        "shape": "pictures",
    }
    with pytest.raises(UsageError, match="reads the pictures of cifar10") as error:
        predict(Trained(har_classifier.Settings(), {}, data=about), sample, tmp_path / "out.csv")
    assert error.value.hint


def test_files_of_something_else_are_refused(
    real_data: Path, sample: Path, edited: Any, tmp_path: Path
) -> None:
    """A folder, an array file, a text, and a recording shorter than a window, in one message each."""
    trained, out = run_of(), tmp_path / "out.csv"
    short = edited(lambda rows: rows[:480])
    for path, said in (
        (real_data, "is a folder"),
        (real_data / "mnist.npz", "is no CSV export of GENEActiv"),
        (Path(__file__), "begins no GENEActiv header"),
        (short, r"lasts 4\.8 s; the network reads 5 s at a time"),
    ):
        with pytest.raises(EpochalError, match=said) as error:
            predict(trained, path, out)
        assert error.value.hint and not out.exists()
    pieces = edited(lambda rows: rows[:480] + rows[1000:1300])
    with pytest.raises(UsageError, match=r"No stretch without gaps of .* lasts longer than 4\.8 s"):
        predict(trained, pieces, out)


def test_an_exported_network_answers_as_torch_does(sample: Path, tmp_path: Path) -> None:
    """onnxruntime, given the real recording's windows in g: the same logits within 1e-4, the same choices."""
    onnxruntime = pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    trained = run_of()
    wanted = export(trained)
    assert wanted.inputs.shape == (64, 3, 500) and wanted.inputs.dtype == np.float32
    deviation = wanted.inputs.std(axis=(0, 2))
    np.testing.assert_allclose(deviation, 0.7, rtol=0.15)
    np.testing.assert_allclose(wanted.inputs.mean(axis=(0, 2)), [-0.5, 0, 0.5], atol=0.2)
    _export._write_onnx(wanted, wanted.about, tmp_path / "net.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx", providers=["CPUExecutionProvider"])
    x = raw(sample)[:9500].reshape(19, 500, 3).transpose(0, 2, 1).copy()
    (logits,) = session.run(["logits"], {"signal": x})
    with torch.no_grad():
        ours = trained.nets["network"](torch.from_numpy(x)).numpy()
    np.testing.assert_allclose(logits, ours, atol=1e-4 * np.abs(ours).max())
    assert np.array_equal(logits.argmax(1), ours.argmax(1))
    assert wanted.about == {
        "classes": '["lying", "walking", "climbing, stairs"]',
        "channels": '["x", "y", "z"]',
        "rate_hz": "100",
        "unit": "g",
        "window": "500",
    }


def test_a_network_of_persistence_images_sees_them_on_its_own_scale(sample: Path, tmp_path: Path) -> None:
    """The images are made with the ranges that the run noted, not with those of the recording that is asked about."""
    trained = run_of(shape="pictures", **SCALE)
    told = predict(trained, sample, tmp_path / "out.csv")
    x = raw(sample)[:9500].reshape(19, 500, 3).transpose(0, 2, 1)
    shown = images(x, low=np.array(SCALE["image_low"]), high=np.array(SCALE["image_high"]))
    with torch.no_grad():
        p = trained.nets["network"](torch.from_numpy(shown)).double().softmax(1).numpy()
    assert told["windows"] == 19
    check(table(tmp_path / "out.csv"), p)


@pytest.mark.parametrize("window", [None, 500])
def test_pictures_are_exported_in_their_shape(window: int | None) -> None:
    """CIFAR-10's 32x32 pixels in [0, 1], persistence images of 64x64 without a number below 0."""
    trained = run_of(shape="pictures", **SCALE)
    if window is None:
        noted = {
            name: told for name, told in trained.data.items() if name not in ("window", "rate_hz", "unit")
        }
        trained = replace(trained, data=noted)
    wanted = export(trained)
    side = 64 if window else 32
    assert wanted.inputs.shape == (64, 3, side, side) and wanted.input_name == "images"
    assert wanted.inputs.min() >= 0 and (window or wanted.inputs.max() <= 1)
    with torch.no_grad():
        assert wanted.net(torch.from_numpy(wanted.inputs[:2])).shape == (2, 3)
    assert ("window" in wanted.about) == (window is not None)


def test_a_trained_run_answers_and_is_exported(
    sample: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From `run` to table, picture and ONNX file, with nothing of the training data needed any more."""
    for name in ("EPOCHAL_CACHE", "XDG_STATE_HOME", "EPOCHAL_LAB"):
        monkeypatch.setenv(name, str(tmp_path / name))
    patch = {"epochs": 1, "net.name": "resnet8", "data.source": "wisdm-watch", "data.limit": 64}
    run = epochal.run("har-classifier", patch=patch, device="cpu", precision="float32", show=False)[0]
    monkeypatch.setattr(wearables, "read", lambda *args: pytest.fail("the training data were read"))
    monkeypatch.chdir(tmp_path)
    done = epochal.predict(run, sample)
    assert done.path == Path("geneactiv_sample_right_wrist-answers.csv") and len(table(done.path)) == 19
    assert [picture.name for picture in done.pictures] == ["geneactiv_sample_right_wrist-answers.png"]
    assert done.pictures[0].is_file() and "recording" not in done.told
    pytest.importorskip("onnxruntime", reason="the extra `export` is not installed")
    exported = epochal.export(run, out="student.onnx")
    assert exported.inputs == 64 and exported.equal == 1 and exported.about["unit"] == "m/s²"


def test_it_is_told_how_good_the_network_is(sample: Path, tmp_path: Path) -> None:
    """Confidence alone sounds sure whatever was learnt: how many windows of others were read right stands beside."""
    trained = run_of()
    assert "never measured" in str(predict(trained, sample, tmp_path / "out.csv")["how good"])
    known = replace(trained, evaluation={"test": {"accuracy": 0.412}})
    assert "read 41% of the windows right" in str(predict(known, sample, tmp_path / "out.csv")["how good"])
