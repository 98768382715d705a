"""The experiment log: its structure, its links, both languages, and that no note or name breaks it."""

from __future__ import annotations

import dataclasses
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from urllib.parse import unquote

import numpy as np
import pytest

from epochal import api
from epochal.errors import EpochalError, UsageError
from epochal.journal import Lab, Run
from epochal.report import figures, log
from epochal.report.phrases import KOREAN
from epochal.training.pictures import write_grid
from epochal.training.task import Recipe, Trained, Version

Maker = Callable[..., Run]


def outline(text: str) -> list[str]:
    """The headings outside of fences."""
    found, ticks = [], ""
    for line in text.splitlines():
        fence = re.match(r"(`{3,})", line)
        if fence and (not ticks or (len(fence[1]) >= len(ticks) and line == fence[1])):
            ticks = "" if ticks else fence[1]
        elif not ticks and line.startswith("#"):
            found.append(line)
    assert not ticks, "a fence stays open"
    return found


def sections(text: str) -> dict[str, str]:
    """The text of each second-level section by its heading's first words (before the time)."""
    parts = re.split(r"^## (.*)$", text, flags=re.MULTILINE)
    return {head.partition(" — ")[0]: body for head, body in zip(parts[1::2], parts[2::2], strict=True)}


def links(text: str) -> list[str]:
    """Targets of all pictures."""
    return [unquote(target) for target in re.findall(r"!\[[^\]]*\]\(([^)]*)\)", text)]


@pytest.fixture
def study(recipe: Recipe, make: Maker, trained: Trained) -> dict[str, Run]:
    """Two seeds of v1, v2, a fork of it, a failed and a drafted one, with pictures and metrics."""
    runs = {
        "v1": make("v1", evaluation={"test": {"psnr": 19.0, "grey": 0.10}}),
        "v1 seed 1": make("v1", seed=1, evaluation={"test": {"psnr": 19.2, "grey": 0.12}}),
        "v2": make("v2", evaluation={"test": {"psnr": 19.5, "grey": 0.05}}),
    }
    runs["fork"] = make(
        "v2", parent=runs["v2"], name="less-grey", patch={"loss.grey_weight": 0.1}, status="stopped", done=3
    )
    runs["failed"] = make("v3", status="failed", done=0, reason="loss is NaN | in step 3\nsecond line")
    runs["draft"] = make("v2", parent=runs["v2"], name="idea", patch={"batch_size": 64}, status="draft")
    for name in ("v1", "v2", "fork"):
        figures.draw_run(recipe, runs[name], trained)
    return runs


@pytest.mark.usefixtures("study")
def test_sections_newest_first(recipe: Recipe, lab: Lab) -> None:
    """After lineage and comparison there is one section a version or fork, the newest first."""
    text = log.write(recipe, lab).read_text("utf-8")
    top = [line.partition(" — ")[0] for line in outline(text) if re.match(r"##? ", line)]
    assert top == [
        "# Experiment log: toy",
        "## Lineage",
        "## All versions compared",
        "## idea",
        "## v3",
        "## less-grey",
        "## v2",
        "## v1",
        "## Writing this log again",
    ]
    wanted = ["What changed", "Settings", "Epochs and final loss", "Runs and seeds"]
    wanted += ["Quality metrics (test set)", "Pictures", "Console log", "Time and machine"]
    wanted += ["Commands that reproduce these numbers", "Remarks"]
    assert re.findall(r"^### (.*)$", sections(text)["v2"], re.MULTILINE) == wanted


@pytest.mark.usefixtures("study")
def test_what_changed_in_words_and_settings(recipe: Recipe, lab: Lab) -> None:
    """Each section tells its parent, the change in words and as a diff; changed settings are bold."""
    found = sections(log.write(recipe, lab).read_text("utf-8"))
    assert "From **v1** — grey loss added." in found["v2"]
    assert "- `loss.grey_weight: 0 → 0.32`" in found["v2"]
    assert "| **`loss.grey_weight`** | **`0.32`** |" in found["v2"]
    assert "| `epochs` | `8` |" in found["v2"]
    assert "From **v2**." in found["less-grey"]
    assert "- `loss.grey_weight: 0.32 → 0.1`" in found["less-grey"]


@pytest.mark.usefixtures("study")
def test_lineage_tree(recipe: Recipe, lab: Lab) -> None:
    """The tree shows every version and fork under its parent with what changed on the edge."""
    tree = sections(log.write(recipe, lab).read_text("utf-8"))["Lineage"]
    assert tree.strip().splitlines() == [
        "```text",
        "v1: the first one (2 runs)",
        "└─ v2: grey loss added (1 run)",
        "   │  loss.grey_weight: 0 → 0.32",
        "   ├─ v3: longer (1 run)",
        "   │     epochs: 8 → 40",
        "   ├─ less-grey (1 run)",
        "   │     loss.grey_weight: 0.32 → 0.1",
        "   └─ idea (1 run)",
        "         batch_size: 32 → 64",
        "```",
    ]


@pytest.mark.usefixtures("study")
def test_comparison_refuses_other_losses(recipe: Recipe, lab: Lab) -> None:
    """Metrics are averaged over seeds; losses of other definition get other letters and a reason."""
    found = sections(log.write(recipe, lab).read_text("utf-8"))
    top = found["All versions compared"]
    assert "| version | data | n | psnr ↑ | grey ↓ |" in top
    assert "| v1 | MNIST | 2 | 19.1 ± 0.14 | 0.11 ± 0.014 |" in top
    assert "| v2 | MNIST | 1 | 19.5 | 0.05 |" in top
    assert re.search(r"\| v1 \| MNIST \| 8 \| 2 \| 27\.255 ± 0\.0071 \| 24\.85 \| A \|", top)
    assert re.search(r"\| v2 \| MNIST .* \| B \|", top)
    assert re.search(r"\| less-grey \(stopped\) \| MNIST .* \| – \| C \|", top)
    assert "Only losses with the same letter" in top
    assert "loss not comparable: v1 minimises `Σ(x - y)² + 0·grey | KL`, v2 minimises" in found["v2"]


@pytest.mark.usefixtures("study")
def test_loss_beside_the_reference(recipe: Recipe, lab: Lab) -> None:
    """The mean over seeds stands beside the reported loss with the difference in per cent."""
    found = sections(log.write(recipe, lab).read_text("utf-8"))
    told = re.search(
        r"Final training loss: \*\*27\.255 ± 0\.0071\*\* \(mean .* of 2 seeds\)(.*)", found["v1"]
    )
    assert told is not None
    assert told[1] == ". Reported reference: 24.85 (difference +9.68 %)"


def test_test_scores_beside_the_reference(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """A reported test score stands beside the measured one, with its source; not measured yet, it stands alone."""
    first = Version("v1", "the first one", reported={"psnr": 20.0, "loss": 24.85}, source="a paper (2016)")
    recipe = dataclasses.replace(recipe, versions=(first, *recipe.versions[1:]))
    run = make("v1")
    before = sections(log.write(recipe, lab).read_text("utf-8"))["v1"]
    assert "| psnr ↑ | – | 20 | dB on test images |" in before
    run.update(evaluation={"test": {"psnr": 19.0, "grey": 0.1}, "validation": {"psnr": 18.5}})
    after = sections(log.write(recipe, lab).read_text("utf-8"))["v1"]
    assert "| psnr ↑ | 19 | 20 | dB on test images |" in after
    assert "| grey ↓ | 0.1 | – | mean of 4y(1 - y) |" in after
    assert "| psnr ↑ | 18.5 | dB on test images |" in after
    assert "Reported: by a paper (2016)." in after
    assert "psnr: –" not in after, "a test score is not looked for among the training values"


def test_a_fleet_stands_beside_the_reference(lab: Lab) -> None:
    """What a log reports of a version is told with its source where many networks train it at once, too."""
    api.run(
        "xor-mlp", "until", patch={"epochs": 1}, seeds=2, grid={"optim.lr": [0.5, 0.1]}, lab=lab, show=False
    )
    text = api.log("xor-mlp", lab=lab).read_text("utf-8")
    (line,) = [line for line in text.splitlines() if line.startswith("Reported reference: ")]
    assert "iterations at lr 0.5 854, iterations at lr 0.1 3268" in line
    assert "by coursework log" in line and "it has other settings" in line


def test_intervals_stand_in_their_metrics_cell(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """The ends of an interval are no metrics of their own; a name that merely ends alike stays one."""
    make("v1", evaluation={"test": {"psnr": 19.0, "psnr_low": 18.5, "psnr_high": 19.5, "tide_low": 3.0}})
    found = sections(log.write(recipe, lab).read_text("utf-8"))
    assert "| psnr ↑ | 19 [18.5, 19.5] | dB on test images |" in found["v1"]
    assert "In brackets: the 95 % interval" in found["v1"]
    assert "| tide\\_low | 3 |" in found["v1"]
    assert "psnr\\_low" not in "".join(found.values())
    assert "tide" not in found["All versions compared"], "only metrics of the recipe compare its versions"


def test_pictures_say_what_they_show(recipe: Recipe, lab: Lab, make: Maker, trained: Trained) -> None:
    """Every picture of a section carries its title as words: the log can be read without seeing them."""
    figures.draw_run(recipe, make("v1"), trained)
    text = log.write(recipe, lab).read_text("utf-8")
    assert "`loss`: Loss, reconstruction and KL divergence over epochs: training (means over items)" in text
    assert "`digits`: Noise in rows" in text
    assert "![Noise in rows](toy-files/" in text


def test_drawn_data_never_pass_as_real(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """A study on drawn glyphs says so at the top, in its tables, and keeps the reference apart."""
    make("v1", drawn=True, patch={"data.limit": 256})
    text = log.write(recipe, lab).read_text("utf-8")
    assert (
        "- Data: drawn glyphs, at most 256 training items (drawn by Epochal itself, **not real data**" in text
    )
    assert "MNIST" not in text
    assert "24.85 (not comparable with this run: it trained on drawn data, it has other settings)" in text
    assert "- `data.limit = 256`" in text


def test_the_items_that_were_trained_on_are_told_not_the_limit(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """A limit of 256 on a table of four rows leaves four: the log counts those, and so do its items a second."""
    run = make("v1", patch={"data.limit": 256, "batch_size": 3})
    run.update(data={"name": "xor", "drawn": False, "items": 4}, steps_done=101)
    text = log.write(recipe, lab).read_text("utf-8")
    assert "XOR table, 4 training items (computed" in text
    assert "학습 데이터 4개" in log.write(recipe, lab, lang="ko").read_text("utf-8")
    seconds = run.metrics()[-1]["time"]
    # Two steps are a pass, of 3 + 1 items: 50 passes and one whole batch.
    assert f"{(50 * 4 + 3) / seconds:,.0f} items/s" in text


def test_computed_data_are_neither_real_nor_a_stand_in(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """A table or a wave that the recipe computes has no digest and stands in for nothing: the log says so."""
    make("v1").update(data={"name": "xor", "drawn": False})
    text = log.write(recipe, lab).read_text("utf-8")
    assert "- Data: XOR table (computed; stands in for no other data)" in text


def test_losses_on_other_data_do_not_compare(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """One formula on MNIST and on drawn glyphs gives two kinds of loss, and the tables say so."""
    make("v1", evaluation={"test": {"psnr": 19.0}})
    make("v1", drawn=True, evaluation={"test": {"psnr": 25.0}})
    top = sections(log.write(recipe, lab).read_text("utf-8"))["All versions compared"]
    assert "Numbers of different data do not compare." in top
    assert "- A. MNIST: `" in top and "- B. drawn glyphs: `" in top


def test_pictures_move_with_the_log(recipe: Recipe, lab: Lab, study: dict[str, Run], tmp_path: Path) -> None:
    """Every picture link is relative and exists beside the log, also after both were moved elsewhere."""
    path = log.write(recipe, lab, out=tmp_path / "my log.md")
    away = tmp_path / "away"
    away.mkdir()
    shutil.move(path, away)
    shutil.move(tmp_path / "my log-files", away)
    shutil.rmtree(lab.path)
    found = links((away / path.name).read_text("utf-8"))
    assert len(found) == 6
    assert {Path(link).parts[1] for link in found} == {study[name].id for name in ("v1", "v2", "fork")}
    for link in found:
        assert (away / link).read_bytes().startswith(b"\x89PNG")


def test_sample_stands_in_for_missing_figures(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """A run that is still training shows its last sample; links and files that are no PNG are not copied."""
    run = make("v1", done=2, status="stopped")
    for epoch in (1, 2):
        write_grid(run.samples_dir / f"epoch-{epoch:04d}.png", np.zeros((1, 2, 8, 8), np.uint8))
    (run.samples_dir / "z.png").write_text("no picture")
    found = links(log.write(recipe, lab).read_text("utf-8"))
    assert [Path(link).name for link in found] == ["epoch-0002.png"]


NASTY = """fine *so far*
```
# not a heading
~~~
</details>
<script>alert(1)</script>
| a | b |
````
## Remarks
[link](x) ![p](y.png) **bold
끝: 회색이 사라졌다"""


@pytest.mark.parametrize("lang", ["en", "ko"])
def test_notes_are_verbatim_and_harmless(recipe: Recipe, lab: Lab, study: dict[str, Run], lang: str) -> None:
    """A note with fences, headings and HTML stands word for word in the log and changes nothing around it."""
    before = outline(log.write(recipe, lab, lang).read_text("utf-8"))
    study["v2"].note(NASTY)
    text = log.write(recipe, lab, lang).read_text("utf-8")
    assert NASTY in text
    assert outline(text) == before
    block = re.search(r"^(`{5,})text\n(.*?)\n\1$", text, re.MULTILINE | re.DOTALL)
    assert block is not None and block[2] == NASTY


def test_a_note_of_all_seeds_stands_once(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """A remark that all seeds of a version share is shown once; handwritten ones have no time."""
    runs = [make("v1", seed=seed) for seed in (0, 1)]
    for run in runs:
        (run.path / "notes.md").write_text("**2026-01-02 03:04 UTC**  \nboth\n", encoding="utf-8")
    (runs[1].path / "notes.md").write_text("by hand\n\n**2026-01-02 03:04 UTC**  \nboth\n", encoding="utf-8")
    remarks = sections(log.write(recipe, lab).read_text("utf-8"))["v1"].partition("### Remarks")[2]
    told = "2026-01-02 03:04 UTC, seed 0, 1: ```text both ``` seed 1: ```text by hand ```"
    assert " ".join(remarks.partition("## ")[0].split()) == told


def test_names_and_reasons_cannot_break_the_page(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """Names and reasons with bars, backticks and HTML stay inside their heading and their cell."""
    parent = make("v1")
    name, reason = "a|b `c` <i>x</i> # y", "bad | value\n## Fake\n</details>"
    make("v1", parent=parent, name=name, patch={"epochs": 2}, status="failed", done=1, reason=reason)
    text = log.write(recipe, lab).read_text("utf-8")
    assert r"## a\|b \`c\` \<i\>x\</i\> \# y — " in text
    assert not any("Fake" in heading for heading in outline(text))
    (row,) = [line for line in text.splitlines() if "failed (reason" in line]
    assert len(re.findall(r"(?<!\\)\|", row)) == 8
    assert text.count("</details>") == text.count("<details>") == 2


@pytest.mark.usefixtures("study")
def test_korean(recipe: Recipe, lab: Lab) -> None:
    """In Korean every heading and table head is Korean, while the numbers are the same as in English."""
    english, korean = (log.write(recipe, lab, lang).read_text("utf-8") for lang in ("en", "ko"))
    heads = [line.lstrip("# ").partition(" — ")[0] for line in outline(korean)]
    names = {"idea", "v3", "less-grey", "v2", "v1"}
    assert all(re.search("[가-힣]", head) for head in heads if head not in names)
    assert "# 실험 기록: toy" in korean
    for word in ("변경점", "설정", "최종 학습 손실", "비고", "재현 명령", "손실 비교 불가", "콘솔 로그"):
        assert word in korean
    assert len(outline(korean)) == len(outline(english))
    assert re.findall(r"\d+\.\d+", korean.replace("ko", "en")) == re.findall(r"\d+\.\d+", english)
    assert not re.search(r"^- (Data|Epochs|Hardware)", korean, re.MULTILINE)
    assert KOREAN["drawn"] not in korean


def test_console_log_is_elided(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """Of a long console log the ends stand in a collapsed block; what is left out is counted."""
    run = make("v1")
    lines = [f"line {i}" for i in range(1, 101)]
    (run.path / "console.log").write_text("\n".join(["10%\r50%\rdone", *lines]) + "\n", encoding="utf-8")
    text = log.write(recipe, lab).read_text("utf-8")
    pattern = r"<details>\n<summary>Console log</summary>\n\n```text\n(.*?)\n```\n\n</details>"
    block = re.search(pattern, text, re.DOTALL)
    assert block is not None
    kept = block[1].split("\n")
    assert kept[:2] == ["done", "line 1"]
    assert kept[-1] == "line 100"
    (gap,) = [line for line in kept if "left out" in line]
    assert gap == f"… {101 - (len(kept) - 1)} lines left out …"


@pytest.mark.usefixtures("study")
def test_commands_reproduce(recipe: Recipe, lab: Lab, study: dict[str, Run]) -> None:
    """The typed command, one that starts the saved settings again, and the one that measured stand there."""
    found = sections(log.write(recipe, lab).read_text("utf-8"))
    assert "\nepochal run toy v2 --seed 0\n" in found["v2"]
    assert f"\nepochal run toy v2 --settings lab/{study['v2'].id}/run.json --seed 0\n" in found["v2"]
    assert f"\nepochal evaluate {study['v2'].id} --split test\n" in found["v2"]
    assert "Wall time: 0:02:40 (seed 0), 160 items/s" in found["v2"]
    assert "Hardware: Test CPU, 2 cores, 8 GiB memory, device cpu" in found["v2"]


def test_the_version_that_was_not_typed_is_told(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """Without its name the newest version was meant, which may be another one by now."""
    make("v2").update(command=["epochal", "run", "toy"])
    assert "# as it was started (the version was v2)\nepochal run toy\n" in log.write(recipe, lab).read_text(
        "utf-8"
    )


def test_bold_settings_say_against_what_they_are_changed(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """The first version has no parent: what differs there differs from the version itself."""
    make("v1", patch={"batch_size": 64})
    make("v2")
    make("v3", patch={"batch_size": 64})
    found = sections(log.write(recipe, lab).read_text("utf-8"))
    assert "Bold: not as the version has it." in found["v1"]
    assert "Bold: changed from the parent." in found["v2"]
    assert "Bold: changed from the parent, or not as the version has it." in found["v3"]


def test_steps_that_were_not_reached_are_told(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """A run whose epochs ended before its steps did less than its settings seem to say."""
    make("v1", patch={"steps": 3_000})
    make("v2", patch={"steps": 800})
    found = sections(log.write(recipe, lab).read_text("utf-8"))
    assert "- Steps: 800 of 3,000: all epochs were done before" in found["v1"]
    assert "all epochs were done" not in found["v2"]


def test_command_of_a_notebook_is_not_shown(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """What started a run from Python is no command to type: only the one with the saved settings is shown."""
    run = make("v1")
    run.update(command=["ipykernel_launcher.py", "-f", "secret.json"])
    text = log.write(recipe, lab).read_text("utf-8")
    assert "secret.json" not in text
    assert "epochal run toy v1 --settings" in text


@pytest.mark.parametrize("status", ["draft", "running", "stopped", "failed"])
def test_unfinished_runs(recipe: Recipe, lab: Lab, make: Maker, status: str) -> None:
    """A run without any value or picture has section and status, and is not compared with the reference."""
    make("v1", done=0, status=status)
    text = log.write(recipe, lab).read_text("utf-8")
    assert "No epoch is finished yet." in text
    assert "No pictures were drawn yet." in text
    assert "No run was evaluated yet" in text
    assert "(not comparable with this run: it is not finished)" in text
    assert status in text


@pytest.mark.usefixtures("study")
def test_same_lab_same_log(recipe: Recipe, lab: Lab) -> None:
    """Written twice, log and pictures are the same byte for byte: they can be kept under version control."""
    path = log.write(recipe, lab)
    files = lab.path / "toy-files"
    before = {file: file.read_bytes() for file in [path, *files.rglob("*.png")]}
    assert log.write(recipe, lab) == path == lab.path / "toy.md"
    assert {file: file.read_bytes() for file in [path, *files.rglob("*.png")]} == before
    assert str(lab.path) not in before[path].decode()


def test_only_its_own_files_are_overwritten(recipe: Recipe, lab: Lab, make: Maker, tmp_path: Path) -> None:
    """A file that is no log of this recipe, a folder, a missing folder: refused, nothing changed."""
    make("v1")
    mine = tmp_path / "README.md"
    mine.write_text("mine")
    for target, message in (
        (mine, "was not written by"),
        (tmp_path, "is a folder"),
        (tmp_path / "no" / "log.md", "there is no folder"),
    ):
        with pytest.raises(UsageError, match=message):
            log.write(recipe, lab, out=target)
    assert mine.read_text() == "mine"
    (tmp_path / "x-files").write_text("mine too")
    with pytest.raises(UsageError, match="x-files is a file"):
        log.write(recipe, lab, out=tmp_path / "x.md")


def test_no_runs_and_unknown_language(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """Without runs of the recipe, or in an unknown language, one clear message says what to do."""
    with pytest.raises(UsageError, match="there are no runs of toy") as caught:
        log.write(recipe, lab)
    assert "epochal run toy" in str(caught.value)
    make("v1")
    with pytest.raises(UsageError, match="'de'"):
        log.write(recipe, lab, "de")


def test_full_disk_keeps_the_old_log(
    recipe: Recipe, lab: Lab, make: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When the disk fails while writing, the old log is as it was and the error names the file."""
    run = make("v1")
    path = log.write(recipe, lab)
    before = path.read_bytes()
    run.note("new")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(EpochalError, match=r"toy\.md"):
        log.write(recipe, lab)
    assert path.read_bytes() == before


def test_what_a_named_run_changes_is_told_once(recipe: Recipe, lab: Lab, make: Maker) -> None:
    """Under the version it trains, without that version's own change; its name heads the section."""
    make("v2")
    make("v2", name="short", patch={"epochs": 1})
    found = sections(log.write(recipe, lab).read_text("utf-8"))
    assert "From **v2**." in found["short"] and found["short"].count("epochs: 8 → 1") == 1
    assert "grey_weight: 0 → " not in found["short"] and "not the version's own" not in found["short"]
