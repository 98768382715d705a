"""Downloads arrive whole or not at all, whatever a mirror does. Every mirror is a local server."""

import functools
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from epochal.errors import EpochalError
from epochal.systems import data
from epochal.systems.data import catalogue, download, idx, mnist


def _contents() -> dict[str, bytes]:
    rng = np.random.default_rng(1)
    columns = {
        "train-images": rng.integers(0, 256, (60, 28, 28), np.uint8),
        "train-labels": (np.arange(60) % 10).astype(np.uint8),
        "t10k-images": rng.integers(0, 256, (10, 28, 28), np.uint8),
        "t10k-labels": np.arange(10, dtype=np.uint8),
    }
    return {
        f"{stem}-idx{array.ndim}-ubyte": idx.header(array.shape) + array.tobytes()
        for stem, array in columns.items()
    }


class _Mirror(http.server.BaseHTTPRequestHandler):
    """Serves the files at /BEHAVIOUR/NAME; the behaviour says how badly."""

    protocol_version = "HTTP/1.1"
    contents: dict[str, bytes]
    seen: list[tuple[str, str, str | None]]

    def do_GET(self) -> None:  # the name that http.server asks for
        _, behaviour, name = self.path.split("/")
        self.seen.append((behaviour, name, self.headers["Range"]))
        whole = self.contents[name]
        start = int((self.headers["Range"] or "bytes=0-")[6:-1])
        if behaviour in ("norange", "html"):
            start = 0
        body = whole[start:]
        if behaviour == "missing":
            self.send_error(404)
        elif behaviour == "html":
            self._send(b"<html>please log in</html>", 0)
        elif behaviour == "lie":
            self._send(bytes(byte ^ 1 for byte in body), start)
        elif behaviour == "halflie":  # wrong bytes, then a broken connection
            self._send(bytes(byte ^ 1 for byte in body), start, sent=len(body) // 2)
        elif behaviour == "misplaced":
            self._send(body, start, claimed=start + 1)
        elif behaviour == "truncate":  # every request brings half of what is left
            self._send(body, start, sent=max(len(body) // 2, 1 if start == 0 else 9000))
        elif behaviour == "stall":
            self._send(body, start, sent=len(body) // 2, hang=True)
        elif behaviour == "endless":
            self._send(body + bytes(1 << 20), start, length=False)
        else:
            self._send(body, start)

    def _send(
        self,
        body: bytes,
        start: int,
        *,
        sent: int | None = None,
        claimed: int | None = None,
        hang: bool = False,
        length: bool = True,
    ) -> None:
        self.send_response(206 if start else 200)
        if start:
            first = start if claimed is None else claimed
            self.send_header("Content-Range", f"bytes {first}-{start + len(body) - 1}/{start + len(body)}")
        if length:
            self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.close_connection = True
        try:
            self.wfile.write(body[:sent])
            self.wfile.flush()
            if hang:
                time.sleep(0.6)
        except OSError:
            pass  # the client went away, as it should

    def log_message(self, *_: object) -> None:
        """Keeps the tests' output quiet."""


class _Server:
    def __init__(self, root: str, seen: list[tuple[str, str, str | None]]) -> None:
        self.root, self.seen = root, seen

    def source(self, *behaviours: str) -> mnist.IdxSource:
        """MNIST in small, with one mirror a behaviour."""
        remote = {
            name.split("-idx")[0]: download.RemoteFile(name, len(body), hashlib.sha256(body).hexdigest())
            for name, body in _contents().items()
        }
        mirrors = tuple(f"{self.root}/{behaviour}/" for behaviour in behaviours)
        return replace(mnist.MNIST, remote=download.Remote(mirrors, remote), idx_sha256=None, items=(60, 10))

    def asked(self, behaviour: str) -> list[str | None]:
        """The Range of every request for the training images."""
        return [
            ranged for what, name, ranged in self.seen if what == behaviour and name.startswith("train-im")
        ]


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[_Server]:
    """A server on the loopback address, and nothing to be found elsewhere."""
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "STALLED_AFTER", 0.3)
    monkeypatch.setattr(download, "PAUSE", 0.01)
    seen: list[tuple[str, str, str | None]] = []
    handler = type("Handler", (_Mirror,), {"contents": _contents(), "seen": seen})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield _Server(f"http://127.0.0.1:{running.server_address[1]}", seen)
        running.shutdown()


def _fetch(source: mnist.IdxSource, target: Path) -> None:
    assert source.remote is not None
    download.fetch_files(source.name, source.remote, target, hint="")


def _whole(folder: Path) -> bool:
    return all((folder / name).read_bytes() == body for name, body in _contents().items())


def _leftovers(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir() if path.name not in {".lock", *_contents()}]


def test_a_good_mirror_is_asked_once(server: _Server, tmp_path: Path) -> None:
    """One request a file, files whole, nothing else left; a second fetch asks for nothing."""
    for _ in range(2):
        _fetch(server.source("good"), tmp_path)
        assert len(server.seen) == 4
        assert _whole(tmp_path)
        assert _leftovers(tmp_path) == []


@pytest.mark.parametrize(
    "bad", ["missing", "lie", "halflie", "stall", "truncate", "html", "endless", "misplaced"]
)
def test_a_bad_mirror_is_made_up_for(server: _Server, tmp_path: Path, bad: str) -> None:
    """Whatever the first mirror does, the files are whole in the end."""
    _fetch(server.source(bad, "good"), tmp_path)
    assert _whole(tmp_path)
    assert _leftovers(tmp_path) == []


def test_a_broken_connection_is_continued(server: _Server, tmp_path: Path) -> None:
    """After a cut, only the rest is asked for; so a mirror that always cuts still serves the file."""
    _fetch(server.source("truncate"), tmp_path)
    assert _whole(tmp_path)
    ranges = server.asked("truncate")
    assert ranges[0] is None
    assert len(ranges) > 2
    assert all(ranged is not None and ranged != "bytes=0-" for ranged in ranges[1:])


def test_a_mirror_without_ranges_sends_all_again(server: _Server, tmp_path: Path) -> None:
    """A server that ignores Range answers 200 with the whole file, which then replaces the part."""
    _fetch(server.source("stall", "norange"), tmp_path)
    assert _whole(tmp_path)
    assert server.asked("norange")[0] is not None


def test_a_killed_download_is_continued(server: _Server, tmp_path: Path) -> None:
    """What an earlier process left half done is not asked for again, nor mistaken for the file."""
    name, body = next(iter(_contents().items()))
    (tmp_path / f".{name}.part").write_bytes(body[:20_000])
    assert mnist.idx_files(tmp_path) == {}
    _fetch(server.source("good"), tmp_path)
    assert server.asked("good") == ["bytes=20000-"]
    assert _whole(tmp_path)


@pytest.mark.parametrize("left", [b"x" * 20_000, b"x" * 60_000], ids=["shorter", "longer"])
def test_a_wrong_partial_file_is_thrown_away(server: _Server, tmp_path: Path, left: bytes) -> None:
    """Rubbish in the partial file costs one more request, not the download."""
    name = next(iter(_contents()))
    (tmp_path / f".{name}.part").write_bytes(left)
    _fetch(server.source("good"), tmp_path)
    assert _whole(tmp_path)
    assert _leftovers(tmp_path) == []


def test_a_damaged_file_in_place_is_replaced(server: _Server, tmp_path: Path) -> None:
    """A file of the right name and the wrong content in the download folder is fetched anew."""
    (tmp_path / next(iter(_contents()))).write_bytes(b"rotten")
    _fetch(server.source("good"), tmp_path)
    assert _whole(tmp_path)


def test_no_good_mirror_is_one_message(server: _Server, tmp_path: Path) -> None:
    """When all fail, the message says why each did, where to put files by hand, and what needs no network."""
    source = server.source("missing", "lie", "html", "stall")
    assert source.remote is not None
    mirrors = (*source.remote.mirrors, "http://127.0.0.1:9/")
    dead = replace(source, remote=replace(source.remote, mirrors=mirrors))
    with pytest.raises(EpochalError) as error:
        dead.fetch(str(tmp_path))
    for reason in (
        "404",
        "SHA-256 differs",
        "another file, of 26 bytes",
        "sent nothing for",
        "cannot be reached",
    ):
        assert reason in error.value.what
    assert error.value.hint is not None
    assert str(tmp_path) in error.value.hint
    assert "--data.source glyphs" in error.value.hint
    assert mnist.idx_files(tmp_path / "mnist") == {}


def test_a_folder_that_cannot_be_written_is_one_message(server: _Server, tmp_path: Path) -> None:
    """The file system's refusal is explained before anything is asked of the network."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(EpochalError, match="cannot be written"):
        _fetch(server.source("good"), tmp_path / "file" / "mnist")
    assert server.seen == []


def test_load_downloads_what_is_missing(
    server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`load` fetches into the cache once; `fetch` and `verify` then find it there."""
    monkeypatch.setitem(catalogue.SOURCES, "mnist", server.source("truncate", "good"))
    assert not data.verify("mnist").passed
    loaded = data.load("mnist")
    assert loaded.origin == str(tmp_path / "cache" / "mnist")
    assert len(loaded.splits["train"]["labels"]) == 60
    asked = len(server.seen)
    assert data.fetch("mnist") == tmp_path / "cache" / "mnist"
    assert data.verify("mnist").passed
    assert len(server.seen) == asked


def test_fetch_repairs_the_cache_but_not_the_user_s_files(
    server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A damaged file is fetched anew in Epochal's own cache; in a folder of the user's it is only named."""
    monkeypatch.setitem(catalogue.SOURCES, "mnist", server.source("good"))
    cached = data.fetch("mnist")
    own = tmp_path / "own"
    own.mkdir()
    data.fetch("mnist", str(own))  # found in the cache: nothing to do
    assert list(own.iterdir()) == []
    labels = "t10k-labels-idx1-ubyte"
    (cached / labels).write_bytes(b"rotten")
    assert not data.verify("mnist").passed
    assert data.fetch("mnist") == cached
    assert _whole(cached)
    for name, body in _contents().items():
        (own / name).write_bytes(body)
    (own / labels).write_bytes(b"rotten")
    with pytest.raises(EpochalError, match="own/t10k-labels"):
        data.fetch("mnist", str(own))
    assert (own / labels).read_bytes() == b"rotten"


def test_two_processes_fetch_at_once(server: _Server, tmp_path: Path) -> None:
    """The second waits for the first and finds the files: every file is transferred once."""
    program = """
import json, sys
from pathlib import Path
from epochal.systems.data import download
mirrors, files, target = json.loads(sys.argv[1])
remote = download.Remote(mirrors, {stem: download.RemoteFile(*file) for stem, file in files.items()})
download.fetch_files("mnist", remote, Path(target), hint="")
"""
    remote = server.source("good").remote
    assert remote is not None
    published = {stem: [file.name, file.size, file.sha256] for stem, file in remote.files.items()}
    argument = json.dumps([remote.mirrors, published, str(tmp_path)])
    start = functools.partial(
        subprocess.Popen, [sys.executable, "-c", program, argument], env=dict(os.environ)
    )
    for process in [start(), start()]:
        assert process.wait(60) == 0
    assert len(server.seen) == 4
    assert _whole(tmp_path)
    assert _leftovers(tmp_path) == []
