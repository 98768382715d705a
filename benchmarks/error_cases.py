"""The table of mistakes: how each is made, and how it must end. `error_page.py` runs it and writes the page."""

from __future__ import annotations

import builtins
import contextlib
import errno
import importlib.util
import io
import json
import os
import pickle
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

ROOT = Path(__file__).resolve().parents[1]
FAST = ("--quiet", "--device", "cpu", "--precision", "float32")

Around = AbstractContextManager[Any] | None


@dataclass(frozen=True)
class Case:
    """One mistake.

    Attributes:
        area: the section it stands in.
        title: what the user did.
        words: the command line after `epochal`.
        says: what the message must hold.
        code: the exit code it must have.
        before: what had happened before, in words.
        prepare: makes it happen; may answer with a context to run the command in.
        trains: the command would train, so options that make that quick are added.
        call: what is done instead of a command; returns the exit code.
        shown: what stands on the page instead of the command line.
        advice: what to do, where the message itself is not enough.
        recipes_fault: the fault is in the recipe's code, and the message may say so.
    """

    area: str
    title: str
    words: Sequence[str] = ()
    says: str = ""
    code: int = 2
    before: str = ""
    prepare: Callable[[Place], Around] | None = None
    trains: bool = False
    call: Callable[[Place], int] | None = None
    shown: str = ""
    advice: str = ""
    recipes_fault: bool = False

    def all_words(self) -> list[str]:
        """The words that are really given."""
        fast = FAST if "--device" not in self.words and self.words[0] != "resume" else FAST[:1]
        return [*self.words, *(word for word in fast if self.trains)]


@dataclass(frozen=True)
class Place:
    """The folder in which a case happens: `my_recipe.py`, and a `lab` with three runs.

    The recipe `line` (tests/tiny_recipe.py) has the runs line:plain@0 and line:decayed@0; cvae-digits has
    cvae-digits:model-4@0, whose weights are random.
    """

    root: Path

    def begin(self) -> None:
        """Makes what every case finds."""
        shutil.copy(ROOT / "tests" / "tiny_recipe.py", self.root / "my_recipe.py")
        self._untrained_digits()
        for version in ("plain", "decayed"):
            self.epochal("run", "./my_recipe.py", version, *FAST)

    def _untrained_digits(self) -> None:
        from epochal import settings
        from epochal.journal import Lab
        from epochal.systems import recipes
        from epochal.training import checkpoint

        recipe = recipes.find("cvae-digits")
        chosen = settings.apply(recipes.settings_of(recipe, "model-4"), {"data.source": "glyphs"})
        run = Lab("lab").create_run(
            recipe="cvae-digits",
            version="model-4",
            settings=settings.to_dict(chosen),
            status="finished",
            epochs_done=9,
            loss_definition={"cvae": "mean over images of Σ_784 (x - y)²"},
        )
        weights = {
            f"weights/{name}.{key}": tensor
            for name, net in recipe.nets(chosen).items()
            for key, tensor in net.state_dict().items()
        }
        checkpoint.write(run.checkpoints_dir / "last.safetensors", weights, {"epoch": 9})

    def epochal(self, *words: str) -> int:
        """Runs a command that belongs to the preparation."""
        from epochal.cli import main

        return main([*words])

    def write(self, name: str, content: str | bytes) -> Path:
        """Writes a file."""
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        return path

    def find(self, ref: str) -> Any:
        """A run of the lab."""
        from epochal.journal import Lab

        return Lab(self.root / "lab").find(ref)

    def recipe(self, old: str, new: str, name: str = "my_recipe.py") -> None:
        """Changes a line of the recipe file."""
        text = (self.root / "my_recipe.py").read_text()
        assert old in text, f"my_recipe.py has no {old!r}"
        self.write(name, text.replace(old, new))

    def settings(self, ref: str, **changes: Any) -> None:
        """Changes fields of a run's run.json."""
        self.find(ref).update(**changes)

    def replace_checkpoint(self, ref: str, content: bytes | None) -> None:
        """Puts other bytes (None: nothing) in the place of a run's checkpoints."""
        for path in self.find(ref).checkpoints_dir.glob("*.safetensors"):
            path.unlink()
            if content is not None:
                path.write_bytes(content)


# --- what happens before ------------------------------------------------------------------------------------


def writes(name: str, content: str | bytes) -> Callable[[Place], None]:
    """A file is there."""
    return lambda place: void(place.write(name, content))


def void(_: Any) -> None:
    """Takes the place of an answer that nobody wants."""


def recipe_with(old: str, new: str) -> Callable[[Place], None]:
    """The recipe file differs in one line."""
    return lambda place: place.recipe(old, new)


def failing(number: int, what: str = "write") -> Callable[[Place], Around]:
    """The operating system refuses, from now on."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(number, os.strerror(number))

    return lambda place: mock.patch.object(os, what, refuse)


@contextlib.contextmanager
def full_at_checkpoint() -> Iterator[None]:
    """The disk has room for small files, but not for a checkpoint."""
    from epochal.journal import atomic

    write = atomic._write_all

    def refuse(descriptor: int, data: bytes) -> None:
        if b"weights/" in data[:4000]:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(descriptor, data)

    with mock.patch.object(atomic, "_write_all", refuse):
        yield


def hidden(*packages: str) -> Callable[[Place], Around]:
    """Packages that are not installed."""
    real_import, real_find = builtins.__import__, importlib.util.find_spec

    def find(name: str, *rest: Any) -> Any:
        return None if name.partition(".")[0] in packages else real_find(name, *rest)

    def load(name: str, *rest: Any, **more: Any) -> Any:
        if name.partition(".")[0] in packages:
            raise ImportError(f"No module named {name!r}")
        return real_import(name, *rest, **more)

    @contextlib.contextmanager
    def around() -> Iterator[None]:
        with (
            mock.patch.object(builtins, "__import__", load),
            mock.patch("importlib.util.find_spec", find),
            mock.patch("epochal.bench._speed.find_spec", find),
        ):
            yield

    return lambda place: around()


def offline(place: Place) -> Around:
    """No network, and nobody who waits for it."""
    import requests

    def refuse(*_: Any, **__: Any) -> Any:
        raise requests.ConnectionError("no route to host")

    stack = contextlib.ExitStack()
    stack.enter_context(mock.patch("requests.get", refuse))
    stack.enter_context(mock.patch("epochal.systems.data.download.PAUSE", 0.0))
    return stack


def variable(name: str, value: str) -> Callable[[Place], Around]:
    """An environment variable is set."""
    return lambda place: mock.patch.dict(os.environ, {name: value})


def npz(name: str, arrays: Callable[[], dict[str, Any]]) -> Callable[[Place], None]:
    """A data file with these arrays is there."""

    def make(place: Place) -> None:
        import numpy as np

        buffer = io.BytesIO()
        np.savez(buffer, **{key: np.asarray(value) for key, value in arrays().items()})
        place.write(name, buffer.getvalue())

    return make


def digits(items: int, *, labels: Any = 0, dtype: str = "uint8", test: int = 2) -> dict[str, Any]:
    """Arrays of an mnist.npz."""
    import numpy as np

    return {
        "x_train": np.zeros((items, 28, 28), dtype),
        "y_train": np.full(items, labels, "uint8"),
        "x_test": np.zeros((test, 28, 28), dtype),
        "y_test": np.zeros(test, "uint8"),
    }


def idx_files(place: Place) -> None:
    """MNIST as four files, the first of them cut off."""
    import gzip
    import struct

    for stem, shape in (("train-images-idx3", (3, 28, 28)), ("train-labels-idx1", (3,))):
        for split in ("train", "t10k"):
            head = struct.pack(f">HBB{len(shape)}I", 0, 8, len(shape), *shape)
            content = gzip.compress(head + bytes(100))
            place.write(f"data/mnist/{stem.replace('train', split)}-ubyte.gz", content[:-20])


class Evil:
    """A pickle that would run a command."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("echo owned > owned.txt",))


def spoilt(field_: str, value: Any) -> Callable[[Place], None]:
    """A field of the newest run's run.json holds something else."""

    def make(place: Place) -> None:
        path = place.find("line:plain@0").path / "run.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), field_: value}))

    return make


def picture(name: str, size: tuple[int, int] = (40, 40)) -> Callable[[Place], None]:
    """A blank picture is there."""

    def make(place: Place) -> None:
        from PIL import Image

        Image.new("L", size, 255).save(place.root / name)

    return make


def bomb(place: Place) -> None:
    """A PNG of a few bytes that announces 60,000 x 60,000 pixels."""
    import struct
    import zlib

    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 0, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(bytes(60_001)))
    place.write("seven.png", b"\x89PNG\r\n\x1a\n" + head + body + chunk(b"IEND", b""))


def other_loss(place: Place) -> None:
    """A finished run of line:plain is there whose loss has another formula."""
    place.settings("line:decayed@0", loss_definition={"line": "mean |y - ŷ|"})


def bigger_net(place: Place) -> None:
    """The recipe now makes another network than the run's."""
    place.recipe("torch.nn.Linear(1, 1)", "torch.nn.Linear(1, 2)")


def busy(place: Place) -> None:
    """A run that this very process trains."""
    place.settings("line:plain@0", status="running")


def in_second_epoch(code: str) -> Callable[[Place], None]:
    """The recipe's loss does something in the second epoch."""

    def make(place: Place) -> None:
        place.recipe('if settings.fault == "nan" and next(steps) >= 2:', "if batch.epoch == 2:")
        place.recipe('error = error * float("nan")', code)

    return make


def python(call: Callable[[], Any]) -> Callable[[Place], int]:
    """A call from Python; prints the error as Python would, on its last lines."""

    def make(place: Place) -> int:
        from epochal.errors import EpochalError

        try:
            call()
        except EpochalError as problem:
            print(f"{type(problem).__module__}.{type(problem).__name__}: {problem}")
            return problem.exit_code
        return 0

    return make


def go(words: Sequence[str], change: Callable[[Any, Path], Around]) -> Callable[[Place], int]:
    """A call of go.py, on a machine that lacks something."""

    def make(place: Place) -> int:
        spec = importlib.util.spec_from_file_location("go", ROOT / "go.py")
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules["go"] = module
        spec.loader.exec_module(module)
        module.ROOT, module.ENV = place.root, place.root / ".epochal-env"
        for name in ("pyproject.toml", "constraints.txt"):
            shutil.copy(ROOT / name, place.root / name)
        with contextlib.ExitStack() as stack:
            around = change(module, place.root)
            if around is not None:
                stack.enter_context(around)
            return int(module.main([*words]))

    return make


def old_python(module: Any, root: Path) -> Around:
    """Python 3.9, and no other."""
    stack = contextlib.ExitStack()
    stack.enter_context(mock.patch.object(sys, "version_info", (3, 9, 2)))
    stack.enter_context(mock.patch("platform.python_version", lambda: "3.9.2"))
    stack.enter_context(mock.patch("platform.system", lambda: "Linux"))
    stack.enter_context(mock.patch("shutil.which", lambda name: None))
    stack.enter_context(mock.patch.object(sys, "executable", "/usr/bin/python3"))
    return stack


def full_disk(module: Any, root: Path) -> Around:
    """Half a gigabyte is left."""
    stack = contextlib.ExitStack()
    usage = mock.Mock(free=0.5e9)
    stack.enter_context(mock.patch("shutil.disk_usage", lambda path: usage))
    stack.enter_context(mock.patch("platform.python_version", lambda: "3.12.4"))
    return stack


def failing_step(output: str, status: int = 1) -> Callable[[Any, Path], Around]:
    """pip and venv fail, with this in their output."""

    def run(steps: Any, title: str, command: Sequence[str], environ: Any) -> int:
        with open(steps.log, "ab") as log:
            log.write(output.encode())
        print(f"  {title} ... 2.1 s  (failed)")
        return status

    def change(module: Any, root: Path) -> Around:
        stack = contextlib.ExitStack()
        stack.enter_context(mock.patch.object(module.Steps, "run", run))
        stack.enter_context(mock.patch("shutil.disk_usage", lambda path: mock.Mock(free=50e9)))
        stack.enter_context(mock.patch("platform.python_version", lambda: "3.12.4"))
        return stack

    return change


def environment(name: str, value: str) -> Callable[[Any, Path], Around]:
    """A variable that go.py reads."""

    def change(module: Any, root: Path) -> Around:
        stack = contextlib.ExitStack()
        stack.enter_context(mock.patch.dict(os.environ, {name: value}))
        stack.enter_context(mock.patch("platform.python_version", lambda: "3.12.4"))
        return stack

    return change


def unwritable(module: Any, root: Path) -> Around:
    """A folder that belongs to somebody else."""

    def refuse(*_: Any, **__: Any) -> Any:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    return mock.patch.object(Path, "mkdir", refuse)


# --- the table ----------------------------------------------------------------------------------------------


def _command_line() -> Iterator[Case]:
    area = "Command line"
    yield Case(area, "A verb with a typo", ["rnu", "cvae-digits"], "Did you mean run")
    yield Case(area, "A verb that does not exist", ["frobnicate"], "Verbs: list, run")
    yield Case(area, "A recipe with a typo", ["run", "cvae-digit"], "Did you mean cvae-digits")
    yield Case(area, "A recipe that does not exist", ["log", "transformer"], "Recipes: ")
    yield Case(area, "A version with a typo", ["run", "cvae-digits", "modle-2"], "Did you mean model-2")
    yield Case(area, "A version that does not exist", ["run", "cvae-digits", "best"], "Versions: model-1")
    yield Case(area, "No recipe", ["run"], "Name the recipe")
    yield Case(area, "No run", ["fork"], "Name the run")
    yield Case(area, "No run to show", ["show"], "show: ")
    yield Case(area, "Nothing to draw with", ["generate"], "Name the run")
    yield Case(area, "One word too many", ["run", "cvae-digits", "model-1", "model-2"], "model-2")
    yield Case(area, "An option with a typo", ["list", "--al"], "Did you mean --all")
    yield Case(
        area, "An option with a typo, beside settings", ["run", "cvae-digits", "--sead", "3"], "--seed"
    )
    yield Case(area, "An option without its value", ["run", "cvae-digits", "--seed"], "--seed")
    yield Case(area, "An option's value is another option", ["show", "last", "--lab", "--json"], "--lab")
    yield Case(
        area,
        "A word where a number belongs",
        ["run", "cvae-digits", "--seed", "three"],
        "must be a whole number",
    )
    yield Case(area, "A negative seed", ["run", "cvae-digits", "--seed", "-1"], "from 0 to")
    yield Case(area, "A seed beyond all bounds", ["run", "cvae-digits", "--seed", "9" * 30], "from 0 to")
    yield Case(area, "Too many seeds", ["run", "cvae-digits", "--seeds", "1000000000"], "from 1 to")
    yield Case(area, "No seeds", ["run", "cvae-digits", "--seeds", "0"], "from 1 to")
    yield Case(area, "An unknown device", ["run", "cvae-digits", "--device", "gpu"], "unknown device")
    yield Case(
        area, "A device that is not there", ["run", "cvae-digits", "--device", "cuda:99"], "not present"
    )
    yield Case(area, "An unknown precision", ["run", "cvae-digits", "--precision", "float16"], "bfloat16")
    yield Case(area, "A choice that is none", ["evaluate", "last", "--checkpoint", "first"], "first")
    yield Case(area, "An unknown split", ["evaluate", "cvae-digits:model-4@0", "--split", "tset"], "tset")
    yield Case(
        area, "A name with a line break", ["run", "cvae-digits", "--name", "a\nb"], "no name for a run"
    )
    yield Case(
        area, "A name that could not be found again", ["fork", "line:plain@0", "--name", "a:b"], "no : @"
    )
    yield Case(area, "The same with --json", ["show", "nothing", "--json"], '"exit_code": 2')


def _surroundings() -> Iterator[Case]:
    area = "Surroundings"
    yield Case(
        area, "An empty name for the lab", ["list", "--lab", ""], "empty name", advice="Is the variable set?"
    )
    yield Case(
        area,
        "The folder was deleted",
        ["list"],
        "The folder you are in was deleted",
        before="Another window deleted the folder in which this one works",
        prepare=lambda place: shutil.rmtree(place.root),
    )
    yield Case(
        area,
        "No space for the answer",
        ["list"],
        "No space left on device",
        1,
        before="The answer goes to a file on a full disk",
        prepare=lambda place: mock.patch("epochal.cli.listing.print_table", _full),
    )
    yield Case(area, "A name that is a novel", ["run", "cvae-digits", "--name", "x" * 500], "too long")


def _full(*_: Any, **__: Any) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _settings() -> Iterator[Case]:
    area = "Settings"
    run = ["run", "cvae-digits", "model-4"]
    yield Case(area, "A setting with a typo", [*run, "--loss.gray-weight", "0.1"], "loss.grey_weight")
    yield Case(area, "A setting without its group", [*run, "--lr", "1e-3"], "optim.lr")
    yield Case(area, "A group instead of a setting", [*run, "--data", "mnist"], "data.source")
    yield Case(area, "A setting without a value", [*run, "--epochs"], "needs a value")
    yield Case(area, "A setting whose value is missing", [*run, "--epochs", "--quiet"], "needs a value")
    yield Case(area, "A word where a number belongs", [*run, "--epochs", "many"], "whole number")
    yield Case(area, "A fraction where a whole number belongs", [*run, "--epochs", "1.5"], "whole number")
    yield Case(area, "Out of range", [*run, "--epochs", "0"], ">= 1")
    yield Case(area, "A negative number", [*run, "--optim.lr", "-1e-3"], "optim.lr")
    yield Case(area, "NaN", [*run, "--optim.lr", "nan"], "not finite")
    yield Case(area, "Infinity", [*run, "--loss.grey-weight=inf"], "not finite")
    yield Case(area, "A number too large", [*run, "--optim.lr", "1e999"], "not finite")
    yield Case(area, "Two values", [*run, "--epochs", "1", "2"], "2")
    yield Case(area, "No items", [*run, "--data.limit", "0"], ">= 1")
    yield Case(
        area,
        "From Python: ill-typed",
        call=python(lambda: _api().run("cvae-digits", patch={"epochs": "many"})),
        shown='>>> epochal.run("cvae-digits", patch={"epochs": "many"})',
        says="whole number",
    )
    yield Case(
        area,
        "From Python: a typo",
        call=python(lambda: _api().fork("last", {"loss.wieght": 0.1})),
        shown='>>> epochal.fork("last", {"loss.wieght": 0.1})',
        says="loss.weight",
    )


def _settings_files() -> Iterator[Case]:
    area = "Settings files"
    run = ["run", "cvae-digits", "--settings", "my.toml"]
    file = "my.toml"
    yield Case(area, "The file is missing", run, "No such file")
    yield Case(
        area,
        "An unknown key",
        run,
        "loss.grey_weight",
        before="`my.toml` holds `loss.gray_weight = 0.1`",
        prepare=writes(file, "loss.gray_weight = 0.1\n"),
    )
    yield Case(
        area,
        "Ill-typed",
        run,
        "whole number",
        before='`my.toml` holds `epochs = "four"`',
        prepare=writes(file, 'epochs = "four"\n'),
    )
    yield Case(
        area,
        "Broken TOML",
        run,
        "not valid TOML",
        before="`my.toml` holds `epochs: 4`",
        prepare=writes(file, "epochs: 4\n"),
    )
    yield Case(
        area,
        "A date",
        run,
        "epochs",
        before="`my.toml` holds `epochs = 2026-01-01`",
        prepare=writes(file, "epochs = 2026-01-01\n"),
    )
    yield Case(
        area,
        "Tables in a list",
        run,
        "loss",
        before="`my.toml` holds `[[loss]]`",
        prepare=writes(file, "[[loss]]\ngrey_weight = 1\n"),
    )
    yield Case(
        area,
        "A value where a group belongs",
        run,
        "loss",
        before="`my.toml` holds `loss = 3`",
        prepare=writes(file, "loss = 3\n"),
    )
    yield Case(
        area,
        "Not a text file",
        run,
        "not a text file",
        before="`my.toml` is a picture",
        prepare=writes(file, b"\x89PNG\r\n\x1a\n\xff"),
    )
    yield Case(
        area,
        "A huge file",
        run,
        "over 16,777,216 bytes",
        before="`my.toml` has 20 million bytes",
        prepare=writes(file, b"# a comment\n" * 1_700_000),
    )
    yield Case(
        area,
        "A folder that is no run",
        ["run", "cvae-digits", "--settings", "."],
        "run.json",
    )
    yield Case(
        area,
        "A run of another recipe",
        ["run", "cvae-digits", "--settings", "other"],
        "other: There is no setting 'loss.weight'",
        before="`other` is a run of the recipe `line`",
        prepare=lambda place: void(shutil.copytree(place.find("line:plain@0").path, place.root / "other")),
    )
    yield Case(
        area,
        "JSON that is none",
        ["run", "cvae-digits", "--settings", "run.json"],
        "is not JSON",
        1,
        before="`run.json` is cut off",
        prepare=writes("run.json", '{"settings": {'),
    )


def _data() -> Iterator[Case]:
    area = "Data"
    run = ["run", "cvae-digits", "--data.source", "mnist", "--data.dir", "data"]

    def case(
        title: str, says: str, before: str, prepare: Callable[[Place], Around] | None, **more: Any
    ) -> Case:
        return Case(area, title, run, says, 1, before, prepare, trains=True, **more)

    yield Case(area, "A source with a typo", ["run", "cvae-digits", "--data.source", "mnits"], "mnist")
    yield Case(area, "A folder that does not exist", run, "does not exist", trains=True)
    yield Case(
        area,
        "A file instead of a folder",
        run,
        "no folder",
        before="`data` is a file",
        prepare=writes("data", "x"),
        trains=True,
    )
    yield Case(
        area,
        "A folder without the data",
        ["run", "cvae-digits", "--data.dir", "data"],
        "no mnist was found",
        before="`data` is empty",
        prepare=lambda place: void((place.root / "data").mkdir()),
        trains=True,
    )
    yield Case(
        area,
        "EPOCHAL_DATA names nothing",
        ["run", "cvae-digits"],
        "EPOCHAL_DATA",
        before="`EPOCHAL_DATA=/nowhere`",
        prepare=variable("EPOCHAL_DATA", "/nowhere"),
        trains=True,
    )
    yield case("A file that is cut off", "damaged", "`data/mnist.npz` is the first half of a real one", _half)
    yield case("Garbage", "mnist.npz", "`data/mnist.npz` is a web page", writes("data/mnist.npz", "<html>\n"))
    yield case("An empty file", "mnist.npz", "`data/mnist.npz` has no bytes", writes("data/mnist.npz", b""))
    yield case(
        "A pickle",
        "no .npz file",
        "`data/mnist.npz` is a pickle that would run a command",
        lambda place: void(place.write("data/mnist.npz", pickle.dumps(Evil()))),
    )
    yield case(
        "Pickled arrays",
        "no .npz file",
        "`data/mnist.npz` holds arrays of Python objects",
        npz("data/mnist.npz", lambda: {"x_train": [object()], "y_train": [0]}),
    )
    yield case(
        "Another key",
        "lacks the array",
        "`data/mnist.npz` holds `images`",
        npz("data/mnist.npz", lambda: {"images": [0]}),
    )
    yield case(
        "Pictures of another kind",
        "float32",
        "`data/mnist.npz` holds pictures of float32",
        npz("data/mnist.npz", lambda: digits(2, dtype="float32")),
    )
    yield case(
        "Too few items",
        "not 60,000",
        "`data/mnist.npz` holds two digits",
        npz("data/mnist.npz", lambda: digits(2)),
    )
    yield case(
        "The right size, other content",
        "SHA-256",
        "`data/mnist.npz` holds 60,000 black pictures",
        npz("data/mnist.npz", lambda: digits(60_000, test=10_000)),
    )
    yield case(
        "A download that was cut off", "cannot be read", "the files in `data/mnist` are cut off", idx_files
    )
    yield Case(
        area,
        "No network",
        ["data", "fetch", "mnist"],
        "could not be downloaded",
        1,
        before="The mirrors cannot be reached",
        prepare=offline,
    )
    yield Case(
        area,
        "A download to a folder that cannot be written",
        ["data", "fetch", "mnist", "--dir", "lab"],
        "cannot be written",
        1,
        before="The folder is on a read-only disk",
        prepare=failing(errno.EROFS, "mkdir"),
    )
    yield Case(area, "Nothing to fetch", ["data", "fetch"], "Name the source")
    yield Case(area, "An unknown source", ["data", "fetch", "imagenet"], "Sources: ")
    yield Case(area, "Not there", ["data", "verify", "fashion-mnist"], "epochal data fetch", 1)


def _half(place: Place) -> None:
    npz("data/mnist.npz", lambda: digits(1000))(place)
    path = place.root / "data" / "mnist.npz"
    path.write_bytes(path.read_bytes()[:5000])


def _recipes() -> Iterator[Case]:
    area = "Recipes of one's own"
    run = ["run", "./my_recipe.py"]
    top = "from __future__ import annotations\n"
    yield Case(area, "The file is missing", ["run", "./mine.py"], "no recipe file")
    yield Case(area, "The file without its path", ["run", "my_recipe"], "./my_recipe.py")
    yield Case(area, "A folder", ["run", "./lab"], "lab")
    yield Case(
        area,
        "The file raises",
        run,
        "line 4: ZeroDivisionError",
        before="Its fourth line divides by zero",
        prepare=recipe_with(top, f"{top}x = 1 / 0\n"),
    )
    yield Case(
        area,
        "A syntax error",
        run,
        "SyntaxError",
        before="A bracket is missing",
        prepare=recipe_with(top, f"{top}x = (1\n"),
    )
    yield Case(
        area,
        "A package is missing",
        run,
        "ModuleNotFoundError",
        before="It imports `torchgan`",
        prepare=recipe_with(top, f"{top}import torchgan\n"),
    )
    yield Case(
        area,
        "No RECIPE",
        run,
        "no RECIPE",
        before="It says `recipe = Recipe(…)`",
        prepare=recipe_with("RECIPE = Recipe(", "recipe = Recipe("),
    )
    yield Case(
        area,
        "A RECIPE that is none",
        run,
        "of type dict",
        before="It ends with `RECIPE = {}`",
        prepare=recipe_with("RECIPE = Recipe(", "RECIPE = {}\nother = Recipe("),
    )
    yield Case(
        area,
        "No versions",
        run,
        "not complete",
        before="Its `versions` are empty",
        prepare=recipe_with("    versions=(", "    versions=() and ("),
    )
    yield Case(
        area,
        "A parent that is no version",
        [*run, "decayed"],
        "no version of it",
        1,
        before='A version says `parent="plian"`',
        prepare=recipe_with('parent="plain"', 'parent="plian"'),
    )
    yield Case(
        area,
        "A version that sets an unknown setting",
        [*run, "decayed"],
        "loss.weight",
        before='A version says `patch={"loss.wieght": 0.1}`',
        prepare=recipe_with('"loss.weight": 0.1', '"loss.wieght": 0.1'),
    )
    yield Case(
        area,
        "A setting of an impossible type",
        run,
        "has a type that settings cannot have",
        1,
        before="It says `fault: dict[str, int]`",
        prepare=recipe_with("fault: str", "fault: dict[str, int]"),
    )
    yield Case(
        area,
        "`build` fails",
        [*run, "--fault", "build"],
        "in build",
        1,
        trains=True,
        before="Its `build` raises an OSError",
    )
    yield Case(
        area,
        "`nets` fails",
        run,
        "in nets",
        1,
        before="Its `nets` divides by zero",
        trains=True,
        prepare=recipe_with("torch.nn.Linear(1, 1)", "torch.nn.Linear(1 // 0, 1)"),
    )
    yield Case(
        area,
        "No items",
        run,
        "no training items",
        1,
        before="Its `build` gives no training items",
        trains=True,
        prepare=recipe_with("[: settings.data.limit, None]", "[:0, None]"),
    )
    yield Case(
        area,
        "Columns of different length",
        run,
        "differ in length (x 64, y 63)",
        1,
        before="`y` has one item less than `x`",
        trains=True,
        prepare=recipe_with('"y": 2 * x}', '"y": 2 * x[1:]}'),
    )
    yield Case(
        area,
        "A phase that trains an unknown net",
        run,
        "the network 'lime'",
        1,
        trains=True,
        before='A phase says `trains=("lime",)`',
        prepare=recipe_with('("line",),', '("lime",),'),
    )
    yield Case(
        area,
        "A loss that is no scalar",
        run,
        "scalar",
        1,
        trains=True,
        before="Its loss forgets `.mean()`",
        prepare=recipe_with(".square().mean()", ".square()"),
        recipes_fault=True,
    )
    yield Case(
        area,
        "Nothing to draw",
        ["generate", "line:plain@0"],
        "generates nothing",
        before="The recipe has no `generate`",
        prepare=recipe_with("    generate=generate,\n    request=Request,\n", ""),
    )
    yield Case(
        area,
        "Nothing to measure",
        ["evaluate", "line:plain@0"],
        "evaluating",
        before="The recipe has no `evaluate`",
        prepare=recipe_with("    evaluate=evaluate,\n", ""),
    )


def _references() -> Iterator[Case]:
    area = "Naming a run"
    yield Case(area, "No such run", ["show", "2031"], "no run fits")
    yield Case(area, "A typo", ["show", "line:plian@0"], "Did you mean line:plain@0")
    yield Case(area, "A beginning that fits several", ["show", "20"], "fits 3 runs")
    yield Case(area, "A seed that was not trained", ["show", "line:plain@7"], "line:plain@0")
    yield Case(area, "No runs yet", ["show", "last", "--lab", "empty"], "there are no runs")
    yield Case(area, "An empty name", ["show", ""], "names no run")
    yield Case(area, "A folder that is no run", ["show", "./lab"], "no run.json")
    yield Case(area, "A folder that does not exist", ["show", "../../etc/nothing/"], "no run.json")
    yield Case(
        area,
        "A run.json that is cut off",
        ["show", "lab/spoilt"],
        "is not JSON",
        1,
        before="`lab/spoilt/run.json` is cut off",
        prepare=writes("lab/spoilt/run.json", '{"id": "x", "recipe": "li'),
    )
    yield Case(
        area,
        "A field of another kind",
        ["show", "./lab/spoilt"],
        "must be int",
        1,
        before='Somebody wrote `"seed": "zero"` into its run.json',
        prepare=lambda place: _spoil(place, {"seed": "zero"}),
    )
    yield Case(
        area,
        "A run.json of a newer Epochal",
        ["show", "./lab/spoilt"],
        "newer Epochal",
        1,
        before='Its run.json says `"format": 9`',
        prepare=lambda place: _spoil(place, {"format": 9}),
    )
    yield Case(
        area,
        "Control characters in a name",
        ["show", "./lab/spoilt"],
        "control characters",
        1,
        before="Its run.json has a name that would clear the terminal",
        prepare=lambda place: _spoil(place, {"name": "\x1b[2J"}),
    )
    yield Case(
        area,
        "A run.json that is no file",
        ["show", "./lab/spoilt"],
        "run.json",
        before="It is a folder",
        prepare=lambda place: (place.root / "lab/spoilt/run.json").mkdir(parents=True),
    )
    yield Case(
        area,
        "Somebody else's recipe",
        ["evaluate", "lab/theirs"],
        "was never run here",
        before="`lab/theirs` was copied from another machine, where `/home/them/their.py` made it",
        prepare=lambda place: _spoil(place, {"recipe_file": "/home/them/their.py"}, "theirs"),
    )
    yield Case(
        area,
        "The recipe file is gone",
        ["evaluate", "line:plain@0"],
        "no longer there",
        before="`my_recipe.py` was deleted",
        prepare=lambda place: (place.root / "my_recipe.py").unlink(),
    )
    yield Case(
        area,
        "Another recipe's file",
        ["evaluate", "cvae-digits:model-4@0", "--recipe", "./my_recipe.py"],
        "is of the recipe cvae-digits",
    )
    yield Case(
        area,
        "Settings that the recipe no longer has",
        ["evaluate", "line:plain@0"],
        "no longer takes the settings",
        2,
        before="The recipe's setting `lr` is now called `rate`",
        prepare=lambda place: (
            place.recipe("    lr: A", "    rate: A"),
            place.recipe("lr=settings.lr", "lr=settings.rate"),
            None,
        )[-1],
    )


def _spoil(place: Place, changes: dict[str, Any], name: str = "spoilt") -> None:
    shutil.copytree(place.find("line:plain@0").path, place.root / "lab" / name)
    path = place.root / "lab" / name / "run.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _training() -> Iterator[Case]:
    area = "Running and resuming"
    run = ["run", "./my_recipe.py"]
    yield Case(area, "A finished run", ["resume", "line:plain@0"], "--epochs 3")
    yield Case(area, "Fewer epochs than it has", ["resume", "line:plain@0", "--epochs", "1"], "is the total")
    yield Case(
        area,
        "All its steps are done",
        ["resume", "last"],
        "has done all its 3 steps",
        before="It was trained with `--steps 3`",
        prepare=lambda place: void(place.epochal(*run, "plain", "--steps", "3", *FAST)),
    )
    yield Case(
        area,
        "A run that is being trained",
        ["resume", "line:plain@0", "--epochs", "5"],
        "being trained",
        1,
        before="Another window trains it",
        prepare=busy,
    )
    yield Case(area, "A fork that changes nothing", ["fork", "line:plain@0"], "would change nothing")
    yield Case(
        area,
        "A warm start from another network",
        ["fork", "line:plain@0", "--warm-start", "--epochs", "1"],
        "cannot start from the weights",
        1,
        before="The recipe's layer has two outputs now",
        prepare=bigger_net,
        trains=True,
    )
    yield Case(area, "A lab that is a file", [*run, "--lab", "my_recipe.py"], "is a file", trains=True)
    yield Case(area, "A lab inside a file", [*run, "--lab", "my_recipe.py/lab"], "lab", 1, trains=True)
    yield Case(
        area,
        "A lab that may not be written",
        [*run, "--lab", "new"],
        "read-only",
        1,
        before="The disk is mounted read-only",
        prepare=failing(errno.EROFS, "mkdir"),
        trains=True,
    )
    yield Case(
        area,
        "The disk is full at the start",
        run,
        "no space is left",
        1,
        prepare=failing(errno.ENOSPC),
        trains=True,
        before="Not a byte is free",
    )
    yield Case(
        area,
        "The disk is full at a checkpoint",
        run,
        "no space is left",
        1,
        prepare=lambda place: full_at_checkpoint(),
        trains=True,
        before="A few kilobytes are free",
        advice="The run is kept: `epochal resume` goes on when there is room.",
    )
    nan = in_second_epoch('error = error * float("nan")')
    yield Case(
        area,
        "The loss is no longer a number",
        run,
        "no longer a number",
        1,
        trains=True,
        prepare=nan,
        before="Its loss is NaN in the second epoch",
    )
    yield Case(area, "The loss diverges", [*run, "--lr", "1e9"], "diverged", 1, trains=True)
    yield Case(
        area,
        "One of several seeds fails",
        [*run, "--seeds", "3"],
        "Seeds not started: 1, 2",
        1,
        trains=True,
        before="Its loss is NaN in the second epoch",
        prepare=nan,
    )
    yield Case(
        area,
        "Ctrl-C",
        run,
        "epochal resume",
        1,
        trains=True,
        before="The user presses Ctrl-C in the second epoch",
        prepare=in_second_epoch("import os, signal; os.kill(os.getpid(), signal.SIGINT)"),
        advice="A second Ctrl-C stops at once; what was done since the last checkpoint is then done again.",
    )
    yield Case(
        area,
        "EPOCHAL_CHECKPOINT_S is no number",
        run,
        "EPOCHAL_CHECKPOINT_S",
        trains=True,
        before="`EPOCHAL_CHECKPOINT_S=often`",
        prepare=variable("EPOCHAL_CHECKPOINT_S", "often"),
    )
    yield Case(area, "An empty remark", ["note", "last", "  "], "empty")


def _checkpoints() -> Iterator[Case]:
    area = "Checkpoints"
    evaluate = ["evaluate", "line:plain@0"]

    def bytes_(content: bytes | None) -> Callable[[Place], None]:
        return lambda place: place.replace_checkpoint("line:plain@0", content)

    yield Case(
        area,
        "None",
        evaluate,
        "no checkpoint",
        1,
        before="Its checkpoints were deleted",
        prepare=bytes_(None),
    )
    yield Case(
        area, "Cut off", evaluate, "cannot be read", 1, before="Half of the file is missing", prepare=_cut
    )
    yield Case(area, "Empty", evaluate, "cannot be read", 1, before="It has no bytes", prepare=bytes_(b""))
    yield Case(
        area,
        "Garbage",
        evaluate,
        "cannot be read",
        1,
        before="It is a web page",
        prepare=bytes_(b"<html>not found</html>" * 9),
    )
    yield Case(
        area,
        "A pickle",
        evaluate,
        "cannot be read",
        1,
        before="It is a pickle that would run a command",
        prepare=bytes_(pickle.dumps(Evil())),
    )
    yield Case(
        area,
        "A safetensors file of another program",
        evaluate,
        "cannot be read",
        1,
        before="It has no state of Epochal's",
        prepare=_foreign,
    )
    yield Case(
        area,
        "It does not fit",
        evaluate,
        "does not fit",
        1,
        prepare=bigger_net,
        before="The recipe's layer has two outputs now",
    )
    yield Case(
        area,
        "It does not fit, on resuming",
        ["resume", "line:plain@0", "--epochs", "3"],
        "does not fit",
        1,
        before="The recipe's layer has two outputs now",
        prepare=bigger_net,
        trains=True,
    )
    yield Case(
        area,
        "Damaged, on resuming",
        ["resume", "line:plain@0", "--epochs", "3"],
        "cannot be read",
        1,
        before="Half of the file is missing",
        prepare=_cut,
        trains=True,
    )


def _cut(place: Place) -> None:
    for path in place.find("line:plain@0").checkpoints_dir.glob("*.safetensors"):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _foreign(place: Place) -> None:
    import torch
    from safetensors.torch import save

    place.replace_checkpoint("line:plain@0", save({"w": torch.zeros(2)}))


def _generate() -> Iterator[Case]:
    area = "Generate and style"
    draw = ["generate", "cvae-digits:model-4@0"]
    style = [*draw, "--style", "seven.png"]
    yield Case(area, "Something that the recipe cannot draw", [*draw, "--letter", "a"], "--letter")
    yield Case(area, "A digit that is none", [*draw, "--digit", "12"], "from 0 to 9")
    yield Case(area, "Too thick", [*draw, "--thickness", "2"], "from -1 to 1")
    yield Case(area, "Too many", [*draw, "--n", "1000000"], "from 1 to 10000")
    yield Case(area, "A negative seed", [*draw, "--seed", "-3"], ">= 0")
    yield Case(area, "No folder for the picture", [*draw, "-o", "pictures/seven.png"], "no folder")
    yield Case(area, "A folder instead of a picture", [*draw, "-o", "lab"], "no name for a picture")
    yield Case(area, "Another kind of file", [*draw, "-o", "seven.mp3"], "PNG")
    yield Case(
        area,
        "No space for the picture",
        [*draw, "-o", "seven.png"],
        "no space is left",
        1,
        before="The disk is full",
        prepare=lambda place: _full_pictures(),
    )
    yield Case(area, "The drawing is missing", style, "There is no picture")
    yield Case(
        area,
        "The drawing is blank",
        style,
        "Nothing is drawn",
        prepare=picture("seven.png"),
        before="`seven.png` is all white",
    )
    yield Case(
        area,
        "The drawing is no picture",
        style,
        "cannot be read as a picture",
        before="`seven.png` is a text",
        prepare=writes("seven.png", "a seven"),
    )
    yield Case(
        area,
        "The drawing is cut off",
        style,
        "cannot be read as a picture",
        before="The second half of `seven.png` is missing",
        prepare=_cut_picture,
    )
    yield Case(
        area,
        "The drawing is a folder",
        [*draw, "--style", "lab"],
        "lab",
    )
    yield Case(
        area,
        "The drawing is a bomb",
        style,
        "seven.png",
        prepare=bomb,
        before="`seven.png` announces 60,000 x 60,000 pixels",
    )


@contextlib.contextmanager
def _full_pictures() -> Iterator[None]:
    def refuse(*_: Any, **__: Any) -> Any:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with mock.patch("os.fsync", refuse):
        yield


def _cut_picture(place: Place) -> None:
    from PIL import Image

    Image.effect_noise((200, 200), 50).save(place.root / "seven.png")
    path = place.root / "seven.png"
    path.write_bytes(path.read_bytes()[:9000])


def _compare() -> Iterator[Case]:
    area = "Compare"
    yield Case(area, "A typo", ["compare", "plain", "decayde"], "decayed")
    yield Case(
        area,
        "No run is finished",
        ["compare", "plain", "decayed"],
        "No run of decayed is finished",
        before="The one run of `decayed` was stopped",
        prepare=lambda place: place.settings("line:decayed@0", status="stopped"),
    )
    yield Case(
        area,
        "A version of several recipes",
        ["compare", "plain", "decayed"],
        "several recipes",
        before="Two recipes have a version `plain`",
        prepare=_spoil_plain,
    )
    yield Case(area, "One side only", ["compare", "plain"], "compare: ")
    yield Case(area, "The same twice", ["compare", "plain", "line:plain"], "A and B are the same")
    yield Case(
        area, "Of a recipe file without runs", ["compare", "plain", "./other.py:plain"], "NAME:VERSION"
    )
    yield Case(area, "Of an unknown recipe", ["compare", "plain", "decayed", "--recipe", "lime"], "lime")


def _spoil_plain(place: Place) -> None:
    run = place.find("line:plain@0")
    name = run.path.name.replace("line", "curve")
    _spoil(place, {"recipe": "curve", "id": name}, name)


def _log() -> Iterator[Case]:
    area = "Log"
    yield Case(area, "No runs", ["log", "digit-judge"], "there are no runs")
    yield Case(area, "An unknown language", ["log", "cvae-digits", "--lang", "de"], "de")
    yield Case(area, "No folder for the log", ["log", "cvae-digits", "-o", "logs/mine.md"], "no folder")
    yield Case(area, "A folder instead of a file", ["log", "cvae-digits", "-o", "lab"], "is a folder")
    yield Case(
        area,
        "A file that is no log",
        ["log", "cvae-digits", "-o", "thesis.md"],
        "was not written by",
        before="`thesis.md` is the user's own",
        prepare=writes("thesis.md", "# My thesis\n"),
    )
    yield Case(
        area,
        "The disk is full",
        ["log", "cvae-digits"],
        "no space is left",
        1,
        prepare=failing(errno.ENOSPC),
        before="Not a byte is free",
    )


def _rm() -> Iterator[Case]:
    area = "Rm"
    yield Case(area, "Nothing named", ["rm"], "Name the runs")
    yield Case(area, "No such run", ["rm", "2031", "--yes"], "no run fits")
    yield Case(
        area,
        "Nobody to ask",
        ["rm", "line:plain@0"],
        "nobody to ask",
        prepare=lambda place: mock.patch("sys.stdin", io.StringIO()),
    )
    yield Case(
        area,
        "A run that is being trained",
        ["rm", "line:plain@0", "--yes"],
        "being trained",
        1,
        before="Another window trains it",
        prepare=busy,
    )


def _bench() -> Iterator[Case]:
    area = "Bench"
    yield Case(area, "An unknown recipe", ["bench", "speed", "digit-judge"], "digit-judge")
    yield Case(area, "An unknown measurement", ["bench", "sped"], "sped")
    yield Case(area, "An unknown side", ["bench", "speed", "--sides", "plain,jax"], "jax")
    yield Case(
        area, "Without the side that all are compared with", ["bench", "speed", "--sides", "epochal"], "plain"
    )
    yield Case(area, "No steps", ["bench", "speed", "--steps", "0"], "0")
    yield Case(
        area,
        "Lightning is not installed",
        ["bench", "speed"],
        "lightning",
        1,
        prepare=hidden("lightning"),
        before="The extra is missing",
    )
    yield Case(
        area,
        "From Python: pandas is not installed",
        call=python(lambda: _api().runs().to_frame()),
        code=1,
        shown=">>> epochal.runs().to_frame()",
        says="pandas",
        prepare=hidden("pandas"),
        before="The extra is missing",
    )


def _go() -> Iterator[Case]:
    area = "go.py"

    def case(
        title: str, says: str, before: str, change: Callable[[Any, Path], Around], code: int = 1
    ) -> Case:
        return Case(
            area,
            title,
            says=says,
            code=code,
            before=before,
            call=go(["demo"], change),
            shown="$ python go.py demo",
        )

    no_network = (
        "WARNING: Retrying after connection broken by NewConnectionError\n"
        "ERROR: Could not find a version that satisfies the requirement numpy\n"
    )
    yield case("Python is too old", "3.11 or newer", "This is Python 3.9, the only one", old_python)
    yield case("The disk is nearly full", "0.5 GB are free", "Half a gigabyte is free", full_disk)
    yield case("No network", "cannot be reached", "The network is off", failing_step(no_network))
    yield case(
        "The disk fills up",
        "The disk is full",
        "Another program fills the disk meanwhile",
        failing_step("ERROR: [Errno 28] No space left on device\n"),
    )
    yield case(
        "venv is missing",
        "python3-venv",
        "A Debian without python3-venv",
        failing_step("Error: No module named ensurepip\n"),
    )
    yield case("No memory", "want of memory", "The system kills pip", failing_step("", -9))
    yield case("A folder that may not be written", "write", "The folder is somebody else's", unwritable)
    yield case(
        "EPOCHAL_TORCH_INDEX is neither",
        "Set it to off",
        "`EPOCHAL_TORCH_INDEX=cpu`",
        environment("EPOCHAL_TORCH_INDEX", "cpu"),
    )


def _api() -> Any:
    import epochal

    return epochal


CASES: tuple[Case, ...] = (
    *_command_line(),
    *_surroundings(),
    *_settings(),
    *_settings_files(),
    *_data(),
    *_recipes(),
    *_references(),
    *_training(),
    *_checkpoints(),
    *_generate(),
    *_compare(),
    *_log(),
    *_rm(),
    *_bench(),
    *_go(),
)
