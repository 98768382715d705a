"""Downloads published files: mirrors in turn, partial files resumed, nothing kept that fails its SHA-256.

pooch checks the digest and moves a finished file into place; the transfer itself is done here, because pooch
starts again from nothing after a broken connection.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from epochal.errors import EpochalError
from epochal.systems.data.cache import locked

# Seconds without a single byte after which a mirror counts as stalled, and between two rounds of mirrors.
STALLED_AFTER = 20.0
PAUSE = 1.0
ROUNDS = 2
CHUNK = 1 << 13  # of a broken connection, at most this much is lost
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RemoteFile:
    """A file as every mirror must serve it."""

    name: str
    size: int
    sha256: str


@dataclass(frozen=True)
class Remote:
    """Where a source is published: addresses that the file names are appended to, best first, and the files."""

    mirrors: tuple[str, ...]
    files: Mapping[str, RemoteFile]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files.values())


class TransferError(Exception):
    """One attempt at one mirror failed; what was received before stays in the partial file."""


def fetch_files(name: str, remote: Remote, target: Path, *, hint: str) -> None:
    """Downloads the files of a source that are not yet whole in `target`.

    Two processes may do this at once: the second waits, then finds the files.

    Args:
        name: the source's, for the message.
        remote: where its files are published.
        target: folder to put them in; made if need be.
        hint: what to do when no mirror serves a file.

    Raises:
        EpochalError: `target` cannot be written, or no mirror served a file.
    """
    with locked(target):
        for file in remote.files.values():
            _fetch_file(name, remote.mirrors, file, target, hint)


def _fetch_file(name: str, mirrors: tuple[str, ...], file: RemoteFile, target: Path, hint: str) -> None:
    failures: dict[str, str] = {}
    if not (target / file.name).exists():
        log.info("downloading %s of %s (%.1f MB) into %s", file.name, name, file.size / 1e6, target)
    for attempt in range(ROUNDS):
        if attempt:
            time.sleep(PAUSE)
        for mirror in mirrors:
            try:
                _fetch_from(mirror + file.name, file, target)
            except TransferError as error:
                failures[mirror] = str(error)
            except OSError as error:
                raise EpochalError(f"{target / file.name} cannot be written: {error}.") from error
            else:
                return
    reasons = "".join(f"\n    {mirror}  {reason}" for mirror, reason in failures.items())
    raise EpochalError(f"{file.name} of {name} could not be downloaded.{reasons}", hint=hint)


def _fetch_from(url: str, file: RemoteFile, target: Path) -> None:
    """Gets a file from one mirror, resuming as long as each attempt brings more of it."""
    import pooch  # type: ignore[import-untyped]

    pooch.get_logger().setLevel(logging.WARNING)
    transfer = _Transfer(file, target / f".{file.name}.part")
    mixed = True
    while True:
        before = transfer.received
        try:
            pooch.retrieve(
                url,
                known_hash=f"sha256:{file.sha256}",
                fname=file.name,
                path=target,
                downloader=transfer,
            )
        except ValueError as error:
            # The digest differs. When the file came in parts, some may be from elsewhere: once more.
            if before and mixed:
                mixed = False
                continue
            raise TransferError("served other bytes than the published ones (SHA-256 differs)") from error
        except TransferError:
            if transfer.received > before:
                continue
            raise
        return


@dataclass
class _Transfer:
    """pooch's downloader: continues `part`, and hands the whole over."""

    file: RemoteFile
    part: Path

    @property
    def received(self) -> int:
        """Bytes that are there already."""
        return self.part.stat().st_size if self.part.exists() else 0

    def __call__(self, url: str, output: str, _: Any, check_only: bool = False) -> None:
        """Receives the rest of the file from `url` and moves it to `output`, where pooch checks it."""
        import requests
        import urllib3

        if self.received > self.file.size:
            self.part.unlink()
        if self.received < self.file.size:
            try:
                self._receive(url)
            except (requests.RequestException, urllib3.exceptions.HTTPError) as error:
                raise TransferError(_reason(error)) from error
        if self.received < self.file.size:
            raise TransferError(f"sent {self.received:,} of {self.file.size:,} bytes")
        self.part.replace(output)

    def _receive(self, url: str) -> None:
        import requests

        start = self.received
        # As stored, never compressed on the way: the digest is that of the published file.
        headers = {"Accept-Encoding": "identity"}
        if start:
            headers["Range"] = f"bytes={start}-"
        with requests.get(url, headers=headers, stream=True, timeout=STALLED_AFTER) as response:
            if response.status_code == requests.codes.requested_range_not_satisfiable:
                self.part.unlink()
                raise TransferError("refused to continue the partial file")
            response.raise_for_status()
            if response.status_code != requests.codes.partial_content:
                start = 0  # the mirror sends all of it again
                size = response.headers.get("Content-Length", str(self.file.size))
                if size != str(self.file.size):
                    raise TransferError(f"serves another file, of {size} bytes instead of {self.file.size}")
            elif not response.headers.get("Content-Range", "").startswith(f"bytes {start}-"):
                self.part.unlink()
                raise TransferError("continued the file at another place than was asked")
            with open(self.part, "r+b" if start else "wb") as part:
                part.seek(start)
                while chunk := response.raw.read(CHUNK):
                    part.write(chunk)
                    # A mirror that does not stop must not fill the disk.
                    if part.tell() > self.file.size:
                        break


def _reason(error: Exception) -> str:
    import requests

    if isinstance(error, requests.HTTPError) and error.response is not None:
        return f"answered {error.response.status_code} {error.response.reason}"
    if isinstance(error, requests.Timeout) or "timed out" in str(error):
        return f"sent nothing for {STALLED_AFTER:g} s"
    if isinstance(error, requests.ConnectionError):
        return "cannot be reached"
    return f"broke off ({error})"
