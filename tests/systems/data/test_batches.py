"""CIFAR-10's published pickles are read in their own form, and nothing in a pickle or an archive is executed."""

import functools
import gzip
import hashlib
import http.server
import io
import os
import pickle
import struct
import tarfile
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from epochal.errors import EpochalError
from epochal.systems import data
from epochal.systems.data import batches, catalogue, download, plain_pickle
from epochal.systems.data.cifar10 import CIFAR10, TEST, TRAIN, batch_digest

N = 6
NAMES = (*TRAIN, TEST)
# CIFAR-10 in small: its items are known by nothing but their number.
SMALL = replace(CIFAR10, batch=N, batch_sha256=None, items=(5 * N, N))


def _text(text: bytes) -> bytes:
    short = len(text) < 256
    return (b"U" + bytes([len(text)]) if short else b"T" + struct.pack("<I", len(text))) + text


def _number(number: int) -> bytes:
    return b"K" + bytes([number]) if number < 256 else b"M" + struct.pack("<H", number)


def _python2_pickle(images: np.ndarray, labels: list[int], name: str) -> bytes:
    """A batch as cPickle of Python 2 wrote it, protocol 2, instruction by instruction."""
    rows = images.transpose(0, 3, 1, 2).reshape(len(images), -1)
    array = (
        b"cnumpy.core.multiarray\n_reconstruct\nq\x07cnumpy\nndarray\nq\x08K\x00\x85U\x01b\x87Rq\t"
        + b"(K\x01"
        + _number(rows.shape[0])
        + _number(rows.shape[1])
        + b"\x86cnumpy\ndtype\nq\nU\x02u1K\x00K\x01\x87Rq\x0b"
        + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb\x89"
        + _text(rows.tobytes())
        + b"tb"
    )
    return (
        b"\x80\x02}q\x01(U\x0bbatch_labelq\x02"
        + _text(name.encode())
        + b"q\x03U\x06labelsq\x04]q\x05("
        + b"".join(map(_number, labels))
        + b"eU\x04dataq\x06"
        + array
        + b"U\tfilenamesq\x0c]q\r("
        + b"".join(_text(f"picture_{k}.png".encode()) + b"q" + bytes([14 + k]) for k in range(len(labels)))
        + b"eu."
    )


def _batch(seed: int) -> tuple[np.ndarray, list[int]]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, 256, (N, 32, 32, 3), np.uint8), rng.integers(0, 10, N).tolist()


def _pickles() -> dict[str, bytes]:
    return {name: _python2_pickle(*_batch(k), name) for k, name in enumerate(NAMES)}


def _archive(path: Path, members: dict[str, bytes], extra: tuple[tarfile.TarInfo, ...] = ()) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w:gz", compresslevel=1) as archive:
        folder = tarfile.TarInfo(batches.FOLDER)
        folder.type = tarfile.DIRTYPE
        for info in (folder, *extra):
            archive.addfile(info)
        for name, content in members.items():
            info = tarfile.TarInfo(f"{batches.FOLDER}/{name}")
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return path


class _Bomb:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, (f"touch {self.target}",))

    target = "/nowhere"


@pytest.fixture
def bomb(tmp_path: Path) -> _Bomb:
    """An object whose unpickling leaves a trace; checked afterwards to have left none."""
    armed = _Bomb()
    armed.target = str(tmp_path / "ran")
    return armed


@pytest.fixture(autouse=True)
def _small_and_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("EPOCHAL_DATA", raising=False)
    monkeypatch.setenv("EPOCHAL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setitem(catalogue.SOURCES, "cifar10", SMALL)


def test_the_written_form_is_what_python_reads() -> None:
    """The pickles of these tests are real ones: Python's own reader finds the same images in them."""
    images, labels = _batch(0)
    own = _pickles()["data_batch_1"]
    content = pickle.loads(own, encoding="bytes")  # noqa: S301
    assert np.array_equal(content[b"data"].reshape(N, 3, 32, 32).transpose(0, 2, 3, 1), images)
    assert content[b"labels"] == labels
    plain = plain_pickle.read(_pickles()["data_batch_1"])
    assert np.array_equal(plain["data"], content[b"data"])
    assert plain["filenames"] == [name.decode() for name in content[b"filenames"]]


@pytest.mark.parametrize("form", ["archive", "folder", "the folder itself"])
def test_archive_and_folder_are_read(tmp_path: Path, form: str) -> None:
    """The published archive, what unpacking it leaves, and that folder given as the data folder: the same data."""
    folder = tmp_path / "data"
    if form == "archive":
        origin = _archive(folder / batches.ARCHIVE, {**_pickles(), "readme.html": b"<html>"})
    else:
        origin = folder / batches.FOLDER
        origin.mkdir(parents=True)
        for name, content in _pickles().items():
            (origin / name).write_bytes(content)
    given = origin if form == "the folder itself" else folder
    for _ in range(2):  # the second time from the unpacked copy, where there is one
        found = data.load("cifar10", folder=str(given))
        assert found.origin == str(origin)
        for k, split in enumerate(("train", "test")):
            parts = [_batch(number) for number in ([0, 1, 2, 3, 4], [5])[k]]
            assert np.array_equal(found.splits[split]["images"], np.concatenate([part[0] for part in parts]))
            assert found.splits[split]["labels"].tolist() == [label for part in parts for label in part[1]]


def test_missing_batches_are_named(tmp_path: Path) -> None:
    """A part that is not there is named, in a folder as in an archive."""
    pickles = _pickles()
    del pickles["data_batch_4"]
    folder = tmp_path / "unpacked" / batches.FOLDER
    folder.mkdir(parents=True)
    for name, content in pickles.items():
        (folder / name).write_bytes(content)
    with pytest.raises(EpochalError, match="only in part: data_batch_4 missing"):
        data.load("cifar10", folder=str(folder.parent))
    _archive(tmp_path / "packed" / batches.ARCHIVE, pickles)
    with pytest.raises(EpochalError, match=r"cifar-10-python\.tar\.gz lacks data_batch_4"):
        data.load("cifar10", folder=str(tmp_path / "packed"))


def test_the_archive_is_checked_against_the_published_one(tmp_path: Path) -> None:
    """`verify` says that an archive is not the published file, even where its items can be read."""
    _archive(tmp_path / "data" / batches.ARCHIVE, _pickles())
    answer = data.verify("cifar10", str(tmp_path / "data"))
    checks = {check.what: check for check in answer.checks}
    assert not checks[batches.ARCHIVE].passed and "published 6d958be0745778" in checks[batches.ARCHIVE].detail
    assert checks["items"].passed


def test_the_published_digests_accept_the_published_pickles(tmp_path: Path) -> None:
    """Items in pickles have the digest of the binary version's files; another image does not."""
    digests = {
        name: batch_digest(images, np.array(labels, np.uint8))
        for name, (images, labels) in zip(NAMES, map(_batch, range(6)), strict=True)
    }
    strict = replace(CIFAR10, batch=N, items=(5 * N, N), batch_sha256=digests)
    location = strict.look_in(_archive(tmp_path / batches.ARCHIVE, _pickles()).parent, named=True)
    assert location is not None
    strict.read(location)
    swapped = {**_pickles(), "data_batch_2": _pickles()["data_batch_3"]}
    _archive(tmp_path / batches.ARCHIVE, swapped)
    with pytest.raises(EpochalError, match="is not cifar10: data_batch_2 has SHA-256"):
        strict.read(location)


@pytest.mark.parametrize("protocol", [0, 1, 2, 3, 4, 5])
@pytest.mark.parametrize("wrap", [lambda b: b, lambda b: {"data": b}, lambda b: {"labels": [1, (b,)]}])
def test_a_pickle_that_runs_a_command_is_refused(
    tmp_path: Path, bomb: _Bomb, protocol: int, wrap: Callable[[Any], Any]
) -> None:
    """However deep it hides and whatever protocol it speaks, it does not run, and one message says so."""
    path = tmp_path / "data_batch_1"
    path.write_bytes(pickle.dumps(wrap(bomb), protocol))
    with pytest.raises(
        EpochalError, match=r"data_batch_1 is refused: it .* nothing in it was executed"
    ) as error:
        batches.read_file(path, hint="Do this.")
    assert "\n" not in error.value.what and error.value.hint == "Do this."
    _archive(tmp_path / "data" / batches.ARCHIVE, {**_pickles(), "test_batch": path.read_bytes()})
    with pytest.raises(EpochalError, match="cifar-10-batches-py/test_batch is refused"):
        data.load("cifar10", folder=str(tmp_path / "data"))
    assert not (tmp_path / "ran").exists()


def test_a_command_is_named() -> None:
    """Whoever opens such a file is told what it wanted to do."""
    with pytest.raises(plain_pickle.NotPlain, match=r"it asks for 'posix.system'|it asks for 'nt.system'"):
        plain_pickle.read(pickle.dumps(_Bomb(), 2))


_ARRAY = b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\nndarray\nK\x00\x85U\x01b\x87R"
_TYPE = b"cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"


@pytest.mark.parametrize(
    "program",
    [
        b"cbuiltins\neval\nU\x011\x85R.",  # a built-in function
        b"cnumpy\nload\nU\x01x\x85R.",  # a NumPy function that opens files
        b"cnumpy\nndarray\nK\xff\x85R.",  # an allowed name, called otherwise than NumPy writes it
        b"cnumpy.core.multiarray\n_reconstruct\ncnumpy\ndtype\nK\x00\x85U\x01b\x87R.",
        b"cnumpy\ndtype\nU\x01OK\x00K\x01\x87R.",  # an array of objects
        b"cnumpy\ndtype\n.",  # a class in place of data
        b"}U\x01acnumpy\nndarray\ns.",
        b"(cos\nsystem\nU\x01xo.",  # OBJ
        b"(U\x01xios\nsystem\n.",  # INST
        b"cnumpy\nndarray\n)\x81.",  # NEWOBJ
        b"U\x02osU\x06system\x93.",  # STACK_GLOBAL
        b"\x82\x01.",  # EXT1
        b"Pname\n.",  # PERSID
        b"U\x01aQ.",  # BINPERSID
        b"}}b.",  # the state of a dictionary
        b"]K\x01b.",
        _ARRAY + b".",  # an array that was never filled
        _ARRAY + b"(K\x01K\x02\x85" + _TYPE + b"\x89U\x01atb.",  # two bytes announced, one there
        _ARRAY + b"(K\x01K\x01\x85" + _TYPE + b"\x88U\x01atb.",  # in column order
        _ARRAY + b"(K\x01K\x01\x85U\x02u1\x89U\x01atb.",  # a type that is text
        _ARRAY + b"(K\x01U\x01a\x85" + _TYPE + b"\x89U\x01atb.",  # a shape that is text
        _ARRAY + b"(K\x01J\xff\xff\xff\x7f]\x86" + _TYPE + b"\x89U\x01atb.",  # a list times two billion
        _ARRAY + b"(K\x01J\xff\xff\xff\xffJ\xff\xff\xff\xff\x86" + _TYPE + b"\x89U\x01atb.",  # -1 times -1
        b"})K\x01s.",  # a key that is no text
        b"}" + b")" + b"\x85" * 100_000 + b"K\x01s.",  # one whose hash would overflow the stack
        b"K\x01K\x02a.",  # a number appended to a number
        b"h\x05.",  # nothing was stored there
        b"0.",  # nothing to take
        b"t.",
        b"(((.",
        b"",
        b".",
        b"K\x01",
        b"T\xff\xff\xff\x7fabc",  # a string of two billion bytes, three of them there
        b"\xff\xfe",
        b"I" + b"9" * 10_000 + b"\n.",  # a number that would take long
    ],
)
def test_other_programs_are_refused(program: bytes) -> None:
    """Every instruction that is not needed, and every misuse of one that is, is the same kind of refusal."""
    with pytest.raises(plain_pickle.NotPlain):
        plain_pickle.read(b"\x80\x02" + program)


_PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**31), 2**31 - 1) | st.text(max_size=9),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=4), inner, max_size=4)
        | st.lists(inner, max_size=4).map(tuple)
    ),
    max_leaves=20,
)


@given(_PLAIN)
def test_plain_data_are_read_as_python_reads_them(value: Any) -> None:
    """Whatever is made of dictionaries, lists, tuples, numbers and text comes back as it was."""
    assert plain_pickle.read(pickle.dumps(value, 2)) == value


@given(st.integers(0, 2**32), st.integers(0, 3), st.floats(0, 1) | st.just(1.0))
def test_a_damaged_pickle_is_refused_or_read(seed: int, altered: int, kept: float) -> None:
    """Cut or altered anywhere, a pickle gives data or a refusal, never another error."""
    content = bytearray(_python2_pickle(np.zeros((1, 32, 32, 3), np.uint8), [3], "small"))
    rng = np.random.default_rng(seed)
    for place in rng.integers(0, 280, altered):  # before the pixels
        content[place] = rng.integers(256)
    del content[int(kept * len(content)) :]
    try:
        plain_pickle.read(bytes(content))
    except plain_pickle.NotPlain as error:
        assert str(error).startswith("it ")


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ([1, 2], "`data` is missing"),
        ({"labels": [1]}, "`data` is missing"),
        ({"data": [1, 2], "labels": [1]}, "`data` is missing or no array"),
        ("array", r"`data` is of shape \(6, 5\); \(n, 3072\) is expected"),
        ("labels", "`labels` is missing or no list of whole numbers"),
        ("large", "has over 33,554,432 bytes"),
    ],
)
def test_another_content_is_named(tmp_path: Path, content: Any, says: str) -> None:
    """Plain data that are no batch of images are told apart from it by what is missing."""
    path = tmp_path / "data_batch_1"
    if content == "array":
        pickled = _python2_pickle(np.zeros((6, 1, 1, 5), np.uint8), [1], "x")
    elif content == "labels":
        pickled = _python2_pickle(_batch(0)[0], [1, 2], "x").replace(b"U\x06labels", b"U\x06fables")
    else:
        pickled = bytes(batches.LARGEST + 1) if content == "large" else pickle.dumps(content, 2)
    path.write_bytes(pickled)
    with pytest.raises(EpochalError, match=says):
        batches.read_file(path, hint="")
    with pytest.raises(EpochalError, match="gone cannot be read"):
        batches.read_file(tmp_path / "gone", hint="")


def test_labels_out_of_range_are_named(tmp_path: Path) -> None:
    """A label that is no class of CIFAR-10 is refused with its value."""
    pickles = _pickles()
    pickles["data_batch_2"] = _python2_pickle(_batch(1)[0], [0, 1, 2, 300, 4, 5], "x")
    _archive(tmp_path / "data" / batches.ARCHIVE, pickles)
    with pytest.raises(EpochalError, match="one of the labels of data_batch_2 is 300; labels go from 0 to 9"):
        data.load("cifar10", folder=str(tmp_path / "data"))


def _member(name: str, kind: bytes = tarfile.REGTYPE, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.parametrize(
    ("member", "says"),
    [
        (_member("../outside"), "its member '../outside' leads out of the archive's folder"),
        (_member("cifar-10-batches-py/../../outside"), "leads out"),
        (_member("/etc/outside"), "leads out"),
        (_member("..\\outside"), "leads out"),
        (_member("cifar-10-batches-py/link", tarfile.SYMTYPE, "/etc/passwd"), "is a link or a device"),
        (_member("cifar-10-batches-py/test_batch", tarfile.LNKTYPE, "/etc/passwd"), "is a link or a device"),
        (_member("cifar-10-batches-py/data_batch_1", tarfile.CHRTYPE), "is a link or a device"),
        (_member("cifar-10-batches-py/pipe", tarfile.FIFOTYPE), "is a link or a device"),
    ],
)
def test_members_that_leave_the_archive_are_refused(
    tmp_path: Path, member: tarfile.TarInfo, says: str
) -> None:
    """Nothing is ever unpacked onto the disk; an archive that tries to write elsewhere is refused all the same."""
    _archive(tmp_path / "data" / batches.ARCHIVE, _pickles(), (member,))
    with pytest.raises(EpochalError, match=says):
        data.load("cifar10", folder=str(tmp_path / "data"))
    assert [path.name for path in (tmp_path / "data").iterdir()] == [batches.ARCHIVE]


@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_a_truncated_archive_is_one_message(tmp_path: Path, share: float) -> None:
    """An interrupted download or copy is damaged, whatever part of it is there."""
    path = _archive(tmp_path / "data" / batches.ARCHIVE, _pickles())
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(EpochalError, match=r"cifar-10-python\.tar\.gz (is damaged|lacks)"):
        data.load("cifar10", folder=str(tmp_path / "data"))


@pytest.mark.parametrize("content", [b"<html>", b"\x1f\x8bnothing zipped", gzip.compress(b"no archive" * 99)])
def test_another_file_is_no_archive(tmp_path: Path, content: bytes) -> None:
    """A web page saved under the archive's name gives a message, and `fetch` does not overwrite the user's."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / batches.ARCHIVE).write_bytes(content)
    for verb in (
        lambda: data.load("cifar10", folder=str(folder)),
        lambda: data.fetch("cifar10", str(folder)),
    ):
        with pytest.raises(EpochalError, match="is damaged") as error:
            verb()
        assert "epochal data fetch cifar10" in str(error.value.hint)
    assert (folder / batches.ARCHIVE).read_bytes() == content


def test_the_archive_is_downloaded_checked_and_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`load` fetches the published archive where nothing is found; one that differs by a byte is not kept."""
    published = _archive(tmp_path / "server" / batches.ARCHIVE, _pickles()).read_bytes()
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr(download, "PAUSE", 0.0)
    handler = functools.partial(_Quiet, directory=str(tmp_path / "server"))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        mirrors = (f"http://127.0.0.1:{server.server_address[1]}/",)

        def publish(content: bytes) -> None:
            file = download.RemoteFile(batches.ARCHIVE, len(content), hashlib.sha256(content).hexdigest())
            source = replace(SMALL, remote=download.Remote(mirrors, {"archive": file}))
            monkeypatch.setitem(catalogue.SOURCES, "cifar10", source)

        publish(published[:-1] + b"?")
        with pytest.raises(EpochalError, match="could not be downloaded") as error:
            data.load("cifar10")
        assert "SHA-256 differs" in error.value.what
        assert "--data.source shapes, which needs no network" in str(error.value.hint)
        assert data.resolve("auto", wanted="cifar10") == "shapes"
        publish(published)
        assert data.load("cifar10").origin == str(tmp_path / "cache" / "cifar10" / batches.ARCHIVE)
        assert data.resolve("auto", wanted="cifar10") == "cifar10"
        assert data.verify("cifar10").passed
        server.shutdown()


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Keeps the tests' output quiet."""
