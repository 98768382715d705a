"""`epochal export`: a run's network as ONNX."""

from __future__ import annotations

from epochal.cli.output import clean, number, print_json, size
from epochal.cli.parsing import Parser, add_recipe_option

EXAMPLES = (
    "export last -o student.onnx                      # checked against torch before it is there",
    "export last -o student.onnx --checkpoint last --overwrite",
)


def main(words: list[str]) -> int:
    """Runs the verb."""
    options = Parser("export", "Write a run's network as ONNX, checked against torch.", EXAMPLES)
    options.add_argument("run", metavar="RUN", help="the run")
    options.add_argument("--out", "-o", metavar="FILE", required=True, help="file to write, .onnx")
    options.add_argument("--overwrite", action="store_true", help="write over FILE where it exists")
    options.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which weights")
    add_recipe_option(options)
    typed = options.read(words)
    from epochal import api

    done = api.export(
        typed.run,
        out=typed.out,
        overwrite=typed.overwrite,
        which=typed.checkpoint,
        recipe=typed.recipe,
        lab=typed.lab,
    )
    if typed.json:
        told = {"path": str(done.path), "bytes": done.bytes, "inputs": done.inputs}
        compared = {"difference": done.difference, "scale": done.scale, "equal": done.equal}
        print_json({**told, **compared, "about": dict(done.about)})
        return 0
    for name, text in done.about.items():
        print(f"{clean(name.replace('_', ' '))}: {clean(text)}")
    same = "" if done.equal is None else f", {100 * done.equal:.4g} % equal choices"
    print(
        f"onnxruntime against torch on {done.inputs:,} inputs: largest difference {number(done.difference)} "
        f"(answers up to {number(done.scale)}){same}"
    )
    print(f"{done.path}  {size(done.bytes)}")
    return 0
