"""Set Epochal up and start it, on a machine that has Python and nothing else.

    python go.py demo [--lab DIR]   train a small C-VAE lineage and write its experiment log (about 4 minutes)
    python go.py test [ARGUMENTS]   run the test suite (arguments go to pytest)
    python go.py epochal ARGUMENTS  run the command line, for example: python go.py epochal list

The first call makes a private environment in `.epochal-env` beside this file and installs the tested versions
into it; later calls start at once. Deleting that folder undoes everything. Standard library only.

EPOCHAL_TORCH_INDEX=off takes PyTorch from wherever pip finds it, =URL from that package index. Without it,
Linux machines that have no NVIDIA driver get PyTorch's CPU build, a tenth of the size of the ordinary one.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import platform
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path
from typing import IO, Any, Iterator, Mapping, NamedTuple, NoReturn, Sequence

ROOT = Path(__file__).resolve().parent
ENV = ROOT / ".epochal-env"
OLDEST_PYTHON = (3, 11)
NEWER_PYTHONS = ("python3.13", "python3.12", "python3.11", "python3.14", "python3", "py")
TORCH_CPU_INDEX = "https://download.pytorch.org/whl/cpu"
PROBE_SECONDS = 8.0
# The demo's versions and their epochs: readable digits in three minutes of training on two cores.
DEMO = (("model-1", 3), ("model-2", 3), ("model-3", 5), ("model-4", 5))
DEMO_IMAGES = 9000
DEMO_DATA = ("--data.source", "glyphs")
GIGABYTE = 1e9


class Trouble(Exception):
    """Something failed that the user can mend: what it was, and what to do about it."""

    def __init__(self, what: str, remedy: str) -> None:
        super().__init__(what)
        self.what = what
        self.remedy = remedy


# What pip's and venv's own words mean for the user; the first match counts, so the root causes stand first.
REMEDIES = (
    (
        r"No space left on device|Errno 28|not enough space on the disk",
        "The disk is full. Free some space (or point TMPDIR at a disk that has some), then run it again.",
    ),
    (
        r"ensurepip is not available|No module named '?ensurepip|No module named '?venv",
        "This Python lacks its venv module. On Debian or Ubuntu: sudo apt install python3-venv. "
        "Then run the same command again.",
    ),
    (
        r"CERTIFICATE_VERIFY_FAILED",
        "The network's certificate is not trusted. Behind a company proxy set PIP_CERT to its certificate.",
    ),
    (
        r"Temporary failure in name resolution|Name or service not known|nodename nor servname"
        r"|getaddrinfo failed|NewConnectionError|Failed to establish a new connection|Network is unreachable"
        r"|Connection refused|ConnectTimeout|Read timed out|ProxyError|Connection aborted|Connection reset",
        "The package index cannot be reached. Check the network (behind a proxy set HTTPS_PROXY; for a "
        "mirror set PIP_INDEX_URL) and run the same command again: what is already installed is kept.",
    ),
    (
        r"No matching distribution found for torch",
        "PyTorch has no build for this machine. It needs a 64-bit Python 3.11 to 3.14 on Linux, Windows or "
        "a Mac with Apple silicon.",
    ),
    (
        r"Permission denied|Access is denied|Read-only file system",
        "The folder cannot be written. Give yourself write access to it, or copy it somewhere that is yours.",
    ),
    (
        r"DLL load failed|WinError 126",
        "A system library is missing. On Windows install the Microsoft Visual C++ Redistributable (x64).",
    ),
)
LAST_RESORT = "Delete the folder .epochal-env and run the same command again."


def remedy_for(output: str) -> str:
    """What to do about a failed step, from what it printed."""
    for pattern, remedy in REMEDIES:
        if re.search(pattern, output):
            return remedy
    return LAST_RESORT


def say(text: str) -> None:
    """Prints a line at once, also into a pipe."""
    print(text, flush=True)


# ---------------------------------------------------------------------------------------------- Python


def python_advice(system: str) -> str:
    """How to get a new enough Python on this operating system."""
    command = {
        "Linux": "sudo apt install python3.11 python3.11-venv (or your distribution's package)",
        "Darwin": "brew install python@3.13",
        "Windows": "winget install Python.Python.3.13",
    }.get(system, "see the downloads page")
    return f"Get one: {command}, or from https://www.python.org/downloads/ . Then: python3.13 go.py ..."


def newer_python() -> str | None:
    """A Python on the PATH that is new enough, or None."""
    check = f"import sys; sys.exit(sys.version_info[:2] < {OLDEST_PYTHON})"
    for name in NEWER_PYTHONS:
        path = shutil.which(name)
        if path is None:
            continue
        with contextlib.suppress(OSError, subprocess.SubprocessError):
            if (
                subprocess.run([path, "-c", check], check=False, timeout=20, capture_output=True).returncode
                == 0
            ):
                return path
    return None


def insist_on_python(arguments: Sequence[str]) -> None:
    """Goes on with a newer Python from the PATH when this one is too old.

    Raises:
        Trouble: there is none.
    """
    if sys.version_info[:2] >= OLDEST_PYTHON:
        return
    here = platform.python_version()
    wanted = ".".join(map(str, OLDEST_PYTHON))
    newer = newer_python()
    if newer is None:
        raise Trouble(
            f"Epochal needs Python {wanted} or newer; this is Python {here} ({sys.executable}), "
            "and no newer one is on the PATH.",
            python_advice(platform.system()),
        )
    say(f"This is Python {here}; going on with {newer}.")
    raise SystemExit(run_in_foreground([newer, str(Path(__file__).resolve()), *arguments], dict(os.environ)))


# ---------------------------------------------------------------------------------------------- environment


class Torch(NamedTuple):
    """Where PyTorch comes from: an index (None: wherever pip finds it), and whether the user named it."""

    url: str | None
    asked_for: bool


def has_nvidia_driver() -> bool:
    """Whether this machine has an NVIDIA driver (also under WSL)."""
    return (
        Path("/proc/driver/nvidia/version").exists()
        or Path("/usr/lib/wsl/lib/libcuda.so.1").exists()
        or shutil.which("nvidia-smi") is not None
    )


def choose_torch(environ: Mapping[str, str], system: str, nvidia: bool) -> Torch:
    """Decides where PyTorch comes from.

    Raises:
        Trouble: EPOCHAL_TORCH_INDEX is neither `off` nor a URL.
    """
    wish = environ.get("EPOCHAL_TORCH_INDEX", "").strip()
    if wish.lower() == "off":
        return Torch(None, True)
    if wish:
        if not re.match(r"(https?|file)://", wish):
            raise Trouble(
                f"EPOCHAL_TORCH_INDEX is {wish!r}.",
                "Set it to off, or to the URL of a package index, or leave it unset.",
            )
        return Torch(wish, True)
    return Torch(TORCH_CPU_INDEX if system == "Linux" and not nvidia else None, False)


def answers(url: str, seconds: float = PROBE_SECONDS) -> bool:
    """Whether a web address answers soon.

    Asked in a thread of its own: looking up a name can hang for minutes, whatever the socket's timeout.
    """
    reached = threading.Event()

    def ask() -> None:
        with contextlib.suppress(Exception), urllib.request.urlopen(url, timeout=seconds):
            reached.set()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    asking.join(seconds)
    return reached.is_set()


def env_python(env: Path) -> Path:
    """The environment's interpreter."""
    return env / "Scripts" / "python.exe" if os.name == "nt" else env / "bin" / "python"


def child_environ(environ: Mapping[str, str]) -> dict[str, str]:
    """Environment variables for programs in the private environment: nothing of another one leaks in."""
    foreign = {"PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_USER", "VIRTUAL_ENV"}
    own = {
        "PYTHONNOUSERSITE": "1",
        "PYTHONUTF8": "1",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
        "PIP_NO_INPUT": "1",
    }
    return {**{name: value for name, value in environ.items() if name not in foreign}, **own}


def fingerprint(root: Path, env: Path) -> str:
    """Changes whenever the environment must be brought up to date.

    The folder counts too: an environment that was moved or copied does not work.
    """
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((root / name).read_bytes() + b"\0")
    digest.update(f"{sys.version_info[:2]} {platform.machine()} {env}".encode())
    return digest.hexdigest()


def read_stamp(env: Path) -> dict[str, object]:
    """What the last complete set-up left behind; empty when there was none."""
    try:
        stamp = json.loads((env / "ready.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return stamp if isinstance(stamp, dict) else {}


def is_ready(root: Path, env: Path, extra: str) -> bool:
    """Whether the environment holds what this checkout asks for, `extra` ("" or "dev") included."""
    stamp = read_stamp(env)
    return (
        stamp.get("fingerprint") == fingerprint(root, env)
        and stamp.get("extra") in (extra, "dev")
        and env_python(env).exists()
    )


@contextlib.contextmanager
def alone(path: Path) -> Iterator[None]:
    """Holds a lock that the system releases when the process dies, however it dies."""
    with open(path, "a+b") as file:
        if not try_lock(file):
            say("Another go.py is setting up this folder: waiting for it.")
            while not try_lock(file):
                time.sleep(0.5)
        yield


def try_lock(file: IO[bytes]) -> bool:
    """Takes the lock if nobody has it. A file system without locks counts as free."""
    try:
        if sys.platform == "win32":
            import msvcrt

            file.seek(0)
            msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    except OSError:
        return True
    return True


def empty(env: Path) -> None:
    """Removes what is in the environment's folder, but for the lock held on it and the log."""
    for entry in env.iterdir():
        if entry.name in ("lock", "setup.log"):
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


def made_by_this_python(env: Path) -> bool:
    """Whether the environment's interpreter runs and is of this Python's version."""
    command = [str(env_python(env)), "-c", "import sys; print(sys.version_info[:2])"]
    try:
        answer = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return False
    return answer.stdout.strip() == str(tuple(sys.version_info[:2]))


def pinned(root: Path, package: str) -> str:
    """The requirement `package==version` from constraints.txt."""
    lines = (root / "constraints.txt").read_text(encoding="utf-8").splitlines()
    return next((line.strip() for line in lines if line.startswith(f"{package}==")), package)


class Steps:
    """Runs the set-up's commands, one line each on the screen, their output in a log file."""

    def __init__(self, log: Path) -> None:
        self.log = log

    def run(self, title: str, command: Sequence[str], environ: Mapping[str, str]) -> int:
        """Runs one command to its end and returns its exit status; shows how long it takes."""
        started = time.monotonic()
        live = sys.stdout.isatty()
        with open(self.log, "ab") as log:
            log.write(f"\n$ {' '.join(command)}\n".encode())
            log.flush()
            process = subprocess.Popen(
                list(command),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=dict(environ),
                cwd=str(ROOT),
            )
            try:
                while True:
                    try:
                        status = process.wait(timeout=0.5)
                        break
                    except subprocess.TimeoutExpired:
                        if live:
                            print(f"\r  {title} ... {time.monotonic() - started:.0f} s", end="", flush=True)
            except BaseException:
                process.kill()
                process.wait()
                raise
        outcome = "" if status == 0 else "  (failed)"
        start = "\r" if live else ""
        say(f"{start}  {title} ... {time.monotonic() - started:.1f} s{outcome}")
        return status

    def must(self, title: str, command: Sequence[str], environ: Mapping[str, str]) -> None:
        """Like `run`.

        Raises:
            Trouble: the command failed; the end of its output and a remedy are in the message.
        """
        before = self.log.stat().st_size if self.log.exists() else 0
        status = self.run(title, command, environ)
        if status == 0:
            return
        with open(self.log, "rb") as log:
            log.seek(before)
            output = log.read().decode("utf-8", "replace")
        if status == -getattr(signal, "SIGKILL", 9):
            remedy = (
                "The system killed it, most likely for want of memory. Close other programs and run it again."
            )
        else:
            remedy = remedy_for(output)
        tail = "\n".join("    " + line for line in output.strip().splitlines()[-12:])
        raise Trouble(f"'{title}' failed. The end of its output ({self.log}):\n{tail}", remedy)


def insist_on_space(root: Path, torch: Torch) -> None:
    """Stops before a download that cannot fit.

    Raises:
        Trouble: too little is free.
    """
    big = torch.url is None and platform.system() == "Linux" and has_nvidia_driver()
    needed = 10.0 if big else 3.0
    free = shutil.disk_usage(root).free / GIGABYTE
    if free < needed:
        raise Trouble(
            f"The set-up needs about {needed:.0f} GB of disk in {root}, and {free:.1f} GB are free.",
            "Free some space, or copy this folder to a larger disk and run it there.",
        )


def set_up(extra: str) -> Path:
    """Makes or brings up to date the private environment; returns its interpreter.

    Args:
        extra: "" for what Epochal needs to run, "dev" to test it as well.

    Raises:
        Trouble: a step failed.
    """
    if is_ready(ROOT, ENV, extra):
        return env_python(ENV)
    try:
        ENV.mkdir(exist_ok=True)
    except OSError as error:
        raise Trouble(
            f"Cannot make the folder {ENV}: {error.strerror}.", remedy_for("Permission denied")
        ) from None
    with alone(ENV / "lock"):
        if not is_ready(ROOT, ENV, extra):
            reused = made_by_this_python(ENV)
            try:
                install(extra, fresh=not reused)
            except Trouble as trouble:
                if not reused or trouble.remedy != LAST_RESORT:
                    raise
                say("  The environment seems to be broken: making it anew.")
                install(extra, fresh=True)
    return env_python(ENV)


def install(extra: str, fresh: bool) -> None:
    """The set-up's steps. The stamp is written last, so an interrupted set-up is repeated.

    Args:
        extra: as for `set_up`.
        fresh: make the environment anew.

    Raises:
        Trouble: a step failed.
    """
    started = time.monotonic()
    torch = choose_torch(os.environ, platform.system(), has_nvidia_driver())
    steps, environ, python = Steps(ENV / "setup.log"), child_environ(os.environ), str(env_python(ENV))
    say(f"Setting up {ENV.name} with Python {platform.python_version()} (once; takes a minute or two)")
    (ENV / "ready.json").unlink(missing_ok=True)
    if fresh:
        insist_on_space(ROOT, torch)
        empty(ENV)
        steps.must("private environment", [sys.executable, "-m", "venv", str(ENV)], environ)
    pip = [python, "-m", "pip", "install", "--prefer-binary", "-c", "constraints.txt"]
    install_torch(steps, pip, torch, environ)
    what = "Epochal and what it needs" if not extra else "Epochal, what it needs, and the test tools"
    steps.must(what, [*pip, "-e", f".[{extra}]" if extra else "."], environ)
    steps.must("trying it", [python, "-c", "import torch, epochal.cli"], environ)
    stamp = {"fingerprint": fingerprint(ROOT, ENV), "extra": extra}
    (ENV / "ready.json").write_text(json.dumps(stamp), encoding="utf-8")
    say(f"Ready after {time.monotonic() - started:.0f} s.")


def install_torch(steps: Steps, pip: Sequence[str], torch: Torch, environ: Mapping[str, str]) -> None:
    """Installs PyTorch from its own index where one is chosen; otherwise the next step brings it.

    Raises:
        Trouble: the index that the user named does not deliver.
    """
    if torch.url is None:
        return
    command = [*pip, "--no-deps", "--index-url", torch.url, pinned(ROOT, "torch")]
    if torch.asked_for:
        steps.must(f"PyTorch from {torch.url}", command, environ)
    elif not answers(torch.url):
        say("  PyTorch's CPU index does not answer: taking the PyTorch that pip finds.")
    elif steps.run("PyTorch, CPU build", [*command, "--timeout", "20", "--retries", "2"], environ) != 0:
        say("  PyTorch's CPU index did not deliver: taking the PyTorch that pip finds.")


# ---------------------------------------------------------------------------------------------- commands


def run_in_foreground(command: Sequence[str], environ: Mapping[str, str]) -> int:
    """Runs a command on this terminal and returns its exit status.

    Ctrl-C reaches the command itself, which knows how to stop: this process only waits for it.
    """
    process = subprocess.Popen(list(command), env=dict(environ))
    while True:
        try:
            status = process.wait()
            break
        except KeyboardInterrupt:
            continue
    return status if status >= 0 else 128 - status


def run_tests(arguments: Sequence[str]) -> int:
    """`python go.py test`: pytest in the private environment, in this folder."""
    python = set_up("dev")
    os.chdir(ROOT)
    return run_in_foreground([str(python), "-m", "pytest", *arguments], child_environ(os.environ))


def run_epochal(arguments: Sequence[str]) -> int:
    """`python go.py epochal ...`: the command line, in the folder where the user is."""
    python = set_up("")
    return run_in_foreground([str(python), "-m", "epochal", *arguments], child_environ(os.environ))


def run_demo(arguments: Sequence[str]) -> int:
    """`python go.py demo`: the versions of cvae-digits, small, on drawn digits; then their experiment log.

    What an earlier call finished is not trained again, and what it began is resumed.
    """
    parser = argparse.ArgumentParser(prog="go.py demo")
    parser.add_argument("--lab", default="lab", help="folder of the runs (default: ./lab)")
    lab = Path(parser.parse_args(arguments).lab).absolute()
    epochal, environ = [str(set_up("")), "-m", "epochal"], child_environ(os.environ)
    for number, (version, epochs) in enumerate(DEMO, start=1):
        say(f"\n[{number}/{len(DEMO)}] {version}: {epochs} epochs of {DEMO_IMAGES:,} drawn digits")
        began = demo_run(lab, version, epochs)
        if began and began["status"] == "finished":
            say(f"  already there: {began['id']}")
            continue
        words = [*epochal, "resume", began["id"]] if began else [*epochal, "run", "cvae-digits", version]
        if not began:
            words += ["--epochs", str(epochs), *DEMO_DATA, "--data.limit", str(DEMO_IMAGES)]
        status = run_in_foreground([*words, "--lab", str(lab)], environ)
        if status != 0:
            return status
    status = run_in_foreground([*epochal, "log", "cvae-digits", "--lab", str(lab)], environ)
    newest = demo_run(lab, *DEMO[-1])
    if status == 0 and newest:
        say(f"\nThe experiment log: {lab / 'cvae-digits.md'}")
        say(f"Its picture grid:   {lab / newest['id'] / 'figures' / 'digits.png'}")
        say("Next: python go.py epochal list    python go.py epochal fork last --loss.grey-weight 0.1")
    return status


def demo_run(lab: Path, version: str, epochs: int) -> dict[str, Any] | None:
    """The run.json of the demo's newest run of a version that is finished or can be resumed, or None."""
    wanted = {"recipe": "cvae-digits", "version": version, "name": None, "seed": 0}
    for path in sorted(lab.glob("*/run.json"), reverse=True):
        try:
            meta = json.loads(path.read_text(encoding="utf-8"))
            settings = meta["settings"]
            same = all(meta[key] == value for key, value in wanted.items())
            same = same and settings["epochs"] == epochs and settings["data"]["limit"] == DEMO_IMAGES
        except (OSError, ValueError, KeyError, TypeError):
            continue
        if same and meta["status"] in ("finished", "stopped", "running"):
            found: dict[str, Any] = meta
            return found
    return None


def usage() -> NoReturn:
    """Says how this program is called."""
    say((__doc__ or "").strip())
    raise SystemExit(2)


def main(arguments: Sequence[str]) -> int:
    """Does what the command line asks for; returns the exit status."""
    commands = {"demo": run_demo, "test": run_tests, "epochal": run_epochal}
    if not arguments or arguments[0] not in commands:
        usage()
    try:
        insist_on_python(arguments)
        return commands[arguments[0]](arguments[1:])
    except Trouble as trouble:
        say(f"\n{trouble.what}\n\n  What to do: {trouble.remedy}")
        return 1
    except KeyboardInterrupt:
        say("\nInterrupted. Run the same command again to go on.")
        return 130


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
