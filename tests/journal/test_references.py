"""Finding the run that somebody means, and saying what there is when nothing or too much fits."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, Run


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """An empty lab."""
    return Lab(tmp_path / "lab")


def make(
    lab: Lab, version: str = "model-2", seed: int = 0, recipe: str = "cvae-digits", **more: object
) -> Run:
    """A run of a version."""
    return lab.create_run(recipe=recipe, version=version, seed=seed, **more)


def test_every_form_finds_the_run(lab: Lab, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Id, last, selectors whole and in part, and folders in every spelling."""
    run = make(lab, seed=3)
    monkeypatch.chdir(tmp_path)
    forms = [
        run.id,
        "last",
        "cvae-digits:model-2@3",
        "model-2@3",
        "cvae-digits:model-2",
        "model-2",
        run.id[:-1],
    ]
    forms += [str(run.path), f"{run.path}/", f"lab/{run.id}", f"./lab/{run.id}/run.json", f"{run.id}/"]
    for form in forms:
        assert lab.find(form) == run, form
        assert lab.find(form, many=True) == [run], form
    monkeypatch.chdir(run.path)
    assert lab.find(".") == run
    monkeypatch.chdir(tmp_path / "lab")
    assert Lab(tmp_path / "elsewhere").find(run.id) == run


def test_last_is_the_newest(lab: Lab) -> None:
    """Also among runs made in the same second."""
    for seed in range(5):
        run = make(lab, seed=seed)
        assert lab.find("last") == run


def test_of_equal_runs_the_newest_is_meant(lab: Lab) -> None:
    """Training a version again with the same seed replaces the older one in references."""
    make(lab, seed=1)
    again = make(lab, seed=1)
    make(lab, seed=2)
    assert lab.find("cvae-digits:model-2@1") == again
    assert lab.find("model-2@1", many=True)[0] == again and len(lab.find("model-2@1", many=True)) == 2


def test_a_reference_that_fits_several_lists_five(lab: Lab) -> None:
    """Seeds are never chosen silently: the message counts the runs and names five of them."""
    runs = [make(lab, seed=seed) for seed in range(7)]
    for ref in ("model-2", "cvae-digits:model-2", "20"):
        with pytest.raises(UsageError, match=f"'{ref}' fits 7 runs") as caught:
            lab.find(ref)
        assert (
            caught.value.hint
            and caught.value.hint.count("-model-2-s") == 5
            and "and 2 more" in caught.value.hint
        )
        assert lab.find(ref, many=True) == runs[::-1]


def test_the_same_version_name_in_two_recipes_is_ambiguous(lab: Lab) -> None:
    """`exp-1@0` may be of either."""
    make(lab, "baseline", recipe="cvae-faces")
    run = make(lab, "baseline", recipe="vae")
    with pytest.raises(UsageError, match="fits 2 runs"):
        lab.find("baseline@0")
    assert lab.find("vae:baseline@0") == run


def test_a_fork_is_not_taken_for_its_version(lab: Lab) -> None:
    """`model-4@0` means the version as published; a fork of it is found by its own name or id."""
    parent = make(lab, "model-4")
    fork = make(lab, "model-4", parent=parent.id, patch={"loss.grey_weight": (0.32, 0.1)})
    named = make(lab, "model-4", parent=parent.id, name="less-grey", patch={"loss.grey_weight": (0.32, 0.1)})
    assert lab.find("model-4@0") == parent and lab.find("model-4", many=True) == [parent]
    assert lab.find("less-grey") == named and lab.find("cvae-digits:less-grey@0") == named
    assert lab.find(fork.id) == fork


def test_near_names_are_suggested(lab: Lab) -> None:
    """A typo gets what may have been meant, else the newest runs."""
    run = make(lab)
    with pytest.raises(UsageError, match=r"Did you mean .*model-2"):
        lab.find("modle-2")
    with pytest.raises(UsageError, match=f"The newest: {run.id}"):
        lab.find("zzzzzzzzzzzz")
    with pytest.raises(UsageError, match="no run fits"):
        lab.find("modle-2", many=True)


def test_an_empty_lab_says_how_to_begin(lab: Lab) -> None:
    """The first thing many people type is `show last`."""
    with pytest.raises(UsageError, match=r"there are no runs in .*\n  Train one: epochal run"):
        lab.find("last")
    with pytest.raises(UsageError, match="there are no runs"):
        lab.find("last", many=True)


@pytest.mark.parametrize(
    "ref", ["../x", "..", "../../etc", "/etc", "/", "x/../..", "~", "~/", "a/b", "/etc/passwd"]
)
def test_paths_that_are_no_run_are_refused(lab: Lab, ref: str) -> None:
    """A path never falls back to something else in the lab."""
    make(lab)
    with pytest.raises(UsageError, match="is a path, but there is no run"):
        lab.find(ref)


def test_hidden_folders_are_no_runs(lab: Lab) -> None:
    """A half-made or half-deleted run cannot be named by its folder's name."""
    run = make(lab)
    run.path.rename(lab.path / f".new-{run.id}")
    with pytest.raises(UsageError, match="no run"):
        lab.find(f".new-{run.id}")


@pytest.fixture(scope="module")
def one_run_lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A lab that reading leaves as it is."""
    lab = Lab(tmp_path_factory.mktemp("lab"))
    make(lab)
    return lab


@settings(max_examples=200, deadline=None)
@given(st.text(max_size=300))
def test_any_text_finds_a_run_or_is_refused(one_run_lab: Lab, ref: str) -> None:
    """Control characters, zeros, endless names: one kind of error only."""
    try:
        assert isinstance(one_run_lab.find(ref), Run)
    except UsageError as error:
        assert error.hint


def test_a_spoilt_run_is_told_when_named_and_skipped_otherwise(lab: Lab) -> None:
    """Naming its folder says what is wrong with it; other references do not see it."""
    run, spoilt = make(lab), make(lab)
    (spoilt.path / "run.json").write_text("[]")
    with pytest.raises(EpochalError, match="holds a list, not an object"):
        lab.find(spoilt.path.name)
    assert lab.find("last") == run


def test_a_copied_folder_is_found_by_its_own_name(lab: Lab) -> None:
    """A copy has the same id inside; the folder's name decides."""
    run = make(lab)
    shutil.copytree(run.path, lab.path / "my-copy")
    assert lab.find("my-copy").path == lab.path / "my-copy"
    assert lab.find(run.id) == run
