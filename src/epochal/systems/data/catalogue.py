"""The registry of sources: whatever `--data.source` may name stands in `SOURCES`.

To add a source, write one module that ends in an instance, and put the instance into `SOURCES`:

- Items in files: a frozen dataclass that extends `source.FileSource` and defines `look_in` (is it in this
  folder?) and `read` (items in, checked; `npz.read` opens .npz files). Searching, `load`, `fetch` and `verify`
  come with it; `remote=` makes it a download. `mnist` and `cifar10` are models.
- Items that Epochal draws: a `drawn.DrawnSource` with a function that draws all splits. `glyphs` is a model.
  Where they are many and large, a `drawn_parts.PartlyDrawnSource`, which draws what is used. `faces_drawn` is one.

`Dataset.splits` then holds whatever columns `read` or `draw` gave, "train" and "test" each with arrays that
have one row an item: "images" and "labels", or "images" and "masks"; recordings have one row a sample. `kind`
says in words what a recipe gets; sources of one kind take each other's place, and `stand_in` names the drawn one
of that kind.
Modules of sources import NumPy and the like inside functions: `epochal list` must not pay for them.
"""

from __future__ import annotations

from epochal.systems.data.arrays_folder import ARRAYS_FOLDER
from epochal.systems.data.basicmotions import BASICMOTIONS
from epochal.systems.data.cells import CELLS, STAINED_CELLS, TISSUE
from epochal.systems.data.chest import CHEST
from epochal.systems.data.cifar10 import CIFAR10
from epochal.systems.data.faces_drawn import DRAWN_FACES
from epochal.systems.data.faces_folder import FACES_FOLDER
from epochal.systems.data.faces_small import DRAWN_FACES_64, FACES_SFHQ
from epochal.systems.data.geneactiv_folder import GENEACTIV_FOLDER
from epochal.systems.data.glyphs import GLYPHS
from epochal.systems.data.membranes import MEMBRANES
from epochal.systems.data.mnist import FASHION_MNIST, MNIST
from epochal.systems.data.nuclei import NUCLEI
from epochal.systems.data.pamap2 import PAMAP2
from epochal.systems.data.shapes import SHAPES
from epochal.systems.data.source import Source
from epochal.systems.data.voc import VOC2012
from epochal.systems.data.wisdm_watch import WISDM_WATCH
from epochal.systems.data.wrist import WRIST

SOURCES: dict[str, Source] = {
    source.name: source
    for source in (
        *(MNIST, FASHION_MNIST, GLYPHS, CIFAR10, SHAPES),
        DRAWN_FACES,
        FACES_FOLDER,
        *(FACES_SFHQ, DRAWN_FACES_64),
        *(NUCLEI, CELLS, MEMBRANES, TISSUE, VOC2012, STAINED_CELLS),
        *(GENEACTIV_FOLDER, ARRAYS_FOLDER, WRIST),
        *(WISDM_WATCH, CHEST, PAMAP2, BASICMOTIONS),
    )
}
