"""`epochal import`: take over what other programs made."""

from __future__ import annotations

from epochal.cli.output import clean, print_json, print_table
from epochal.cli.parsing import Parser, whole

EXAMPLES = (
    "import weights old/wrn2811.pth.tar",
    "import weights old/wrn2811.pth.tar --net wrn28-1 --channels 3 --classes 14 -o teacher.safetensors",
)


def main(words: list[str]) -> int:
    """Runs the verb."""
    options = Parser(
        "import", "Take over weights that another program trained; none of its code is run.", EXAMPLES
    )
    options.add_argument("kind", choices=("weights",), help="what to import")
    options.add_argument("file", metavar="FILE", help="a checkpoint that torch.save wrote (.pth.tar, .pt)")
    options.add_argument(
        "--out", "-o", metavar="FILE", help="file to write (default: FILE's name, .safetensors)"
    )
    options.add_argument("--overwrite", action="store_true", help="write over the file where it exists")
    options.add_argument("--net", metavar="NAME", help="network that they must fit, like wrn28-1 or resnet8")
    options.add_argument("--channels", type=whole, metavar="N", help="channels of that network's input")
    options.add_argument("--classes", type=whole, metavar="N", help="its number of classes")
    options.add_argument(
        "--dims", type=whole, choices=(1, 2), default=1, help="1 signals (default), 2 pictures"
    )
    typed = options.read(words)
    from epochal import api

    done = api.import_weights(
        typed.file,
        out=typed.out,
        net=typed.net,
        channels=typed.channels,
        classes=typed.classes,
        dims=typed.dims,
        overwrite=typed.overwrite,
    )
    if typed.json:
        tensors = [{"name": name, "shape": list(shape)} for name, shape in done.shapes.items()]
        told = {"path": str(done.path), "tensors": tensors, "parameters": done.parameters}
        print_json({**told, "beside": dict(done.told), "net": done.net, "matched": done.matched})
        return 0
    rows = [(clean(name), " x ".join(map(str, shape)) or "1") for name, shape in done.shapes.items()]
    print_table(("tensor", "shape"), rows)
    print(f"{done.parameters:,} weights in {len(rows)} tensors (norms' statistics not counted)")
    for name, value in done.told.items():
        print(f"{clean(name)}: {clean(value)}")
    if done.matched == "names":
        print(f"fits {done.net}: every name and shape")
    elif done.matched:
        print(f"fits {done.net} by order and shapes, names differ: check its accuracy before you rely on it")
    print(done.path)
    return 0
