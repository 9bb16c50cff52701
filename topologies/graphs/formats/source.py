"""The bytes and the text of a file, packed or not, whatever its encoding."""

from __future__ import annotations

import bz2
import codecs
import gzip
import io
import lzma
import re
import tarfile
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePath

from topologies.graphs.formats.names import is_specific, stem

LAYERS = 4  # of packing, as a .tar in a .bz2
BESIDES = re.compile(r"(readme|license|licence|meta\.|\.|.*\.(html?|md|pdf)$)", re.IGNORECASE)  # in archives
MARKS = {  # those of 32 bits first, which begin like those of 16
    codecs.BOM_UTF8: "utf-8-sig",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}


@dataclass(frozen=True)
class Source:
    """A file, unpacked."""

    path: str
    """As the user named it."""

    name: str
    """The file's own, that in the archive if it comes from one, without what packing has put behind it."""

    data: bytes
    """What is in it."""

    @property
    def stem(self) -> str:
        """What reports call it: its name without ends."""
        return stem(self.name)

    @cached_property
    def text(self) -> str:
        """What is in it as text: UTF-8, UTF-16 or UTF-32, with or without a byte order mark, or else Latin-1.

        All lines end in a newline, however they end in the file.

        Raises:
            ValueError: It is no text.
        """
        encoding = next((name for mark, name in MARKS.items() if self.data.startswith(mark)), None)
        if encoding is None and b"\0" in self.data[:1000]:
            evens, odds = self.data[0:1000:2], self.data[1:1000:2]
            encoding = "utf-16-le" if 2 * odds.count(0) > len(odds) else "utf-16-be"
            if evens.count(0) + odds.count(0) < len(evens) // 2:
                raise ValueError("it holds bytes that are no text")
        try:
            text = self.data.decode(encoding or "utf-8")
        except UnicodeDecodeError as error:
            if encoding is not None:
                raise ValueError(f"its bytes are no {encoding} text from byte {error.start} on") from error
            text = self.data.decode("latin-1")
        if "\0" in text:
            raise ValueError("it holds bytes that are no text")
        return re.sub(r"\r\n?", "\n", text)

    @cached_property
    def lines(self) -> list[str]:
        """The lines of its text; the first is line 1 for users."""
        return self.text.split("\n")


def at_line(number: int, problem: str) -> ValueError:
    """The error that line `number`, from 1, cannot be read."""
    return ValueError(f"line {number}: {problem}")


def open_source(path: str | Path) -> Source:
    """The file of this path, unpacked if it is a gzip, bzip2, xz, zip or tar file.

    Of an archive it is the file that looks like a graph, besides readme files and the like.

    Raises:
        ValueError: There is no such file, it is damaged, or it is an archive of several graphs.
    """
    name = PurePath(path).name
    try:
        data = Path(path).read_bytes()
        for _ in range(LAYERS):
            opened = _unpacked(name, data)
            if opened is None:
                break
            name, data = opened
    except OSError as error:
        raise ValueError(f"cannot read a graph from {path}: {error.strerror or error}") from error
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, tarfile.TarError, RuntimeError) as error:
        raise ValueError(f"cannot unpack {path}: {' '.join(str(error).split())}") from error
    except ValueError as error:
        raise ValueError(f"cannot read a graph from {path}: {error}") from error
    return Source(str(path), name, data)


def _unpacked(name: str, data: bytes) -> tuple[str, bytes] | None:
    """Name and bytes of what is packed in it; None if nothing is."""
    inner = PurePath(name).stem if PurePath(name).suffix.lower() in (".gz", ".bz2", ".xz", ".tgz", ".tbz2") else name
    if data.startswith(b"\x1f\x8b"):
        return inner, gzip.decompress(data)
    if data.startswith(b"BZh"):
        return inner, bz2.decompress(data)
    if data.startswith(b"\xfd7zXZ\0"):
        return inner, lzma.decompress(data)
    if data.startswith(b"PK\x03\x04") and not name.lower().endswith(".npz"):
        with zipfile.ZipFile(io.BytesIO(data)) as packed:
            sizes = {each.filename: each.file_size for each in packed.infolist() if not each.is_dir()}
            member = _graph_among(sizes)
            return PurePath(member).name, packed.read(member)
    if data[257:262] == b"ustar":
        with tarfile.open(fileobj=io.BytesIO(data)) as files:
            sizes = {each.name: each.size for each in files.getmembers() if each.isfile()}
            member = _graph_among(sizes)
            content = files.extractfile(member)
            assert content is not None  # as it is a file
            return PurePath(member).name, content.read()
    return None


def _graph_among(sizes: Mapping[str, int]) -> str:
    """The one member of an archive that is a graph."""
    members = [name for name in sizes if not BESIDES.match(PurePath(name).name) and "__MACOSX" not in name]
    graphs: Sequence[str] = [name for name in members if is_specific(name)] or members
    if len(graphs) != 1:
        listed = ", ".join(sorted(graphs)[:5]) + (", ..." if len(graphs) > 5 else "")
        raise ValueError(
            f"the archive holds several files that may be it ({listed}): unpack it and name one"
            if graphs
            else "the archive holds no file that may be a graph"
        )
    return graphs[0]
