"""Mistakes with recordings of a worn sensor, distillation, and networks handed on; see `error_cases.py`."""

from __future__ import annotations

import contextlib
import json
import pickle
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from error_cases import Around, Case, Evil, Place, void, writes
from error_cases_systems import both

Lines = list[str]
Change = Callable[[dict[str, Any]], Mapping[str, Any]]

ABOUT = {"rate_hz": 12.8, "unit": "g"}
HEADER = 100
"""Lines above the samples of a GENEActiv export."""
MADE = "`mine` holds windows of six people"
OLD = "`old.pth.tar` is "


# --- what happens before ------------------------------------------------------------------------------------


def windows(
    change: Change = lambda arrays: {}, about: Any = ABOUT, people: int = 6
) -> Callable[[Place], None]:
    """The folder `mine`: 5 windows of each of some people, 3 channels, 64 samples, two activities.

    Args:
        change: other arrays in the place of these; None leaves one out.
        about: what about.json holds; None: there is none.
        people: who wore the sensor.
    """

    def make(place: Place) -> None:
        import numpy as np

        folder = place.root / "mine"
        folder.mkdir()
        n = 5 * people
        arrays: dict[str, Any] = {
            "X": np.random.default_rng(0).normal(size=(n, 3, 64)).astype(np.float32),
            "y": np.arange(n) % 2,
            "subject": np.repeat(np.arange(people), 5),
        }
        for name, array in {**arrays, **change(arrays)}.items():
            if array is not None:
                np.save(folder / f"{name}.npy", array, allow_pickle=True)
        if about is not None:
            (folder / "about.json").write_text(json.dumps(about))

    return make


def named(arrays: dict[str, Any]) -> Mapping[str, Any]:
    """Labels by name."""
    import numpy as np

    return {"y": np.array(["lying", "walking"])[arrays["y"]]}


def gap(arrays: dict[str, Any]) -> Mapping[str, Any]:
    """One sample that was not measured."""
    x = arrays["X"].copy()
    x[3, 1, 7] = float("nan")
    return {"X": x}


def export(rows: int = 300, *, subject: str = "Anna", rate: str = "100 Hz") -> Lines:
    """The lines of a GENEActiv export at 100 Hz."""
    said = {
        0: "Device Type,GENEActiv",
        1: "Device Model,1.1",
        10: f"Measurement Frequency,{rate}",
        13: "Device Location Code,left wrist",
        20: f"Subject Code,{subject}",
        25: "Handedness Code,right",
    }
    start = datetime(2024, 5, 3, 9, 0)
    lines = [said.get(number, "") for number in range(HEADER)]
    for row in range(rows):
        when = start + timedelta(milliseconds=10 * row)
        time = f"{when:%Y-%m-%d %H:%M:%S}:{when.microsecond // 1000:03}"
        lines.append(f"{time},{(row % 7) / 10:.4f},-0.2500,0.9300,48,0,24.5")
    return lines


def recording(
    edit: Callable[[Lines], Lines] = lambda lines: lines, *, end: str = "\r\n"
) -> Callable[[Place], None]:
    """`wrist.csv`, a recording of three seconds after an edit; `end` ends its last line."""
    return lambda place: void(place.write("wrist.csv", "\r\n".join(edit(export())) + end))


def at(line: int, old: str, new: str) -> Callable[[Lines], Lines]:
    """Changes a line, counted from 1."""

    def edit(lines: Lines) -> Lines:
        assert old in lines[line - 1]
        return [*lines[: line - 1], lines[line - 1].replace(old, new, 1), *lines[line:]]

    return edit


def commas(lines: Lines) -> Lines:
    """As a computer writes it that is set to decimal commas."""
    return [*lines[:HEADER], *(line.replace(",", ";").replace(".", ",") for line in lines[HEADER:])]


def table(*rows: str) -> Callable[[Place], None]:
    """The folder `mine`: the exports anna.csv and ben.csv, three seconds each, and labels.csv with these rows."""

    def make(place: Place) -> None:
        for name in ("anna", "ben"):
            place.write(f"mine/{name}.csv", "\r\n".join(export(subject=name.title())) + "\r\n")
        if rows:
            place.write("mine/labels.csv", "\n".join(["file,start,end,activity", *rows]) + "\n")

    return make


def pamap2(
    edit: Callable[[Lines], Lines], people: Sequence[int] = range(101, 110)
) -> Callable[[Place], None]:
    """Ten rows of each of some people's files, the first one's edited."""

    def make(place: Place) -> None:
        for number in people:
            rows = [f"{8.38 + row / 100:.2f} 1 {'100 ' * 52}".strip() for row in range(10)]
            rows = edit(rows) if number == people[0] else rows
            place.write(f"data/Protocol/subject{number}.dat", "\n".join(rows) + "\n")

    return make


def student(version: str = "wrn16-1", **about: Any) -> Callable[[Place], None]:
    """A finished run of har-classifier is there, of random weights.

    Args:
        version: of the recipe.
        about: what it noted of its data otherwise; None: what it did not note.
    """

    def make(place: Place) -> None:
        from epochal import settings
        from epochal.journal import Lab
        from epochal.systems import recipes
        from epochal.training import checkpoint

        recipe = recipes.find("har-classifier")
        chosen = settings.apply(recipes.settings_of(recipe, version), {"net.name": "wrn10-1"})
        noted = {
            "name": "geneactiv-folder",
            "source": "mine",
            "drawn": False,
            "classes": ["sitting", "walking"],
            "channels": ["x", "y", "z"],
            "shape": "signals",
            "rate_hz": 100.0,
            "unit": "g",
            "window": 200,
            **about,
        }
        noted = {name: value for name, value in noted.items() if value is not None}
        run = Lab(place.root / "lab").create_run(
            recipe=recipe.name,
            version=version,
            settings=settings.to_dict(chosen),
            status="finished",
            epochs_done=1,
            data=noted,
        )
        assert recipe.nets_of is not None
        weights = {
            f"weights/{name}.{key}": tensor
            for name, net in recipe.nets_of(chosen, noted).items()
            for key, tensor in net.state_dict().items()
        }
        checkpoint.write(run.checkpoints_dir / "last.safetensors", weights, {"epoch": 1})

    return make


def network(name: str = "wrn10-1", channels: int = 3, classes: int = 2) -> Any:
    """A fresh network for signals."""
    from epochal.systems.nets.classifiers import build

    return build(name, channels, classes, 1)


def torch_network() -> Any:
    """A network of classes that are not Epochal's."""
    import torch

    return torch.nn.Sequential(torch.nn.Linear(3, 2))


def teacher(place: Place) -> None:
    """`teacher.safetensors`: the weights of a WRN10-1 for three channels and two classes."""
    from safetensors.torch import save_file

    save_file(network().state_dict(), place.root / "teacher.safetensors")


def old(content: Callable[[], Any], cut: int | None = None) -> Callable[[Place], None]:
    """`old.pth.tar`: what torch.save makes of something; only its first bytes when `cut`."""

    def make(place: Place) -> None:
        import torch

        path = place.root / "old.pth.tar"
        torch.save(content(), path)
        path.write_bytes(path.read_bytes()[:cut])

    return make


def harmless(step: Callable[[Place], None]) -> Callable[[Place], Around]:
    """Something has happened; insists afterwards that what `Evil` would run was not run."""

    @contextlib.contextmanager
    def unharmed(place: Place) -> Iterator[None]:
        yield
        assert not (place.root / "owned.txt").exists(), "what the file holds was executed"

    def make(place: Place) -> Around:
        step(place)
        return unharmed(place)

    return make


def weights(**shape: Any) -> Callable[[], dict[str, Any]]:
    """A checkpoint as public programs keep it."""

    def make() -> dict[str, Any]:
        state = network(**shape).state_dict()
        return {"epoch": 200, "state_dict": {k: v for k, v in state.items() if not k.startswith("scaled.")}}

    return make


def blank_shapes(place: Place) -> Around:
    """The drawn pictures are there at once, all blank."""
    import numpy as np

    from epochal.systems.data import Dataset
    from epochal.systems.data.verbs import SOURCES

    columns = {"images": np.zeros((10, 32, 32, 3), np.uint8), "labels": np.arange(10, dtype=np.uint8)}
    classes = tuple(map(str, range(10)))
    found = Dataset("shapes", "drawn", True, "", classes, {"train": columns, "test": columns})
    return mock.patch.object(type(SOURCES["shapes"]), "load", lambda *_: found)


def lacking(*names: str) -> Callable[[Place], Around]:
    """Packages that are not installed."""
    return lambda place: mock.patch(
        "epochal.api._export.find_spec", lambda name: None if name in names else object()
    )


# --- the table ----------------------------------------------------------------------------------------------


def _arrays() -> Iterator[Case]:
    area = "Recordings as arrays"
    run = ["run", "har-classifier", "--data.source", "arrays-folder", "--data.dir", "mine"]

    def case(title: str, says: str, before: str, prepare: Callable[[Place], Around]) -> Case:
        return Case(area, title, run, says, 1, before, prepare, trains=True)

    yield Case(
        area,
        "A source with a typo",
        ["run", "har-classifier", "--data.source", "geneactive-folder"],
        "Did you mean 'geneactiv-folder'",
    )
    yield Case(
        area,
        "A source of something else",
        ["run", "har-classifier", "--data.source", "mnist"],
        "recordings of a worn sensor",
        trains=True,
    )
    yield Case(area, "No folder is named", run[:4], "--data.dir FOLDER", trains=True)
    yield case(
        "An array is missing",
        "lacks subject.npy",
        "`mine` has no subject.npy",
        windows(lambda _: {"subject": None}),
    )
    yield case(
        "Nothing of it is there",
        "neither arrays.npz nor X.npy",
        "`mine` has no X.npy",
        windows(lambda _: {"X": None}),
    )
    yield case("A sample is NaN", "X[3] holds NaN", "One sample of a window is NaN", windows(gap))
    yield case(
        "Labels that are numbers with a point",
        "whole numbers are needed",
        "`y.npy` holds float64",
        windows(lambda arrays: {"y": arrays["y"].astype(float)}),
    )
    yield case(
        "Labels by name", "whole numbers are needed", "`y.npy` holds lying and walking", windows(named)
    )
    yield case(
        "Arrays of Python objects",
        "pickled objects",
        "`y.npy` holds a pickle that would run a command",
        harmless(windows(lambda arrays: {"y": [Evil()] * len(arrays["y"])})),
    )
    yield case(
        "A file that is cut off",
        "damaged",
        "`X.npy` breaks off in its second half",
        both(
            windows(),
            lambda place: void(place.write("mine/X.npy", (place.root / "mine/X.npy").read_bytes()[:900])),
        ),
    )
    yield case("Nothing is said about them", "no about.json", "`mine` has no about.json", windows(about=None))
    yield case("No rate", "lacks rate_hz", '`about.json` holds `{"unit": "g"}`', windows(about={"unit": "g"}))
    yield case(
        "A rate in words",
        "rate_hz is '100 Hz'",
        '`about.json` holds `"rate_hz": "100 Hz"`',
        windows(about={**ABOUT, "rate_hz": "100 Hz"}),
    )
    yield case(
        "Axes in another order",
        "64 channels of 3 samples",
        "`X.npy` is (30, 64, 3)",
        windows(lambda arrays: {"X": arrays["X"].transpose(0, 2, 1)}, {**ABOUT, "channels": ["x", "y", "z"]}),
    )
    yield case(
        "One channel without its axis",
        "X has the shape (30, 64)",
        "`X.npy` is (30, 64)",
        windows(lambda arrays: {"X": arrays["X"][:, 0]}),
    )
    yield case(
        "Fewer labels than windows",
        "y has the shape (29,), but X has 30 windows",
        "`y.npy` has 29 labels",
        windows(lambda arrays: {"y": arrays["y"][1:]}),
    )
    yield case(
        "A label without a name",
        "y holds 1, but about.json names 1 class",
        '`about.json` holds `"classes": ["walking"]`',
        windows(about={**ABOUT, "classes": ["walking"]}),
    )


def _folder() -> Iterator[Case]:
    area = "GENEActiv and PAMAP2"
    run = ["run", "har-classifier", "--data.source", "geneactiv-folder", "--data.dir", "mine"]

    def case(title: str, says: str, before: str, *rows: str) -> Case:
        return Case(area, title, run, says, 1, before, table(*rows), trains=True)

    yield case(
        "Nobody wrote down what was done when", "labels.csv", "`mine` holds anna.csv and ben.csv alone"
    )
    yield Case(
        area,
        "The same, and the source is not named",
        ["run", "har-classifier", "--data.dir", "mine"],
        "where no",
        before="`mine` holds anna.csv and ben.csv alone",
        prepare=table(),
        trains=True,
    )
    yield case(
        "A file that is not there",
        "row 3: there is no export 'bne.csv'",
        "Row 3 of `labels.csv` is `bne.csv,0,2.5,walking`",
        "anna.csv,0,2.5,walking",
        "bne.csv,0,2.5,walking",
    )
    yield case(
        "An interval that ends before it starts",
        "row 2: the interval ends",
        "Row 2 of `labels.csv` is `anna.csv,2.5,1,walking`",
        "anna.csv,2.5,1,walking",
    )
    yield case(
        "Intervals that overlap",
        "row 3: the interval starts",
        "Walking is noted until 2 s, sitting from 1.5 s on",
        "anna.csv,0,2,walking",
        "anna.csv,1.5,2.5,sitting",
    )
    yield case(
        "An interval after the recording",
        "is not inside the recording",
        "Row 2 of `labels.csv` is `anna.csv,0,60,walking`; the recording has three seconds",
        "anna.csv,0,60,walking",
    )
    yield case(
        "A time that is none",
        "start is '9:00'",
        "Row 2 of `labels.csv` is `anna.csv,9:00,9:01,walking`",
        "anna.csv,9:00,9:01,walking",
    )
    yield Case(
        area,
        "Semicolons between the columns",
        run,
        "lacks the columns",
        1,
        "A spreadsheet saved `labels.csv` with semicolons",
        both(table(), writes("mine/labels.csv", "file;start;end;activity\nanna.csv;0;2.5;walking\n")),
        trains=True,
    )
    yield Case(
        area,
        "The same, asked beforehand",
        ["data", "verify", "geneactiv-folder", "--dir", "mine"],
        "lacks the columns",
        1,
        "A spreadsheet saved `labels.csv` with semicolons",
        both(table(), writes("mine/labels.csv", "file;start;end;activity\nanna.csv;0;2.5;walking\n")),
    )
    yield Case(
        area,
        "A damaged file of PAMAP2",
        ["run", "har-classifier", "pamap2", "--data.dir", "data"],
        "line 4 has 53 columns",
        1,
        "The fourth line of `subject101.dat` lacks a number",
        pamap2(at(4, "100 ", "")),
        trains=True,
    )
    yield Case(
        area,
        "The same with a word",
        ["run", "har-classifier", "pamap2", "--data.dir", "data"],
        "line 4, column 3: 'n/a' is no number",
        1,
        "The heart rate in the fourth line of `subject101.dat` is `n/a`",
        pamap2(at(4, "100 ", "n/a ")),
        trains=True,
    )
    yield Case(
        area,
        "Some people of PAMAP2 are missing",
        ["run", "har-classifier", "pamap2", "--data.dir", "data"],
        "subject103.dat",
        1,
        "`data/Protocol` holds subject101.dat and subject102.dat alone",
        pamap2(lambda lines: lines, (101, 102)),
        trains=True,
    )


def _people() -> Iterator[Case]:
    area = "People and windows"
    run = ["run", "har-classifier", "--data.source", "arrays-folder", "--data.dir", "mine"]

    def case(title: str, words: list[str], says: str, code: int = 2, people: int = 6) -> Case:
        before = "`mine` holds windows of two people" if people == 2 else f"{MADE}, of 64 samples each"
        return Case(area, title, [*run, *words], says, code, before, windows(people=people), trains=True)

    yield case("More folds than people", ["--data.folds", "7"], "6 subjects cannot be divided into 7 folds")
    yield case("Two folds", ["--data.folds", "2"], ">= 3")
    yield case("A fold that is not there", ["--data.fold", "5"], "no fold 5; of 5 folds the last is 4")
    yield case("Somebody who is not there", ["--data.test-subject", "9"], "no subject 9 to leave out")
    yield Case(
        area,
        "Somebody who is not there, by name",
        [
            *("run", "har-classifier", "--data.source", "geneactiv-folder", "--data.dir", "mine"),
            *("--data.window", "100", "--data.test-subject", "Carla"),
        ],
        "nobody called 'Carla'",
        before="`mine` holds recordings of Anna and Ben",
        prepare=table("anna.csv,0,2.5,walking", "ben.csv,0,2.5,walking"),
        trains=True,
    )
    yield Case(
        area,
        "Somebody to test, where the data say who does",
        [*run, "--data.test-subject", "1"],
        "whoever made these data has said who tests",
        before=f"{MADE}, and `split.npy` says who tests",
        prepare=windows(lambda arrays: {"split": (arrays["subject"] > 3).astype(int)}),
        trains=True,
    )
    yield case("Two people only", [], "2 subjects", people=2)
    yield case(
        "Two people, one of them to test", ["--data.test-subject", "1"], "at least 3 subjects", people=2
    )
    yield case("Windows longer than all recordings", ["--data.window", "500"], "No window of 500 samples", 1)
    yield case("A window of no length", ["--data.window", "0"], ">= 8")
    yield case("A step of nothing", ["--data.step", "0"], ">= 1")
    yield case("A purity of nothing", ["--data.purity", "0"], "purity")
    yield Case(
        area,
        "It is not known who wore the sensor",
        run,
        "not known of all recordings who wore the sensor",
        1,
        "`subject.npy` holds -1",
        windows(lambda arrays: {"subject": arrays["subject"] * 0 - 1}),
        trains=True,
    )


def _networks() -> Iterator[Case]:
    area = "Networks of wearables"
    mine = ["--data.source", "arrays-folder", "--data.dir", "mine"]
    run = ["run", "har-classifier", *mine]

    def case(title: str, words: list[str], says: str, **more: Any) -> Case:
        more = {"before": MADE, "prepare": windows(), "trains": True, **more}
        return Case(area, title, words, says, **more)

    yield case("A name with a typo", [*run, "--net.name", "wm16-1"], "Did you mean wrn16-1")
    yield case("A name that is none", [*run, "--net.name", "transformer"], "Networks: wrn16-1")
    yield case("A depth that does not exist", [*run, "--net.name", "wrn17-1"], "Did you mean wrn16-1")
    yield case(
        "A student with a typo",
        ["run", "har-distill", *mine, "--teacher.checkpoint", "teacher.safetensors", "--net.name", "wm16-1"],
        "Did you mean wrn16-1",
        before=f"{MADE}, `teacher.safetensors` a trained network",
        prepare=both(windows(), teacher),
    )
    yield Case(
        area,
        "Persistence images of pictures",
        ["run", "har-classifier", "persistence", "--data.name", "cifar10"],
        "no persistence images",
        trains=True,
    )


def _distillation() -> Iterator[Case]:
    area = "Distillation"
    mine = ["--data.source", "arrays-folder", "--data.dir", "mine"]
    run = ["run", "har-distill", *mine, "--teacher.checkpoint"]

    def case(title: str, words: list[str], says: str, code: int, before: str, *steps: Any) -> Case:
        return Case(area, title, words, says, code, before, both(windows(), *steps), trains=True)

    yield case("The teacher is not there", [*run, "lab/last"], "no checkpoint lab/last", 2, MADE)
    yield case(
        "The teacher is a text",
        [*run, "teacher.safetensors"],
        "cannot be read as weights",
        1,
        "`teacher.safetensors` is a web page",
        writes("teacher.safetensors", "<html>not found</html>" * 9),
    )
    yield case(
        "The teacher is PyTorch's file",
        [*run, "old.pth.tar"],
        "epochal import weights",
        1,
        f"{OLD}a checkpoint of PyTorch",
        old(weights()),
    )
    yield case(
        "The teacher is another network",
        [*run, "teacher.safetensors"],
        "another network's",
        1,
        "`teacher.safetensors` holds a WRN10-1; a WRN28-1 is the default",
        teacher,
    )
    yield case(
        "The teacher learnt something else",
        [*run, "teacher"],
        "was trained with classes",
        2,
        "`teacher` is a run that learnt to tell sitting and walking; the classes of `mine` are called 0 and 1",
        student(),
        lambda place: shutil.copytree(place.find("har-classifier:wrn16-1").path, place.root / "teacher"),
    )
    two = ["run", "har-distill-two-teachers"]
    yield Case(
        area,
        "Noise on windows whose images a teacher reads",
        [*two, *mine, "--augment.noise", "0.1"],
        "augment.noise",
        before=MADE,
        prepare=windows(),
        trains=True,
    )
    yield Case(
        area,
        "Two teachers on pictures",
        [*two, "--data.name", "cifar10"],
        "no persistence images",
        prepare=blank_shapes,
        trains=True,
    )
    yield Case(
        area,
        "Crops of windows",
        ["run", "har-distill", *mine, "--augment.crop", "4"],
        "neither cropped nor mirrored",
        before=MADE,
        prepare=windows(),
        trains=True,
    )


def _former() -> Iterator[Case]:
    area = "Lines of the former program"

    def case(title: str, line: str, says: str, recipe: str = "har-distill", **more: Any) -> Case:
        return Case(area, title, ["run", recipe, "--legacy-args", line], says, **more)

    yield case("An argument with a typo", "--teacher wrn2811 --studnet wrn1611", "Did you mean --student")
    yield case("An argument that was none", "--teacher wrn2811 --gpu 0", "no argument --gpu")
    yield case("A value is missing", "--teacher wrn2811 --student --cuda 0", "--student has no value")
    yield case("A value that is none", "--teacher wrn2811 --epochs many", "whole number")
    yield case("A network with a typo", "--teacher wrn2911 --student wrn1611", "Did you mean wrn28-1")
    yield case("A second teacher", "--teacher wrn2811 --teacher2 wrn1631", "har-distill-two-teachers")
    yield case("Recordings without their folder", "--teacher wrn2811 --dataset gene", "--data.dir FOLDER")
    yield case("A set with a typo", "--dataset cifar", "gene and cifar10")
    yield case(
        "Two teachers on pictures", "--dataset cifar10", "learns from one teacher", "har-distill-two-teachers"
    )
    yield case(
        "A checkpoint that was not imported",
        "--teacher wrn2811 --teacher-checkpoint old.pth.tar",
        "epochal import weights old.pth.tar",
        before=f"{OLD}a checkpoint of PyTorch",
        prepare=old(weights()),
    )
    yield case("A quotation without an end", "--trial 'first", "Close every quotation")
    yield case("A recipe without a former program", "--epochs 3", "comes from no program", "cvae-digits")


def _predict() -> Iterator[Case]:
    area = "Answers for a recording"
    words = ["predict", "har-classifier:wrn16-1", "wrist.csv"]
    there = "There is a run of har-classifier"

    def case(title: str, says: str, before: str, *steps: Callable[[Place], Around], **more: Any) -> Case:
        more = {"words": words, "code": 1, "before": "; ".join(filter(None, (there, before))), **more}
        return Case(area, title, says=says, prepare=both(student(), *steps), **more)

    yield case("No such file", "There is no wrist.csv", "", code=2)
    yield case("A folder", "is a folder", "", code=2, words=[*words[:2], "lab"])
    yield case(
        "The header is missing",
        "begins no GENEActiv header",
        "the first 100 lines were cut off",
        recording(lambda lines: lines[HEADER:]),
    )
    yield case(
        "Part of the header is missing",
        "a sample stands inside the header",
        "ten lines of the header were cut out",
        recording(lambda lines: [*lines[:40], *lines[50:]]),
    )
    yield case(
        "Another rate",
        "is 50 Hz, but the times of the rows",
        "the header says 50 Hz, the rows were measured at 100 Hz",
        recording(at(11, "100", "50")),
    )
    yield case(
        "Text in a number",
        "line 151: y is 'walking'",
        "somebody wrote `walking` into a row",
        recording(at(151, "-0.2500", "walking")),
    )
    yield case(
        "Decimal commas",
        "decimal commas",
        "the computer that exported it writes decimal commas",
        recording(commas),
    )
    yield case(
        "A file that breaks off",
        "ends inside this line",
        "the copy broke off",
        recording(at(400, ",48,0,24.5", ""), end=""),
    )
    yield case(
        "A gap that leaves too little",
        "No stretch without gaps",
        "one and a half seconds, a gap, and one and a half seconds",
        recording(lambda lines: [*lines[:250], *lines[260:]]),
        code=2,
    )
    yield case("An empty file", "is empty", "`wrist.csv` has no bytes", writes("wrist.csv", ""))
    yield case(
        "The device's own file",
        "binary or device file",
        "`wrist.bin` is what the device wrote",
        writes("wrist.bin", "Device Identity\r\nDevice Unique Serial Code:011152\r\n" * 20),
        words=[*words[:2], "wrist.bin"],
    )
    yield case(
        "A table of something else",
        "begins no GENEActiv header",
        "`wrist.csv` is a table of one's own",
        writes("wrist.csv", "time,x,y,z\n0,0.1,0.2,0.9\n"),
    )
    yield case(
        "Too short",
        "lasts 1 s; the network reads 2 s at a time",
        "the recording has one second",
        recording(lambda lines: lines[: HEADER + 100]),
        code=2,
    )
    yield case(
        "The answers are there",
        "--overwrite",
        "`wrist-answers.csv` exists",
        recording(),
        writes("wrist-answers.csv", ""),
        code=2,
    )
    yield case(
        "A picture of that name is there",
        "--overwrite",
        "`wrist-answers.png` exists",
        recording(),
        writes("wrist-answers.png", ""),
        code=2,
    )

    def other(
        title: str, says: str, before: str, version: str = "wrn16-1", code: int = 2, **about: Any
    ) -> Case:
        return Case(
            area,
            title,
            ["predict", f"har-classifier:{version}", "wrist.csv"],
            says,
            code,
            f"The run {before}",
            both(student(version, **about), recording()),
        )

    yield other(
        "A network of pictures",
        "reads the pictures of cifar10",
        "was trained on CIFAR-10",
        name="cifar10",
        shape="pictures",
        window=None,
    )
    yield other("A network of other channels", "reads 2 channels", "read two channels", channels=["x", "y"])
    yield other(
        "A network of another unit",
        "in g; counts are needed",
        "read a sensor that was never calibrated",
        code=1,
        unit="counts",
    )
    yield Case(
        area,
        "A recipe that predicts nothing",
        ["predict", "cvae-digits:model-4@0", "wrist.csv"],
        "predicts nothing",
    )


def _handing_on() -> Iterator[Case]:
    area = "Export"
    words = ["export", "har-classifier:wrn16-1", "-o", "student.onnx"]
    there = "There is a run of har-classifier"
    yield Case(
        area,
        "A recipe that exports nothing",
        ["export", "cvae-digits:model-4@0", "-o", "digits.onnx"],
        "exports nothing",
    )
    yield Case(area, "No file is named", words[:2], "-o")
    yield Case(
        area,
        "Another kind of file",
        [*words[:3], "student.pt"],
        "It ends with .onnx",
        before=there,
        prepare=student(),
    )
    yield Case(
        area,
        "The file is there",
        words,
        "--overwrite",
        before=f"{there}, and `student.onnx`",
        prepare=both(student(), writes("student.onnx", "")),
    )
    yield Case(
        area,
        "The extra is not installed",
        words,
        "epochal[export]",
        1,
        before=f"{there}; onnx and onnxruntime are missing",
        prepare=lambda place: student()(place) or lacking("onnx", "onnxruntime")(place),
    )


def _foreign() -> Iterator[Case]:
    area = "Weights of other programs"
    words = ["import", "weights", "old.pth.tar"]
    fitted = [*words, "--net", "wrn10-1", "--channels", "3", "--classes", "2"]

    def case(
        title: str,
        says: str,
        before: str,
        prepare: Callable[[Place], Around],
        words: Sequence[str] = words,
        code: int = 1,
    ) -> Case:
        return Case(area, title, words, says, code, OLD + before, prepare)

    yield Case(area, "No such file", words, "no old.pth.tar")
    yield case(
        "A checkpoint that would run a command",
        "Nothing in it was run",
        "a checkpoint with code in it",
        harmless(old(lambda: {"state_dict": network().state_dict(), "args": Evil()})),
    )
    yield Case(
        area,
        "A bare pickle that would run a command",
        words,
        "Nothing in it was run",
        1,
        f"{OLD}a pickle",
        harmless(writes("old.pth.tar", pickle.dumps(Evil(), protocol=2))),
    )
    yield case(
        "A whole network instead of its weights",
        "save only the weights",
        "what `torch.save(model, …)` wrote",
        old(torch_network),
    )
    yield case("Cut off", "cut short", "the first half of a checkpoint", old(weights(), cut=100_000))
    yield case("Empty", "it is empty", "without a byte", writes("old.pth.tar", ""))
    yield case("A web page", "it begins with", "a web page", writes("old.pth.tar", "<html>not found</html>"))
    yield case(
        "No weights",
        "no weights are in it",
        "what `torch.save` made of a list of accuracies",
        old(lambda: {"accuracies": [0.7, 0.8]}),
    )
    yield case(
        "A tensor",
        "not weights by name",
        "what `torch.save` made of a tensor",
        old(lambda: network().state_dict()["scaled.width"]),
    )
    yield case(
        "Numbers that are none",
        "not finite",
        "a network that diverged",
        old(lambda: {"weight": network().state_dict()["scaled.width"] * float("nan")}),
    )
    yield case("Another network", "do not fit", "a WRN16-1", old(weights(name="wrn16-1")), fitted)
    yield case(
        "Another number of channels",
        "do not fit",
        "a WRN10-1 of six channels",
        old(weights(channels=6)),
        fitted,
    )
    yield case("Without its sizes", "--channels 3 --classes 14", "a WRN10-1", old(weights()), fitted[:5], 2)
    yield case(
        "A network that does not exist",
        "Did you mean wrn10-1",
        "a WRN10-1",
        old(weights()),
        [*words, "--net", "wrn11-1"],
        2,
    )
    yield Case(
        area,
        "The file is there",
        words,
        "--overwrite",
        before=f"{OLD}a WRN10-1, and `old.safetensors` exists",
        prepare=both(old(weights()), writes("old.safetensors", "")),
    )


CASES: tuple[Case, ...] = (
    *_arrays(),
    *_folder(),
    *_people(),
    *_networks(),
    *_distillation(),
    *_former(),
    *_predict(),
    *_handing_on(),
    *_foreign(),
)
