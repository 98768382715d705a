"""What the log knows of a study: which runs belong together, what they changed, what compares."""

from __future__ import annotations

from collections.abc import Callable

from epochal.journal import Lab, Run
from epochal.report import study
from epochal.systems import data
from epochal.training.task import Recipe, Version

Maker = Callable[..., Run]


def titles(recipe: Recipe, lab: Lab) -> list[str]:
    """Titles of all variants."""
    found = study.entries(recipe, lab.runs()).values()
    return [variant.title for entry in found for variant in entry.variants]


def test_seeds_are_one_variant(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """Runs that differ in their seed only stand together, by seed; where the data lie does not matter."""
    make("v1", seed=1)
    make("v1", seed=0, patch={"data.dir": "/elsewhere"})
    (variant,) = study.entries(recipe, lab.runs())["v1"].variants
    assert (variant.title, [run.seed for run in variant.runs]) == ("v1", [0, 1])


def test_other_settings_or_data_are_other_variants(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """Runs with other settings or data are never averaged with the rest; titles name what differs."""
    make("v1")
    make("v1", patch={"epochs": 1}, drawn=True)
    assert titles(recipe, lab) == ["v1 (epochs = 8, MNIST)", "v1 (epochs = 1, drawn glyphs)"]


def test_forks_of_one_name_are_told_apart(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """Two forks with one name from different parents keep different titles."""
    for version in ("v1", "v2"):
        make(version, parent=make(version), name="again", patch={"batch_size": 16})
    again = [title for title in titles(recipe, lab) if title.startswith("again")]
    assert len(again) == len(set(again)) == 2


def test_only_finished_runs_count_once_a_seed(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """A failed run and the older of two runs of one seed are not averaged; the log shows a finished one."""
    make("v1", seed=0, status="failed", done=2)
    make("v1", seed=1)
    newest = make("v1", seed=1)
    (variant,) = study.entries(recipe, lab.runs())["v1"].variants
    assert variant.counted == [newest]
    assert variant.shown == newest
    assert len(variant.runs) == 3


def test_tree_holds_untrained_versions_and_forks(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """Every version stands in the tree with its changes, trained or not; a fork hangs on its parent."""
    parent = make("v2")
    fork = make("v2", parent=parent, name="less-grey", patch={"loss.grey_weight": 0.1})
    found = study.entries(recipe, lab.runs())
    assert [entry.title for entry in found.values()] == ["v1", "v2", "v3", "less-grey"]
    assert found["v3"].changes == {"epochs": (8, 40)} and not found["v3"].variants
    assert found["v2"].changes == {"loss.grey_weight": (0.0, 0.32)}
    entry = next(entry for entry in found.values() if entry.title == "less-grey")
    assert (entry.parent, entry.changes) == ("v2", {"loss.grey_weight": (0.32, 0.1)})
    assert entry.variants[0].runs == [fork]


def test_a_name_alone_makes_no_new_version(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """A named run of a version's settings is one of its runs; with other settings it came from that version."""
    runs = [make("v2", seed=0), make("v2", seed=1, name="again", patch={"data.dir": "/elsewhere"})]
    make("v2", name="short", patch={"epochs": 1})
    found = study.entries(recipe, lab.runs())
    assert list(found) == ["v1", "v2", "v3", "short"]
    (variant,) = found["v2"].variants
    assert (variant.title, list(variant.runs)) == ("v2", runs)
    assert (found["short"].parent, found["short"].changes) == ("v2", {"epochs": (8, 1)})


def test_titles_name_the_version_too(make: Maker) -> None:
    """`--name` never hides what was trained."""
    assert study.run_title(make("v2", name="quick")) == "toy v2 (quick), seed 0, MNIST"
    assert study.run_title(make("v2")) == "toy v2, seed 0, MNIST"


def test_overrides(recipe: Recipe, make: Maker) -> None:
    """Settings that are not the version's own are found, even one that equals the parent's value."""
    assert study.overrides(recipe, make("v2")) == {}
    assert study.overrides(recipe, make("v2", patch={"loss.grey_weight": 0.0})) == {"loss.grey_weight": 0.0}
    assert study.overrides(recipe, make("v1", patch={"epochs": 1, "data.dir": "/x"})) == {"epochs": 1}


def test_reference_belongs_to_the_version(recipe: Recipe, make: Maker) -> None:
    """The reported loss stands at the version's own last epoch; a fork has none."""
    run = make("v2")
    assert (study.reported(recipe, run), study.reported_epoch(recipe, run)) == ({("train", "loss"): 31.0}, 8)
    fork = make("v2", parent=run, name="f", patch={"epochs": 2})
    assert study.reported(recipe, fork) == {}


def test_reported_numbers_name_their_split(recipe: Recipe) -> None:
    """A metric of the recipe is the test set's, any other name a training value, unless the key says a split."""
    version = Version(
        "v", "", reported={"psnr": 20.0, "loss": 1.0, "train/psnr": 21.0, "validation/loss": 2.0}
    )
    assert study.references(recipe, version) == {
        ("test", "psnr"): 20.0,
        ("train", "loss"): 1.0,
        ("train", "psnr"): 21.0,
        ("validation", "loss"): 2.0,
    }


def test_every_source_has_a_title(recipe: Recipe, make: Maker) -> None:
    """Figures name data as people do, and whatever is drawn calls itself drawn."""
    for source in data.sources():
        run = make("v1")
        run.update(data={"name": source.name, "drawn": source.drawn, "sha256": ""})
        assert source.name in study.TITLES
        assert ("drawn" in study.data_name(run)) == source.drawn
