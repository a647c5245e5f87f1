"""Bytes as text: unpacked, in which encoding, what was repaired. Pure."""

import codecs
import gzip
import io
import re
import zlib
from dataclasses import dataclass

from mlops_assets.reviews.files.tables.cells import MOST_BYTES, NoTable, numbered

_BOMS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_LEADING = 4096
_BAD_RUN = re.compile("[\udc80-\udcff]+")
_CUT_CHARACTER = re.compile("[\udce2-\udcf4][\udc80-\udcbf]{1,2}")
_SMALL_BYTES = 256 * 2**20
_MOST_TIMES = 100
_MOST_DAMAGED = 1_000_000
_AT_ONCE = 2**24


@dataclass(frozen=True)
class Text:
    """A file's text as UTF-8, the encoding that it had, and what was repaired."""

    content: bytes
    encoding: str
    notes: tuple[str, ...] = ()


def unpacked(content: bytes) -> bytes:
    """What a gzip file holds. Raises `NoTable` if it is damaged or unpacks to far more than reviews do.

    Reviews shrink to a tenth. More than 256 MB that shrank to less than a hundredth are refused.
    """
    most = min(max(_SMALL_BYTES, _MOST_TIMES * len(content)), MOST_BYTES)
    try:
        with gzip.open(io.BytesIO(content)) as file:
            unpacked = file.read(most + 1)
    except EOFError as error:
        raise NoTable("is a gzip file that ends too early: copy it again") from error
    except (OSError, zlib.error) as error:
        raise NoTable(f"is a damaged gzip file ({error}): pack it again") from error
    if len(unpacked) > most:
        raise NoTable(f"unpacks to more than {most // 2**20:,} MB: unpack it, look at what it holds, and split it")
    return unpacked


def decode(content: bytes) -> Text | None:
    """The text; None where the bytes are none in any encoding that files of reviews come in.

    A byte order mark decides, or every second byte being zero (UTF-16). Else it is UTF-8, also with some bad bytes: as
    long as whole characters beyond ASCII are no fewer than the bad bytes, or the bad bytes are characters that were
    cut. Else it is cp1252, which Excel writes on western Windows.
    """
    for mark, encoding in _BOMS:
        if content.startswith(mark):
            return _decoded(content[len(mark) :], encoding, marked=True)
    leading = content[:_LEADING]
    zeros = leading[::2].count(0), leading[1::2].count(0)
    if max(zeros) * 5 > len(leading):
        return _decoded(content, "utf-16-le" if zeros[1] > zeros[0] else "utf-16-be", marked=False)
    return _utf_8_or_cp1252(content)


def _decoded(content: bytes, encoding: str, *, marked: bool) -> Text | None:
    if encoding == "utf-8":
        found = _utf_8_or_cp1252(content)
        if found is None or found.encoding == "UTF-8":
            return found
        return _repaired(content)
    try:
        return _without_zeros(content.decode(encoding).encode(), encoding[:6].upper())
    except UnicodeDecodeError:
        if not marked:
            return None
        text = content.decode(encoding, "replace")
        found = _without_zeros(text.encode(errors="replace"), encoding[:6].upper())
        lines = _lines_of(text, re.compile("�"))
        return found and Text(found.content, found.encoding, (*found.notes, _kept(lines)))


def _utf_8_or_cp1252(content: bytes) -> Text | None:
    if _is_utf_8(content):
        return _without_zeros(content, "UTF-8")
    text = content.decode("utf-8", "surrogateescape")
    bad = sum(len(run[0]) for run in _BAD_RUN.finditer(text))
    whole = len(text) - len(text.encode("ascii", "ignore")) - bad
    cut = sum(len(run[0]) for run in _CUT_CHARACTER.finditer(text))
    if whole + 2 * cut < bad:
        try:
            return _without_zeros(content.decode("cp1252").encode(), "cp1252")
        except UnicodeDecodeError:
            if bad * 100 > len(content):
                return None
    return _repaired(content)


def _is_utf_8(content: bytes) -> bool:
    """By pieces: the text of a large file with one emoji would take four times its bytes."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    try:
        for start in range(0, len(content), _AT_ONCE):
            decoder.decode(content[start : start + _AT_ONCE])
        decoder.decode(b"", final=True)
    except UnicodeDecodeError:
        return False
    return True


def _repaired(content: bytes) -> Text | None:
    text = content.decode("utf-8", "surrogateescape")
    found = _without_zeros(_BAD_RUN.sub("�", text).encode(), "UTF-8")
    return found and Text(found.content, found.encoding, (*found.notes, _kept(_lines_of(text, _BAD_RUN))))


def _without_zeros(content: bytes, encoding: str) -> Text | None:
    """A few zero bytes are damage and go; many mean that this is no text."""
    zeros = content.count(0)
    if not zeros:
        return Text(content, encoding)
    if zeros * 100 > len(content):
        return None
    lines = _lines_of(content.decode(), re.compile("\0+"))
    verb = "has" if len(lines) == 1 else "have"
    return Text(content.replace(b"\0", b""), encoding, (f"{numbered('line', lines)} {verb} a zero byte: left out",))


def _kept(lines: list[int]) -> str:
    return f"{numbered('line', lines)} {'has' if len(lines) == 1 else 'have'} a byte that is no text: kept as '�'"


def _lines_of(text: str, pattern: re.Pattern[str]) -> list[int]:
    """The numbers of the lines in which the pattern is found. Raises `NoTable` if they are too many to be damage."""
    end = "\n" if "\n" in text else "\r"
    lines, line, position = list[int](), 1, 0
    for found in pattern.finditer(text):
        line += text.count(end, position, found.start())
        position = found.start()
        if not lines or lines[-1] != line:
            lines.append(line)
        if len(lines) > _MOST_DAMAGED:
            raise NoTable(f"has bytes that are no text in more than {_MOST_DAMAGED:,} lines: save it as CSV in UTF-8")
    return lines
