"""`epochal predict`: what a run's networks answer for data of one's own."""

from __future__ import annotations

from epochal.cli.output import clean, number, print_json
from epochal.cli.parsing import Parser, add_recipe_option

EXAMPLES = (
    "predict last recording.csv                       # activities of a GENEActiv export, with a picture of them",
    "predict last faces --out filled.csv              # a folder of faces: its table, missing labels filled in",
    "predict last faces --out faces/table.csv --overwrite",
)


def main(words: list[str]) -> int:
    """Runs the verb."""
    options = Parser("predict", "Let a run's networks answer for data of your own.", EXAMPLES)
    options.add_argument("run", metavar="RUN", help="the run")
    options.add_argument("path", metavar="DATA", help="what its recipe reads: a folder or a file")
    options.add_argument(
        "--out", "-o", metavar="FILE", help="file to write (default: DATA-answers.csv in this folder)"
    )
    options.add_argument("--overwrite", action="store_true", help="write over FILE and its picture")
    options.add_argument("--checkpoint", choices=("best", "last"), default="best", help="which weights")
    options.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:1, mps")
    add_recipe_option(options)
    typed = options.read(words)
    from epochal import api

    written = api.predict(
        typed.run,
        typed.path,
        out=typed.out,
        overwrite=typed.overwrite,
        which=typed.checkpoint,
        device=typed.device,
        recipe=typed.recipe,
        lab=typed.lab,
    )
    if typed.json:
        print_json({"path": str(written.path), "pictures": [*map(str, written.pictures)], **written.told})
        return 0
    for name, value in written.told.items():
        print(f"{clean(name)}: {clean(value) if isinstance(value, str) else number(value)}")
    for path in (written.path, *written.pictures):
        print(path)
    return 0
