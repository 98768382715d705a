"""The table of a folder of faces: one CSV with `path`, a column a condition, and perhaps `split` and `predicted`.

    path,p_male,hair,mouth,eyes
    a/0001.png,1,0.8,0.1,0.6
    a/0002.jpg,0.03,,0.7,nan

Cells may be empty (or `nan`) where nothing is known. `p_female` may be left out: it is 1 - p_male. `split` says `train`
or `test`; without that column every tenth picture, beginning with the first, is for testing. `predicted` names the
columns of a row that a network filled (`hair;eyes`): `epochal predict` writes it. Other columns are kept and not read.
Rows count from 1, the header's, as spreadsheets do.
"""

from __future__ import annotations

import csv
import difflib
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from epochal.errors import EpochalError

if TYPE_CHECKING:
    from epochal.systems.data.dataset import Array

COLUMNS = ("p_male", "p_female", "hair", "mouth", "eyes")
"""The table's names of `faces.CONDITIONS`, in their order."""
ENDINGS = (".png", ".jpg", ".jpeg")
TEST_EVERY = 10
_NEEDED = ("path", "p_male", "hair", "mouth", "eyes")
_SUM_MAY_BE_OFF = 0.011  # of p_male + p_female, as two rounded numbers are
_EXAMPLE = (
    "Its first row must name path, p_male, hair, mouth and eyes; leave a cell empty where nothing is known."
)


@dataclass(frozen=True)
class Table:
    """A folder's table, checked.

    Attributes:
        file: the CSV.
        header: its columns as written.
        rows: their cells as written.
        numbers: of the rows, as a spreadsheet counts them.
        paths: the pictures.
        conditions: (n, 5) float32 in the order of `COLUMNS`; NaN where not labelled.
        predicted: (n, 5) bool: the value is a network's, not a label.
        test: (n,) bool.
    """

    file: Path
    header: tuple[str, ...]
    rows: list[list[str]]
    numbers: list[int]
    paths: list[Path]
    conditions: Array
    predicted: Array
    test: Array

    def place(self, index: int) -> str:
        """Names a row, for a message."""
        return f"{self.file}, row {self.numbers[index]}"


def tables_in(folder: Path) -> list[Path]:
    """The CSV files of a folder, by name; hidden ones (half-written ones of other programs) left out."""
    return sorted(
        file
        for file in folder.iterdir()
        if file.suffix.lower() == ".csv" and not file.name.startswith(".") and file.is_file()
    )


def read(folder: Path) -> Table:
    """Reads and checks the one table of a folder; the pictures are only looked for, not opened.

    Raises:
        EpochalError: no table or several, one that is no CSV, lacks a column or has no row; a row with a wrong path
            or value. The message names file and row.
    """
    import numpy as np

    file = _only(tables_in(folder), folder)
    header, numbers, rows = _cells(file)
    columns = _columns(file, header)
    root, paths, values, filled, splits = folder.resolve(), [], [], [], []
    seen: dict[Path, int] = {}
    for number, row in zip(numbers, rows, strict=True):
        place = f"{file}, row {number}"
        cells = {name: row[position].strip() for name, position in columns.items()}
        path = _picture(place, folder, root, cells["path"])
        if path in seen:
            raise EpochalError(
                f"{place}: {cells['path']} stands in row {seen[path]} already.",
                hint="Each picture has one row: remove one of the two.",
            )
        seen[path] = number
        paths.append(path)
        values.append(_conditions(place, cells))
        filled.append(_filled(place, cells.get("predicted", "")))
        if "split" in columns:
            splits.append(_is_test(place, cells["split"]))
    test = np.array(splits) if splits else np.arange(len(rows)) % TEST_EVERY == 0
    if test.all() or not test.any():
        raise EpochalError(
            f"{file} names {len(rows):,} picture{'s' * (len(rows) > 1)}, {int(test.sum()):,} of them for testing: "
            "both training and testing need some.",
            hint="Add rows"
            + (", or change the column split." if splits else f" (one in {TEST_EVERY} is for testing)."),
        )
    return Table(
        file,
        tuple(header),
        rows,
        numbers,
        paths,
        np.array(values, dtype=np.float32),
        np.array(filled, dtype=bool),
        test,
    )


def filled_in(table: Table, predictions: Array) -> tuple[list[str], list[list[str]], Mapping[str, int]]:
    """The table with its missing labels, and those that were filled before, taken from predictions (n, 5).

    Labels stay as they are written. NaN predicts nothing: the cell is left empty.

    Returns:
        Header and rows, with a column `predicted`; how many cells of each column were filled.
    """
    columns = _columns(table.file, table.header)
    header = [*table.header] + ["predicted"] * ("predicted" not in columns)
    counts = dict.fromkeys((name for name in COLUMNS if name in columns), 0)
    rows = []
    for index, cells in enumerate(table.rows):
        row = [*cells] + [""] * (len(header) - len(cells))
        names = []
        for number, name in enumerate(COLUMNS):
            known = not table.predicted[index, number] and not math.isnan(table.conditions[index, number])
            if name not in columns or known:
                continue
            value = float(predictions[index, number])
            row[columns[name]] = "" if math.isnan(value) else f"{value:.4f}"
            if not math.isnan(value):
                names.append(name)
                counts[name] += 1
        row[columns.get("predicted", len(header) - 1)] = ";".join(names)
        rows.append(row)
    return header, rows, counts


def write(file: Path, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Writes a table in UTF-8."""
    with file.open("w", encoding="utf-8", newline="") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(header)
        writer.writerows(rows)


def _only(found: Sequence[Path], folder: Path) -> Path:
    if not found:
        raise EpochalError(f"{folder} holds no table of its pictures (a .csv file).", hint=_EXAMPLE)
    if len(found) > 1:
        names = ", ".join(file.name for file in found)
        raise EpochalError(
            f"{folder} holds {len(found)} tables: {names}.",
            hint="Leave the one that is meant, and put the others elsewhere.",
        )
    return found[0]


def _cells(file: Path) -> tuple[list[str], list[int], list[list[str]]]:
    """Header, row numbers and rows of a CSV; empty rows are left out."""
    numbers, rows, number = [], [], 0
    try:
        with file.open(encoding="utf-8-sig", newline="") as opened:
            for number, row in enumerate(csv.reader(opened, strict=True), start=1):
                if any(cell.strip() for cell in row):
                    numbers.append(number)
                    rows.append(row)
    except UnicodeDecodeError as error:
        raise EpochalError(f"{file} is not in UTF-8: {error}.", hint="Save it as CSV in UTF-8.") from error
    except csv.Error as error:
        raise EpochalError(
            f"{file} cannot be read as a CSV after row {number}: {error}.",
            hint="Was it written to its end? A quotation mark must be closed.",
        ) from error
    except OSError as error:
        raise EpochalError(f"{file} cannot be read: {error}.") from error
    if not rows:
        raise EpochalError(f"{file} is empty.", hint=_EXAMPLE)
    header = [cell.strip() for cell in rows[0]]
    for row_number, row in zip(numbers[1:], rows[1:], strict=True):
        if len(row) != len(header):
            raise EpochalError(
                f"{file}, row {row_number} has {len(row)} cells; the header has {len(header)}.",
                hint="Was the file written to its end? Every row needs as many commas as the first one.",
            )
    if len(rows) == 1:
        raise EpochalError(f"{file} has a header and no row below it.", hint="Add a row for each picture.")
    return header, numbers[1:], rows[1:]


def _columns(file: Path, header: Sequence[str]) -> dict[str, int]:
    """Position of each column that is read."""
    known = ("path", *COLUMNS, "split", "predicted")
    for name in known:
        if header.count(name) > 1:
            raise EpochalError(f"{file} has {header.count(name)} columns {name}.", hint="Leave one of them.")
    missing = [name for name in _NEEDED if name not in header]
    if missing:
        written = {cell.lower(): cell for cell in header}
        near = difflib.get_close_matches(missing[0], written, n=1, cutoff=0.6)
        meant = f"Is {written[near[0]]} meant for {missing[0]}? " if near else ""
        if len(header) == 1 and any(mark in header[0] for mark in ";\t|"):
            meant = "Save it with commas between the cells. "
        shown = ", ".join(header)
        raise EpochalError(
            f"{file} lacks the column{'s' * (len(missing) > 1)} {', '.join(missing)}; it has {shown[:200]}.",
            hint=meant + _EXAMPLE,
        )
    return {name: header.index(name) for name in known if name in header}


def _picture(place: str, folder: Path, root: Path, text: str) -> Path:
    """The picture that a cell names, inside the folder."""
    if not text:
        raise EpochalError(f"{place}: the path is empty.", hint="Name the picture, or remove the row.")
    named = Path(text.replace("\\", "/"))
    outside = named.is_absolute() or ".." in named.parts or "\0" in text
    try:
        outside = outside or not (folder / named).resolve().is_relative_to(root)
        there = not outside and (folder / named).is_file()
    except (OSError, RuntimeError):  # a name that is too long, links that lead in a circle
        there = False
    if outside:
        raise EpochalError(
            f"{place}: {text[:200]!r} leads out of the folder.",
            hint=f"Paths are relative to {folder}; the pictures must lie in it.",
        )
    if named.suffix.lower() not in ENDINGS:
        raise EpochalError(
            f"{place}: {text[:200]} is no PNG or JPEG by its name.",
            hint=f"Names end in {', '.join(ENDINGS)}.",
        )
    if not there:
        raise EpochalError(
            f"{place}: there is no picture {text[:200]} in {folder}.",
            hint="Put it there, correct the path, or remove the row.",
        )
    return folder / named


def _conditions(place: str, cells: Mapping[str, str]) -> list[float]:
    """The five values of a row."""
    male, female, *others = (_value(place, name, cells.get(name, "")) for name in COLUMNS)
    if math.isnan(male):
        male = 1 - female
    elif math.isnan(female):
        female = 1 - male
    elif abs(male + female - 1) > _SUM_MAY_BE_OFF:
        raise EpochalError(
            f"{place}: p_male = {male:g} and p_female = {female:g} make {male + female:g}.",
            hint="They must make 1; p_female may be left out.",
        )
    return [male, female, *others]


def _value(place: str, name: str, text: str) -> float:
    if not text or text.lower() == "nan":
        return math.nan
    try:
        value = float(text.replace("_", "no digit"))  # which Python would read over
    except ValueError:
        raise EpochalError(
            f"{place}: {name} is {text[:60]!r}, which is no number.",
            hint="Write a number from 0 to 1 with a decimal point, or leave the cell empty.",
        ) from None
    if not 0 <= value <= 1:
        raise EpochalError(
            f"{place}: {name} is {text[:60]}, which is not between 0 and 1.",
            hint="Write a number from 0 to 1, or leave the cell empty where nothing is known.",
        )
    return value


def _filled(place: str, text: str) -> list[bool]:
    """Which of the five values the column `predicted` names."""
    names = [name.strip() for name in text.split(";") if name.strip()]
    unknown = [name for name in names if name not in COLUMNS]
    if unknown:
        raise EpochalError(
            f"{place}: predicted names {unknown[0]!r}, which is no condition.",
            hint=f"Choose from {', '.join(COLUMNS)}, with ; between them.",
        )
    sex = "p_male" in names or "p_female" in names  # one follows from the other
    return [sex, sex, *(name in names for name in COLUMNS[2:])]


def _is_test(place: str, text: str) -> bool:
    if text not in ("train", "test"):
        raise EpochalError(f"{place}: split is {text!r}.", hint="Write train or test in every row.")
    return text == "test"
