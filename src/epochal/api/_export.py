"""The verb that hands a run's network on to other programs: export."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from epochal.api._calls import verb
from epochal.api._networks import Which, trained_of
from epochal.api._runs import LabLike, known_recipe, lab_of, single
from epochal.errors import EpochalError, UsageError
from epochal.journal import Run, atomic

if TYPE_CHECKING:
    from epochal.training.task import Array, Export

OPSET = 17
"""Version of ONNX's operators: what onnxruntime has understood since 1.12 (2022)."""

TOLERANCE = 1e-4
"""Largest difference between onnxruntime's answers and torch's, relative to the largest answer."""

_AT_ONCE = 256


@dataclass(frozen=True)
class Exported:
    """What `export` wrote, and how it compares with torch.

    Attributes:
        path: the ONNX file.
        inputs: on how many it was compared.
        difference: the largest absolute difference of two answers.
        scale: the largest absolute answer.
        equal: share of the inputs for which both choose the same class; None where answers are not (n, classes >= 2).
        about: texts kept in the file.
        bytes: its size.
    """

    path: Path
    inputs: int
    difference: float
    scale: float
    equal: float | None
    about: Mapping[str, str]
    bytes: int


@verb
def export(
    ref: str | Run,
    *,
    out: str | Path,
    overwrite: bool = False,
    which: Which = "best",
    recipe: str | None = None,
    lab: LabLike = None,
) -> Exported:
    """Writes the network of a run as ONNX and checks it: onnxruntime must answer as torch does.

    The number of items may differ from call to call; all other sizes are fixed. The file's metadata say what the
    recipe tells (classes, channels, rate, unit, window) and which run it is of.

    Args:
        ref: the run.
        out: file to write, `.onnx`.
        overwrite: write over `out` where it exists.
        which: checkpoint to use.
        recipe: recipe file, where the run's own is not known on this machine.
        lab: folder that holds the runs.

    Raises:
        UsageError: the recipe exports nothing, or `out` is there already.
        EpochalError: the run has no checkpoint yet, onnx or onnxruntime is not installed, or an answer differs by
            more than 1e-4 of the largest one: then nothing is written.
    """
    one = single(lab_of(lab).find(ref))
    found, _ = known_recipe(one, recipe)
    if found.export is None:
        raise UsageError(
            f"The recipe {found.name} exports nothing.", hint="`epochal.load(RUN)` gives its torch networks."
        )
    target = _target(Path(out).expanduser(), overwrite)
    lacking = [name for name in ("onnx", "onnxruntime") if find_spec(name) is None]
    if lacking:
        raise EpochalError(
            f"To export, {' and '.join(lacking)} must be installed.", hint="pip install 'epochal[export]'"
        )
    wanted = found.export(trained_of(found, one, which, "cpu"))
    about = {**wanted.about, "recipe": found.name, "version": one.version or "", "run": one.id}
    with atomic.replacing(target) as temporary:
        _write_onnx(wanted, about, temporary)
        difference, scale, equal = _compared(wanted, temporary.read_bytes())
        if not difference <= TOLERANCE * scale:  # NaN, too
            raise EpochalError(
                f"The exported network does not answer as torch does: they differ by {difference:.3g}, "
                f"answers go up to {scale:.3g}. Nothing was written.",
                hint=f"At most {TOLERANCE:g} of the largest answer is allowed. Are the weights finite?",
            )
    return Exported(target, len(wanted.inputs), difference, scale, equal, about, target.stat().st_size)


def _target(target: Path, overwrite: bool) -> Path:
    if target.suffix != ".onnx":
        raise UsageError(f"{target} is no name for an ONNX file.", hint="It ends with .onnx: -o student.onnx")
    if not target.parent.is_dir():
        raise UsageError(f"There is no folder {target.parent} to write {target.name} to.")
    if target.exists() and not overwrite:
        raise UsageError(f"{target} exists.", hint="Name another file, or write over it: --overwrite")
    return target


def _write_onnx(wanted: Export, about: Mapping[str, str], path: Path) -> None:
    """Writes the network with a free first axis and its texts."""
    import warnings

    import onnx
    import torch

    class Plain(torch.nn.Module):
        """The network as a function of its input alone: the exporter counts every option as an input."""

        def __init__(self) -> None:
            super().__init__()
            self.net = wanted.net

        def forward(self, x: torch.Tensor) -> Any:
            return self.net(x)

    names = wanted.input_name, wanted.output_name
    with warnings.catch_warnings():
        # The exporter that is to follow this one needs another package, onnxscript.
        warnings.simplefilter("ignore", DeprecationWarning)
        try:
            torch.onnx.export(
                Plain().eval(),
                (torch.from_numpy(wanted.inputs[:2]),),
                str(path),
                dynamo=False,
                opset_version=OPSET,
                input_names=names[:1],
                output_names=names[1:],
                dynamic_axes={name: {0: "batch"} for name in names},
            )
        except torch.onnx.errors.OnnxExporterError as error:
            reason = str(error).strip().partition("\n")[0]
            raise EpochalError(f"The network cannot be written as ONNX: {reason}") from error
    model = onnx.load_model_from_string(path.read_bytes())
    onnx.helper.set_model_props(model, dict(about))
    onnx.checker.check_model(model)
    path.write_bytes(model.SerializeToString())


def _compared(wanted: Export, file: bytes) -> tuple[float, float, float | None]:
    """The largest difference of two answers, the largest answer, and the share of equal choices."""
    import numpy as np
    import onnxruntime
    import torch

    how = onnxruntime.SessionOptions()
    how.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(file, how, providers=["CPUExecutionProvider"])
    theirs, ours = [], []
    for part in _parts(wanted.inputs):
        theirs.append(session.run([wanted.output_name], {wanted.input_name: part})[0])
        with torch.no_grad():
            ours.append(wanted.net(torch.from_numpy(part)).numpy())
    got, expected = np.concatenate(theirs).astype(np.float64), np.concatenate(ours).astype(np.float64)
    choices = expected.ndim == 2 and expected.shape[1] > 1
    equal = float((got.argmax(1) == expected.argmax(1)).mean()) if choices else None
    return float(np.abs(got - expected).max()), float(np.abs(expected).max()), equal


def _parts(inputs: Array) -> Iterator[Array]:
    """One input alone, then many at once: the first axis must be free."""
    yield inputs[:1]
    for start in range(1, len(inputs), _AT_ONCE):
        yield inputs[start : start + _AT_ONCE]
