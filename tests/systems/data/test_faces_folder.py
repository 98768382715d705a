"""A folder of faces with its table: what is read, what is kept, and what is said of everything that is wrong."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from epochal.errors import EpochalError, UsageError
from epochal.systems.data import faces_folder, faces_table
from epochal.systems.data.dataset import Dataset
from epochal.systems.data.faces_folder import FACES_FOLDER

HEADER = "path,p_male,hair,mouth,eyes"


@pytest.fixture(autouse=True)
def _nothing_around(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve pictures of 40x40 in two folders, and their table."""
    place = tmp_path / "faces"
    (place / "more").mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = [HEADER]
    for number in range(12):
        name = f"{'more/' * (number % 2)}{number:02d}.{'jpg' if number % 3 else 'png'}"
        Image.fromarray(rng.integers(0, 255, (40, 40, 3)).astype(np.uint8)).save(place / name)
        rows.append(
            f"{name},{number % 2},0.{number:02d},{'' if number == 4 else 0.5},{'NaN' if number == 7 else 1}"
        )
    (place / "table.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return place


def load(folder: Path) -> Dataset:
    """The folder as a data set."""
    return FACES_FOLDER.load(str(folder))


def edit(folder: Path, row: int, change: Callable[[str], str]) -> None:
    """Changes a row of the table; row 1 is the header."""
    lines = (folder / "table.csv").read_text("utf-8").splitlines()
    lines[row - 1] = change(lines[row - 1])
    (folder / "table.csv").write_text("\n".join(lines) + "\n", encoding="utf-8")


def test_pictures_and_conditions_fit_together(folder: Path) -> None:
    """Rows 1 and 11 are for testing; a missing p_female is 1 - p_male; empty cells and nan are not labelled."""
    found = load(folder)
    assert [len(found.splits[split]["images"]) for split in ("train", "test")] == [10, 2]
    assert found.splits["train"]["images"].shape == (10, 120, 120, 3) and not found.drawn
    train, test = (found.splits[split]["conditions"] for split in ("train", "test"))
    assert np.allclose(test, [[0, 1, 0.0, 0.5, 1], [0, 1, 0.10, 0.5, 1]])
    assert np.isnan(train[3, 3]) and np.isnan(train[6, 4]) and np.isnan(train).sum() == 2
    assert np.allclose(train[:, 2], [0.01, 0.02, 0.03, 0.04, 0.05, 0.06, 0.07, 0.08, 0.09, 0.11])
    assert not found.splits["train"]["predicted"].any()


def test_pictures_are_scaled_as_pillow_scales_them(folder: Path) -> None:
    """Pictures of 120x120 arrive as they are, others bicubically scaled: compared with Pillow's own reading."""
    found = load(folder)
    with Image.open(folder / "00.png") as picture:
        wanted = np.asarray(picture.resize((120, 120), Image.Resampling.BICUBIC))
    assert np.array_equal(found.splits["test"]["images"][0], wanted)
    exact = np.random.default_rng(1).integers(0, 255, (120, 120, 3)).astype(np.uint8)
    for path in [*folder.glob("*.png"), *folder.glob("*.jpg"), *folder.glob("more/*")]:
        Image.fromarray(exact).save(path, format="png")
    assert all(np.array_equal(image, exact) for image in load(folder).splits["train"]["images"])


def test_a_picture_lies_as_its_camera_says(folder: Path) -> None:
    """Cameras store a turn instead of turning the pixels."""
    upright = np.zeros((40, 40, 3), np.uint8)
    upright[:20] = 255
    turned = Image.fromarray(np.rot90(upright))
    exif = turned.getexif()
    exif[0x0112] = 6  # to be turned clockwise
    turned.save(folder / "00.png", exif=exif)
    image = load(folder).splits["test"]["images"][0]
    assert image[:50].min() == 255 and image[70:].max() == 0


def test_pictures_are_decoded_once(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A second start maps what the first one kept; a changed picture is read anew."""
    first = load(folder)
    decoded: list[Path] = []
    read = faces_folder._opened
    monkeypatch.setattr(
        faces_folder, "_opened", lambda path, *rest: (decoded.append(path), read(path, *rest))[1]
    )
    second = load(folder)
    assert not decoded and second.sha256 == first.sha256
    assert isinstance(second.splits["train"]["images"], np.memmap)
    assert np.array_equal(second.splits["train"]["images"], first.splits["train"]["images"])
    second.splits["train"]["images"][:] = 0  # stays in memory
    assert load(folder).splits["train"]["images"].any()
    edit(folder, 2, lambda row: row.replace("0.00", "0.99"))
    third = load(folder)
    assert not decoded and third.sha256 != first.sha256, "labels are no part of the pictures"
    Image.new("RGB", (40, 40)).save(folder / "00.png")
    assert not load(folder).splits["test"]["images"][0].any() and decoded


def test_a_cache_that_is_cut_off_or_cannot_be_written(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half a kept file is made anew; without a cache the pictures are read into memory, with a warning."""
    whole = load(folder).splits["train"]["images"]
    wanted = np.array(whole)
    del whole
    (kept,) = (tmp_path / "cache").glob("faces-folder-*.npy")
    kept.write_bytes(kept.read_bytes()[:-5])
    assert np.array_equal(load(folder).splits["train"]["images"], wanted)
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "file"))
    with pytest.warns(UserWarning, match="cannot be kept"):
        assert np.array_equal(load(folder).splits["train"]["images"], wanted)


def test_a_split_column_divides(folder: Path) -> None:
    """The table may say itself what is for testing."""
    lines = (folder / "table.csv").read_text("utf-8").splitlines()
    lines = [f"{line},{'split' if i == 0 else 'test' if i > 9 else 'train'}" for i, line in enumerate(lines)]
    (folder / "table.csv").write_text("\n".join(lines), encoding="utf-8")  # no newline at the end
    found = load(folder)
    assert np.allclose(found.splits["test"]["conditions"][:, 2], [0.09, 0.10, 0.11])
    edit(folder, 4, lambda row: row.replace("train", "validation"))
    with pytest.raises(EpochalError, match=r"table.csv, row 4: split is 'validation'"):
        load(folder)


def test_spreadsheets_are_read(folder: Path) -> None:
    """A byte-order mark, Windows line ends, quotes, empty rows, backslashes and columns of one's own do not matter."""
    wanted = load(folder).splits["train"]["conditions"]
    lines = (folder / "table.csv").read_text("utf-8").splitlines()
    lines = [f'{line},"who, where"' for line in lines]
    text = "\r\n".join(line.replace("more/", "more\\") for line in [*lines[:5], "", *lines[5:], ",,,,,"])
    (folder / "table.csv").write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert np.array_equal(load(folder).splits["train"]["conditions"], wanted, equal_nan=True)


def test_female_alone_and_contradiction(folder: Path) -> None:
    """p_male follows from p_female where only that is known; two numbers that make no 1 are a mistake."""
    lines = (folder / "table.csv").read_text("utf-8").splitlines()
    lines = [f"{line},{'p_female' if i == 0 else ''}" for i, line in enumerate(lines)]
    cells = lines[1].split(",")
    lines[1] = ",".join([cells[0], "", *cells[2:5], "0.3"])
    (folder / "table.csv").write_text("\n".join(lines), encoding="utf-8")
    assert np.allclose(load(folder).splits["test"]["conditions"][0, :2], [0.7, 0.3])
    edit(folder, 3, lambda row: f"{row}0.4")
    with pytest.raises(EpochalError, match=r"row 3: p_male = 1 and p_female = 0\.4 make 1\.4"):
        load(folder)


@pytest.mark.parametrize(
    ("row", "old", "new", "said"),
    [
        (3, ",1,", ",1.2,", r"row 3: p_male is 1.2, which is not between 0 and 1"),
        (3, "0.01", "-0.1", r"row 3: hair is -0.1, which is not between"),
        (3, "0.01", "inf", r"row 3: hair is inf, which is not between"),
        (3, "0.01", "dark", r"row 3: hair is 'dark', which is no number"),
        (3, "0.01", "0_1", r"row 3: hair is '0_1', which is no number"),
        (3, "0.01", '"0,01"', r"row 3: hair is '0,01', which is no number"),
        (3, "more/01.jpg", "../01.jpg", r"row 3: '../01.jpg' leads out of the folder"),
        (3, "more/01.jpg", "more/../../x.jpg", r"row 3: .* leads out of the folder"),
        (3, "more/01.jpg", "/etc/01.jpg", r"row 3: '/etc/01.jpg' leads out"),
        (3, "more/01.jpg", "", r"row 3: the path is empty"),
        (3, "more/01.jpg", "gone.jpg", r"row 3: there is no picture gone.jpg in "),
        (3, "more/01.jpg", f"{'x' * 5000}.jpg", r"row 3: there is no picture x{200} in "),
        (3, "more/01.jpg", "table.csv", r"row 3: table.csv is no PNG or JPEG by its name"),
        (5, "more/03.png", "more/01.jpg", r"row 5: more/01.jpg stands in row 3 already"),
        (5, "more/03.png", "./more/01.jpg", r"row 5: ./more/01.jpg stands in row 3 already"),
        (3, ",1,", ",", r"row 3 has 4 cells; the header has 5"),
        (1, ",hair", ",Hair", r"lacks the column hair; it has path, p_male, Hair, mouth, eyes"),
        (1, ",hair,mouth", ",x,y", r"lacks the columns hair, mouth; it has"),
        (1, "hair", "mouth", r"has 2 columns mouth"),
        (13, "0.11", '"0.11', r"cannot be read as a CSV"),
    ],
)
def test_a_wrong_cell_is_named(folder: Path, row: int, old: str, new: str, said: str) -> None:
    """Each mistake names the file, the row as a spreadsheet counts it, and the value; each says what to do."""
    edit(folder, row, lambda line: line.replace(old, new, 1))
    with pytest.raises(EpochalError, match=r"table\.csv") as error:
        load(folder)
    assert error.match(said) and error.value.hint


def test_a_link_out_of_the_folder_is_refused(folder: Path, tmp_path: Path) -> None:
    """Somebody else's archive must not lead out of its folder by a link either."""
    outside = (folder / "00.png").rename(tmp_path / "00.png")
    (folder / "00.png").symlink_to(outside)
    with pytest.raises(EpochalError, match=r"row 2: '00.png' leads out of the folder"):
        load(folder)


def test_links_in_a_circle_are_no_picture(folder: Path) -> None:
    """A link to itself is refused in words, as a missing picture is: it ended in a traceback once."""
    (folder / "00.png").unlink()
    (folder / "00.png").symlink_to("00.png")
    with pytest.raises(EpochalError, match=r"row 2: there is no picture 00.png"):
        load(folder)


def test_the_nearest_column_is_named(folder: Path) -> None:
    """A column that differs by a letter, and a table with semicolons, get the hint that helps."""
    edit(folder, 1, lambda row: row.replace("mouth", "mouths"))
    with pytest.raises(EpochalError, match="Is mouths meant for mouth"):
        load(folder)
    edit(folder, 1, lambda row: row.upper())
    with pytest.raises(EpochalError, match="Is PATH meant for path"):
        load(folder)
    text = (folder / "table.csv").read_text().replace(",", ";")
    (folder / "table.csv").write_text(text)
    with pytest.raises(EpochalError, match="Save it with commas"):
        load(folder)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is empty"),
        (b"\n\n", "is empty"),
        (HEADER.encode(), "no row below"),
        (b"path,p_male\xff", "is not in UTF-8"),
        (f"{HEADER}\n00.png,1,1,1,1\n".encode(), "names 1 picture, 1 of them for testing"),
    ],
)
def test_a_table_without_rows_is_refused(folder: Path, content: bytes, said: str) -> None:
    """Empty tables, those of another encoding, and those that leave nothing to train on."""
    (folder / "table.csv").write_bytes(content)
    with pytest.raises(EpochalError, match=said):
        load(folder)


def test_one_table_and_no_other(folder: Path, tmp_path: Path) -> None:
    """Without a table, or with two, nobody knows what is meant; a half-written hidden one does not count."""
    (folder / ".table.csv").write_text("half")
    load(folder)
    (folder / "filled.csv").write_text(HEADER)
    with pytest.raises(EpochalError, match=r"holds 2 tables: filled.csv, table.csv"):
        load(folder)
    (tmp_path / "empty").mkdir()
    with pytest.raises(EpochalError, match="holds no table"):
        load(tmp_path / "empty")
    with pytest.raises(UsageError, match="needs a folder"):
        FACES_FOLDER.load(None)
    with pytest.raises(UsageError, match="does not exist"):
        load(tmp_path / "nowhere")


def chunk(kind: bytes, data: bytes) -> bytes:
    """A chunk of a PNG file."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


BOMB = (
    b"\x89PNG\r\n\x1a\n"
    + chunk(b"IHDR", struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0))
    + chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    + chunk(b"IEND", b"")
)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda old: b"", "cannot be read as a picture"),
        (lambda old: b"no picture", "cannot be read as a picture"),
        (lambda old: old[: len(old) // 2], "cannot be read as a picture"),
        (lambda old: b"\xff" * 30 + old[30:], "cannot be read as a picture"),
        (lambda old: b"GIF89a" + old[6:], "cannot be read as a picture"),
        (lambda old: BOMB, "cannot be read as a picture"),
    ],
)
@pytest.mark.parametrize(("row", "name"), [(2, "00.png"), (5, "more/03.png"), (9, "more/07.jpg")])
def test_a_damaged_picture_is_named(
    folder: Path, row: int, name: str, damage: Callable[[bytes], bytes], said: str
) -> None:
    """Whatever is wrong with a file, the message names it and its row: empty, cut off, overwritten, far too large."""
    path = folder / name
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(EpochalError, match=rf"table\.csv, row {row}: .*{said}"):
        load(folder)
    assert not list((folder.parent / "cache").glob("faces-folder-*")), "nothing half-read is kept"


@pytest.mark.parametrize(
    ("size", "row", "said"),
    [
        ((40, 41), 7, r"row 7: 05.jpg is 40x41 pixels, but the first picture is 40x40"),
        ((40, 41), None, r"row 3: 01.jpg is 40x41 pixels"),
        ((8, 8), None, r"row 3: 01.jpg is 8x8 pixels"),
        ((5000, 10), None, r"row 3: 01.jpg is 5000x10 pixels"),
    ],
)
def test_a_wrong_size_is_named(folder: Path, size: tuple[int, int], row: int | None, said: str) -> None:
    """Faces are square and all alike in size: one that is not, or all that are not."""
    for path in [*folder.glob("*.*g"), *folder.glob("more/*")]:
        if row is None or path.name.startswith(f"{row - 2:02d}"):
            Image.new("RGB", size).save(path)
    with pytest.raises(EpochalError, match=said):
        load(folder)


def test_sixteen_bits_are_refused(folder: Path) -> None:
    """Pillow would cut brightness off at 255."""
    Image.fromarray(np.zeros((40, 40), np.uint16)).save(folder / "00.png")
    with pytest.raises(EpochalError, match=r"row 2: 00.png is stored as I;16, with more than 8 bits"):
        load(folder)


def test_filling_keeps_labels(folder: Path) -> None:
    """Missing values are filled and named, labels stay as they were written, and a second filling fills the same."""
    edit(folder, 3, lambda row: row.replace("0.01", "0.010"))
    table = faces_table.read(folder)
    answers = np.full((12, 5), 0.25)
    answers[7] = np.nan
    header, rows, counts = faces_table.filled_in(table, answers)
    assert header == [*HEADER.split(","), "predicted"] and counts == {
        "p_male": 0,
        "hair": 0,
        "mouth": 1,
        "eyes": 0,
    }
    assert rows[1] == ["more/01.jpg", "1", "0.010", "0.5", "1", ""]
    assert rows[4] == ["04.jpg", "0", "0.04", "0.2500", "1", "mouth"]
    assert rows[7][-2:] == ["", ""], "what nothing is known of stays empty"
    faces_table.write(folder / "table.csv", header, rows)
    found = load(folder).splits["train"]
    assert found["conditions"][3, 3] == 0.25 and found["predicted"][3].tolist() == [False] * 3 + [True, False]
    again = faces_table.filled_in(faces_table.read(folder), np.full((12, 5), 0.75))[1]
    assert again[4] == ["04.jpg", "0", "0.04", "0.7500", "1", "mouth"] and again[1] == rows[1]
    edit(folder, 3, lambda row: f"{row}nose")
    with pytest.raises(EpochalError, match=r"row 3: predicted names 'nose', which is no condition"):
        load(folder)


def test_real_photographs(real_data: Path, tmp_path: Path) -> None:
    """Synthetic photographs of 64x64 saved as PNG arrive scaled: shrunk again, they are nearly what they were."""
    from epochal.systems.data import npz

    images = npz.read(real_data / "faces_sfhq_64.npz", ["images"], hint="")["images"][:30]
    lines = [HEADER, *(f"{number}.png,,,," for number in range(30))]
    for number, image in enumerate(images):
        Image.fromarray(image).save(tmp_path / f"{number}.png")
    (tmp_path / "faces.csv").write_text("\n".join(lines))
    found = load(tmp_path)
    assert np.isnan(found.splits["train"]["conditions"]).all()
    assert [len(found.splits[split]["images"]) for split in ("train", "test")] == [27, 3]
    for image, scaled in zip(images[[0, 10, 20]], found.splits["test"]["images"], strict=True):
        back = Image.fromarray(scaled).resize((64, 64), Image.Resampling.BOX)
        assert np.abs(np.asarray(back, float) - image).mean() < 6
