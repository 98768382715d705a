"""Mistakes with classifiers, segmentation, NumPy networks, fleets and devices; see `error_cases.py`."""

from __future__ import annotations

import io
import pickle
import tarfile
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from unittest import mock

from error_cases import Around, Case, Evil, Place, npz, offline, void, writes

ARCHIVE = "data/cifar-10-python.tar.gz"


def archive(members: Callable[[], dict[str, bytes]], cut: int | None = None) -> Callable[[Place], None]:
    """An archive with the published name is there, with these members; only its first bytes when `cut`."""

    def make(place: Place) -> None:
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w:gz") as file:
            for name, content in members().items():
                entry = tarfile.TarInfo(name)
                entry.size = len(content)
                file.addfile(entry, io.BytesIO(content))
        place.write(ARCHIVE, buffer.getvalue()[:cut])

    return make


def pictures(*, shape: Sequence[int] = (32, 32, 3), items: int = 50_000) -> dict[str, Any]:
    """Arrays of a cifar10.npz whose images are black."""
    import numpy as np

    return {
        "x_train": np.zeros((items, *shape), np.uint8),
        "y_train": np.zeros(items, np.uint8),
        "x_test": np.zeros((1_000, *shape), np.uint8),
        "y_test": np.zeros(1_000, np.uint8),
    }


def nuclei(place: Place) -> None:
    """Ten black pictures of nuclei."""
    import numpy as np

    black = np.zeros((10, 256, 256), np.uint8)
    npz("data/dsb2018_nuclei_256.npz", lambda: {"images": black, "instances": black})(place)


def voc(mask: str | None, *, colour: int | tuple[int, int, int] = 0) -> Callable[[Place], None]:
    """A folder of VOC2012 with one photograph and its mask of this mode; None: the mask was forgotten."""

    def make(place: Place) -> None:
        from PIL import Image

        root = place.root / "data" / "VOC2012"
        for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
            (root / folder).mkdir(parents=True)
        Image.new("RGB", (20, 20)).save(root / "JPEGImages" / "2007_000027.jpg")
        if mask is not None:
            Image.new(mask, (20, 20), colour).save(root / "SegmentationClass" / "2007_000027.png")
        for name in ("train.txt", "val.txt"):
            (root / "ImageSets" / "Segmentation" / name).write_text("2007_000027\n")

    return make


def untrained(recipe: str, version: str, **patch: Any) -> Callable[[Place], None]:
    """A finished run of the recipe is there whose weights are random."""

    def make(place: Place) -> None:
        from epochal import settings
        from epochal.journal import Lab
        from epochal.systems import recipes
        from epochal.training import checkpoint

        found = recipes.find(recipe)
        chosen = settings.apply(recipes.settings_of(found, version), patch)
        run = Lab(place.root / "lab").create_run(
            recipe=recipe,
            version=version,
            settings=settings.to_dict(chosen),
            status="finished",
            epochs_done=1,
        )
        weights = {
            f"weights/{name}.{key}": tensor
            for name, net in found.nets(chosen).items()
            for key, tensor in net.state_dict().items()
        }
        checkpoint.write(run.checkpoints_dir / "last.safetensors", weights, {"epoch": 1})

    return make


def both(*steps: Callable[[Place], Around]) -> Callable[[Place], None]:
    """Several things have happened."""

    def make(place: Place) -> None:
        for step in steps:
            step(place)

    return make


def blank_digits(place: Place) -> Around:
    """The drawn digits are there at once, all blank."""
    import numpy as np

    from epochal.systems.data import Dataset
    from epochal.systems.data.verbs import SOURCES

    splits = {
        split: {"images": np.zeros((items, 28, 28), np.uint8), "labels": np.zeros(items, np.uint8)}
        for split, items in (("train", 60_000), ("test", 100))
    }
    classes = tuple("0123456789")
    found = Dataset(name="glyphs", splits=splits, classes=classes, origin="drawn", sha256="", drawn=True)
    return mock.patch.object(type(SOURCES["glyphs"]), "load", lambda *_: found)


def fleet(place: Place) -> None:
    """Six XOR networks were trained for ten iterations."""
    place.epochal(
        *("run", "xor-mlp", "v1", "--seeds", "2", "--grid", "optim.lr=0.5,0.1,0.01", "--steps", "10"),
        *("--epochs", "1", "--quiet"),
    )


def _cifar10() -> Iterator[Case]:
    area = "CIFAR-10"
    run = ["run", "resnet18-cifar10", "--data.source", "cifar10", "--data.dir", "data"]

    def case(title: str, says: str, before: str, prepare: Callable[[Place], Around], **more: Any) -> Case:
        return Case(area, title, run, says, 1, before, prepare, trains=True, **more)

    yield case(
        "Some files are missing",
        "cifar10_train_2.npz",
        "`data` holds the first training file alone",
        npz("data/cifar10_train_1.npz", lambda: {"images": [0], "labels": [0]}),
    )
    yield case(
        "An archive that is cut off",
        "damaged",
        "`data/cifar-10-python.tar.gz` is the beginning of a real one",
        archive(lambda: {"cifar-10-batches-py/data_batch_1": bytes(100_000)}, cut=60),
    )
    yield case(
        "An archive with other files",
        "lacks",
        "`data/cifar-10-python.tar.gz` holds a text",
        archive(lambda: {"readme.txt": b"hello"}),
    )
    yield case(
        "An archive that would run a command",
        "nothing in it was executed",
        "its first batch is a pickle that would write a file",
        archive(lambda: {"cifar-10-batches-py/data_batch_1": pickle.dumps(Evil(), protocol=2)}),
        advice="Batches are read instruction by instruction; Python's own reader of pickles is never called.",
    )
    yield case(
        "An archive that leads elsewhere",
        "leads out of the archive",
        "it has a member `../../.bashrc`",
        archive(lambda: {"../../.bashrc": b"echo owned"}),
    )
    yield case(
        "A web page in place of the archive",
        "damaged",
        f"`{ARCHIVE}` is a web page",
        writes(ARCHIVE, "<html>\n"),
    )
    yield case(
        "Images of another size",
        "(n, 32, 32, 3) is expected",
        "`data/cifar10.npz` holds images of 64x64",
        npz("data/cifar10.npz", lambda: pictures(shape=(64, 64, 3), items=5)),
    )
    yield case(
        "Fewer images",
        "not 50,000 of each",
        "`data/cifar10.npz` holds 10 training images",
        npz("data/cifar10.npz", lambda: pictures(items=10)),
    )
    yield case(
        "The right number, other images",
        "SHA-256",
        "`data/cifar10.npz` holds 50,000 black images",
        npz("data/cifar10.npz", pictures),
    )
    yield Case(
        area,
        "Nothing to download from",
        ["data", "fetch", "cifar10"],
        "could not be downloaded",
        1,
        "The publisher cannot be reached",
        offline,
    )


def _classifiers() -> Iterator[Case]:
    area = "Classifiers"
    yield Case(
        area,
        "Images of another kind",
        ["run", "vgg16-cifar10", "--data.source", "mnist"],
        "32x32 colour images",
        trains=True,
    )
    yield Case(
        area,
        "Colour for a reader of digits",
        ["run", "cnn-digits", "--data.source", "cifar10"],
        "28x28",
        trains=True,
    )
    yield Case(
        area,
        "All training images held out",
        ["run", "cnn-digits", "--data.source", "glyphs", "--data.hold-out", "60000"],
        "Hold out at most 59,999",
        prepare=blank_digits,
        trains=True,
    )
    yield Case(
        area,
        "A negative number of them",
        ["run", "cnn-digits", "--data.hold-out", "-1"],
        "whole number >= 0",
        trains=True,
    )
    yield Case(
        area,
        "A structure that does not exist",
        ["run", "resnet50-cifar10", "--net.variant", "logged"],
        "one of log, standard",
        trains=True,
    )
    yield Case(
        area,
        "Measured on images that were not held out",
        ["evaluate", "cnn-digits:v1", "--split", "validation"],
        "held no training images out",
        before="A run with `--data.hold-out 0`",
        prepare=_evaluated,
    )
    yield Case(
        area,
        "A classifier asked to draw",
        ["generate", "cnn-digits:v1"],
        "generates nothing",
        before="There is a run of cnn-digits",
        prepare=untrained("cnn-digits", "v1"),
    )


def _evaluated(place: Place) -> Around:
    untrained("cnn-digits", "v1", **{"data.hold_out": 0, "data.source": "glyphs"})(place)
    return blank_digits(place)


def _autoencoders() -> Iterator[Case]:
    area = "Autoencoders"
    yield Case(
        area,
        "Images of another size than was said",
        ["run", "vae", "--data.source", "shapes"],
        "--data.images says which size is meant",
        trains=True,
    )
    yield Case(
        area,
        "A weight for a term that is not there",
        ["run", "vae", "iwae", "--loss.beta", "4"],
        "no KL term to weigh",
        trains=True,
    )
    yield Case(
        area,
        "A test image that does not exist",
        ["generate", "ae:mlp", "--sampler", "variation", "--item", "100"],
        "Choose 0 to 99",
        before="There is a run of ae on data with 100 test images",
        prepare=_coded,
    )


def _coded(place: Place) -> Around:
    untrained("ae", "mlp", **{"data.source": "glyphs"})(place)
    return blank_digits(place)


def _gans() -> Iterator[Case]:
    area = "Generative adversarial networks"
    run = ["run", "dcgan-cifar10"]
    yield Case(
        area,
        "Features learned from images without classes",
        ["run", "image-features", "--data.source", "drawn-faces-64"],
        "has no classes of images",
        trains=True,
    )
    yield Case(
        area, "Digits for a reader of photographs", [*run, "--data.source", "mnist"], "32x32", trains=True
    )
    yield Case(
        area,
        "A target that calls real images generated",
        [*run, "--loss.real-target", "0.3"],
        "a number > 0.5 and <= 1",
        trains=True,
    )
    yield Case(
        area,
        "More samples than a picture holds",
        ["generate", "dcgan-cifar10:exp-1", "--n", "20000"],
        "from 1 to 10000",
        before="There is a run of dcgan-cifar10",
        prepare=untrained("dcgan-cifar10", "exp-1", **{"net.width": 4}),
    )


def _masks() -> Iterator[Case]:
    area = "Pictures with masks"
    run = ["run", "unet", "nuclei", "--data.source", "nuclei", "--data.dir", "data"]
    of_voc = ["run", "unet", "voc", "--data.source", "voc2012", "--data.dir", "data"]

    def voc_case(title: str, says: str, before: str, prepare: Callable[[Place], Around]) -> Case:
        return Case(area, title, of_voc, says, 1, before, prepare, trains=True)

    yield Case(
        area,
        "Not on this machine",
        run,
        "cannot be downloaded",
        1,
        "`data` is empty",
        lambda place: void((place.root / "data").mkdir()),
        trains=True,
    )
    yield Case(
        area,
        "All pictures held out",
        [*run, "--data.hold-out", "8"],
        "Hold out at most 7",
        before="`data` holds ten pictures of nuclei, eight of them for training",
        prepare=nuclei,
        trains=True,
    )
    yield Case(
        area,
        "A crop larger than the pictures",
        [*run, "--data.hold-out", "1", "--data.crop", "512"],
        "Choose at most 256",
        before="`data` holds pictures of 256x256",
        prepare=nuclei,
        trains=True,
    )
    yield Case(
        area,
        "Photographs for a network of nuclei",
        ["run", "unet", "nuclei", "--data.source", "voc2012"],
        "grey pictures",
        trains=True,
    )
    yield voc_case(
        "A photograph without a mask",
        "no mask for 2007_000027",
        "`VOC2012/SegmentationClass` lacks a file that the lists name",
        voc(None),
    )
    yield voc_case(
        "A mask in colours",
        "a mask has one channel",
        "the mask was saved as an RGB picture, not with a palette",
        voc("RGB", colour=(128, 0, 0)),
    )
    yield voc_case(
        "A class that does not exist",
        "pixels of class 42",
        "the mask holds the value 42",
        voc("L", colour=42),
    )

    small = untrained("unet", "nuclei", **{"net.base": 2})

    def asked(
        title: str, words: list[str], says: str, before: str, prepare: Callable[[Place], Around]
    ) -> Case:
        return Case(area, title, ["generate", "unet:nuclei", *words], says, before=before, prepare=prepare)

    yield asked("No picture to segment", [], "--image", "There is a run of unet", small)
    yield asked("A picture that is not there", ["--image", "cells.png"], "no picture cells.png", "", small)
    yield asked(
        "A text in place of a picture",
        ["--image", "cells.png"],
        "cannot be read as a picture",
        "`cells.png` is a text",
        both(small, writes("cells.png", "cells")),
    )


def _faces() -> Iterator[Case]:
    area = "Faces to order"
    small = untrained("cvae-faces", "sum-mse", **{"net.width": 0.05, "net.latent": 4})

    def tall(place: Place) -> None:
        from PIL import Image

        Image.new("RGB", (90, 120)).save(place.root / "face.png")

    words = ["generate", "cvae-faces:sum-mse", "--reconstruct", "face.png"]
    yield Case(
        area,
        "A picture that is not square",
        [*words, "--sex", "male"],
        "90x120 pixels, not square",
        before="There is a run of cvae-faces; `face.png` is 90 pixels wide and 120 high",
        prepare=both(small, tall),
    )
    yield Case(
        area,
        "A condition outside of its range",
        ["generate", "cvae-faces:sum-mse", "--hair", "2"],
        "hair",
        before="There is a run of cvae-faces",
        prepare=small,
    )


def faces_of_ones_own(row: str, *, spoilt: bool = False) -> Callable[[Place], None]:
    """Two faces in a folder with their table, whose last row this is; one of them cut off when `spoilt`."""

    def make(place: Place) -> None:
        from PIL import Image

        folder = place.root / "faces"
        folder.mkdir()
        for name in ("1.png", "2.png"):
            Image.new("RGB", (64, 64)).save(folder / name)
        if spoilt:
            (folder / "2.png").write_bytes((folder / "2.png").read_bytes()[:60])
        (folder / "faces.csv").write_text(f"path,p_male,hair,mouth,eyes\n1.png,1,0.5,0,\n{row}\n")

    return make


def _folder_of_faces() -> Iterator[Case]:
    area = "A folder of faces"
    run = ["run", "face-conditions", "--data.source", "faces-folder"]
    there = [*run, "--data.dir", "faces"]
    yield Case(area, "No folder is named", run, "--data.dir FOLDER", trains=True)
    yield Case(
        area,
        "A folder without faces",
        ["run", "cvae-faces", "--data.dir", "faces"],
        "no faces-folder was found",
        before="`faces` is empty",
        prepare=lambda place: void((place.root / "faces").mkdir()),
        trains=True,
    )
    yield Case(
        area,
        "A label outside of its range",
        there,
        "row 3: hair is 50",
        1,
        "Hair darkness is written in per cent",
        faces_of_ones_own("2.png,0,50,0.2,1"),
        trains=True,
    )
    yield Case(
        area,
        "A picture outside of the folder",
        there,
        "row 3: '../2.png' leads out of the folder",
        1,
        "A path begins with `../`",
        faces_of_ones_own("../2.png,0,0.5,0.2,1"),
        trains=True,
    )
    yield Case(
        area,
        "A picture that was cut off",
        there,
        "row 3: ",
        1,
        "`2.png` is damaged",
        faces_of_ones_own("2.png,0,0.5,0.2,1", spoilt=True),
        trains=True,
    )
    yield Case(
        area,
        "Filling a table that is there",
        ["predict", "face-conditions:v1", "faces", "--out", "faces/faces.csv"],
        "--overwrite",
        before="There is a run of face-conditions",
        prepare=both(
            untrained("face-conditions", "v1", **{"net.width": 4}), faces_of_ones_own("2.png,0,,0.2,1")
        ),
    )


def _numpy() -> Iterator[Case]:
    area = "Networks in NumPy"
    yield Case(
        area,
        "A source where the data are computed",
        ["run", "xor-mlp", "--data.source", "mnist"],
        "four rows of XOR",
        trains=True,
    )
    yield Case(
        area,
        "A gradient norm that is not clipped",
        ["run", "two-layer", "toy", "--clip-grad-norm", "1"],
        "Leave it at none",
        trains=True,
    )
    yield Case(
        area,
        "A wave too short for its windows",
        ["run", "rnn-scratch", "--wave.points", "60"],
        "leaves no training window",
        trains=True,
    )
    yield Case(
        area,
        "The toy has no test set",
        ["evaluate", "last"],
        "no split 'test'",
        before="The newest run trained on the toy data",
        prepare=lambda place: void(place.epochal("run", "two-layer", "toy", "--steps", "5", "--quiet")),
    )


def _fleets() -> Iterator[Case]:
    area = "Many at once"

    def grid(title: str, words: Sequence[str], says: str) -> Case:
        options = [part for word in words for part in ("--grid", word)]
        return Case(area, title, ["run", "xor-mlp", *options], says, trains=True)

    def member(title: str, words: list[str], says: str, code: int = 2) -> Case:
        before = "The newest run is a fleet of two seeds at three learning rates"
        return Case(area, title, words, says, code, before, fleet)

    yield grid("A grid without values", ["optim.lr"], "--grid optim.lr=0.5,0.1,0.01")
    yield grid("A grid with a gap", ["optim.lr=0.5,,0.1"], "no setting with its values")
    yield grid("A setting twice", ["optim.lr=0.5", "optim.lr=0.1"], "stands twice")
    yield grid("A setting with a typo", ["optim.lrr=0.5,0.1"], "optim.lr")
    yield grid("A value that is no number", ["optim.lr=0.5,fast"], "fast")
    yield grid("A value outside its range", ["optim.lr=0.5,-1"], "-1")
    yield grid("A value twice", ["optim.lr=0.5,0.5"], "0.5")
    yield grid(
        "A later point that the recipe refuses", ["clip_grad_norm=none,1"], "takes its gradients as they are"
    )
    yield member("A member that does not exist", ["show", "last#99"], "#0 to #5")
    yield member("A seed that it does not have", ["show", "last@7"], "no member of seed 7")
    yield member("A seed that several members have", ["show", "last@1"], "fits 3 members")
    yield member("One member deleted", ["rm", "last#0", "--yes"], "fleet")
    yield member("One member resumed", ["resume", "last#0"], "fleet")
    yield Case(
        area,
        "A spoilt list of members",
        ["show", "last#1"],
        "cannot be read",
        1,
        "`members.jsonl` of the fleet holds a web page",
        lambda place: (
            fleet(place) or void((place.find("last").path / "members.jsonl").write_text("<html>\n"))
        ),
    )
    yield Case(area, "A member of a single run", ["show", "line:plain@0#1"], "is no fleet")


def _devices() -> Iterator[Case]:
    area = "Devices compared"
    yield Case(area, "An unknown device", ["bench", "devices", "cnn-digits", "--on", "cpu,tpu"], "'tpu'")
    yield Case(
        area,
        "A device that is not there",
        ["bench", "devices", "cnn-digits", "--on", "cuda"],
        "not present",
        before="The machine has no GPU",
        prepare=lambda place: mock.patch("epochal.training.devices.available", lambda: ("cpu",)),
    )
    yield Case(
        area,
        "An unknown precision",
        ["bench", "devices", "cnn-digits", "--precision", "float8"],
        "auto, float32, bfloat16",
    )
    yield Case(
        area,
        "A version without a speed benchmark",
        ["bench", "speed", "resnet50-cifar10", "full"],
        "no speed benchmark for the version",
    )


CASES: tuple[Case, ...] = (
    *_cifar10(),
    *_classifiers(),
    *_autoencoders(),
    *_gans(),
    *_masks(),
    *_faces(),
    *_folder_of_faces(),
    *_numpy(),
    *_fleets(),
    *_devices(),
)
