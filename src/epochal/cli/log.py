"""`epochal log`: write the experiment log of a recipe."""

from __future__ import annotations

from epochal.cli.output import print_json
from epochal.cli.parsing import Parser

EXAMPLES = ("log cvae-digits", "log cvae-digits --lang ko -o log.md")


def main(words: list[str]) -> int:
    """Runs the verb."""
    options = Parser(
        "log", "Write the experiment log: every version, what changed, numbers, pictures.", EXAMPLES
    )
    options.add_argument(
        "recipe", metavar="RECIPE", help="a name from `epochal list` or of runs in the lab, or ./my_recipe.py"
    )
    options.add_argument("--lang", choices=("en", "ko"), default="en", help="language of the headings")
    options.add_argument("--out", "-o", metavar="FILE", help="file to write (default: RECIPE.md in the lab)")
    typed = options.read(words)
    from epochal import api

    path = api.log(typed.recipe, lang=typed.lang, out=typed.out, lab=typed.lab)
    if typed.json:
        print_json({"log": str(path)})
    else:
        print(path)
    return 0
