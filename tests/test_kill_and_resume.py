"""Ten kills of real training processes, by the same script that shows a hundred."""

import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[1] / "benchmarks" / "kill_and_resume.py"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no SIGKILL")
def test_killed_runs_end_as_uninterrupted_ones(tmp_path: Path) -> None:
    """Over four recipes, one of them a fleet: every run resumes after every kill, and ends with equal numbers."""
    page = tmp_path / "page.md"
    done = subprocess.run(
        [sys.executable, str(SCRIPT), "--kills", "10", "--out", str(page)],
        capture_output=True,
        text=True,
        timeout=1800,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "| all | 10 |" in done.stdout and "DIFFERENT" not in page.read_text()
