"""hauberk convert: logs that KubeArmor wrote, in another format."""

import gzip
import os
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from enum import StrEnum
from functools import partial
from pathlib import Path
from typing import Annotated, Any, BinaryIO, Final

import msgspec
import typer
from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TimeRemainingColumn

from hauberk.conversion import Conversion, Readable, Rejected
from hauberk.conversion import convert as convert_lines
from hauberk.errors import ConfigError, DecodeError, SinkError
from hauberk.formats import FORMATS, Format
from hauberk.formats.kubearmor_reader import read_line
from hauberk.formats.printable import printable_text
from hauberk.formats.syslog import Style, framed

_SHOWN: Final = 20
"""How many bad lines are named; all of them are counted, and kept if there is a file for them."""

_GZIP: Final = b"\x1f\x8b"


class SourceName(StrEnum):
    """What is read."""

    kubearmor = "kubearmor"


_READERS: Final = {SourceName.kubearmor: read_line}


class SyslogStyle(StrEnum):
    """How a message is framed."""

    rfc3164 = "rfc3164"
    rfc5424 = "rfc5424"


def convert(
    files: Annotated[
        list[str] | None, typer.Argument(help="What to read, gzipped or not; - is standard input.")
    ] = None,
    source: Annotated[
        SourceName, typer.Option("--from", help="What wrote it: KubeArmor or Hauberk.")
    ] = SourceName.kubearmor,
    to: Annotated[str, typer.Option("--to", "-t", help="Output format.", show_default=False)] = "",
    settings: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A setting of the format; may be repeated."),
    ] = None,
    syslog: Annotated[
        SyslogStyle | None, typer.Option(help="Put a header of syslog before each message.")
    ] = None,
    output: Annotated[str, typer.Option("--output", "-o", help="File to write; - is standard output.")] = "-",
    rejects: Annotated[
        Path | None,
        typer.Option(help="File for the lines that are no events, as they were.", show_default=False),
    ] = None,
) -> None:
    """Turn logs that KubeArmor wrote into another format.

    Takes what `karmor logs --json` prints, what KubeArmor writes to its log file, and our own native JSON:
    one event a line. Lines that are no events are named by their number; the exit code is 4 if there were any.
    """
    form = _format(to, settings or [], syslog)
    names = files or ["-"]
    done, shown = Conversion(), 0
    with ExitStack() as stack:
        write = stack.enter_context(_writing(output, form))
        keep = stack.enter_context(_writing(str(rejects), None)) if rejects else None
        bar = stack.enter_context(_progress(names))

        def warn(name: str, bad: Rejected) -> None:
            nonlocal shown
            shown += 1
            if shown <= _SHOWN:
                bar.say(f"hauberk: {printable_text(name)}:{bad.number}: {printable_text(bad.reason)}")
            elif shown == _SHOWN + 1:
                bar.say("hauberk: there are more bad lines, which are counted but not named")

        def reject(name: str, bad: Rejected) -> None:
            warn(name, bad)
            if keep:
                keep(bad.line + b"\n")

        for name in names:
            with _opened(name, bar) as (readable, fallback_ns):
                convert_lines(
                    readable,
                    _READERS[source],
                    form,
                    write,
                    partial(reject, name),
                    partial(warn, name),
                    done,
                    fallback_ns=fallback_ns,
                )
    kept = f", kept in {printable_text(str(rejects))}" if rejects and done.rejected else ""
    partly = f" ({done.damaged:,} without a field that could not be read)" if done.damaged else ""
    sys.stderr.write(
        f"hauberk: {done.events:,} events converted{partly}, {done.rejected:,} lines rejected{kept}\n"
    )
    if done.rejected:
        raise typer.Exit(DecodeError.exit_code)


def _format(name: str, texts: list[str], syslog: SyslogStyle | None) -> Format:
    if not name:
        raise ConfigError(f"say into what: --to {', '.join(FORMATS.names())}")
    wrong = next((text for text in texts if "=" not in text), None)
    if wrong is not None:
        raise ConfigError(f"a setting is written NAME=VALUE, not {printable_text(wrong)}")
    given: dict[str, Any] = dict(text.split("=", 1) for text in texts)
    kind = FORMATS.load(name)
    try:
        form: Format = msgspec.convert(given, kind, strict=False).make()
    except msgspec.ValidationError as error:
        names = ", ".join(kind.__struct_fields__) or "none"
        raise ConfigError(f"--set for {name}: {error}; its settings are {names}") from None
    if syslog is None:
        return form
    style: Style = "rfc3164" if syslog is SyslogStyle.rfc3164 else "rfc5424"
    return framed(form, style)


# What is read and written


class _Counted:
    """A file that tells how far it has been read, and where its bytes are wrong."""

    def __init__(self, name: str, file: Readable, tell: Callable[[], None]) -> None:
        self._name = name
        self._file = file
        self._tell = tell

    def read1(self, size: int, /) -> bytes:
        self._tell()
        try:
            return self._file.read1(size)
        except (EOFError, zlib.error, gzip.BadGzipFile) as error:
            raise DecodeError(f"{printable_text(self._name)}: its gzip is damaged: {error}") from None
        except OSError as error:
            raise ConfigError(f"cannot read {printable_text(self._name)}: {error.strerror}") from None


@contextmanager
def _opened(name: str, bar: "_Bar") -> Iterator[tuple[Readable, int]]:
    """A file, unpacked; and what time to give to events at its beginning that have none."""
    with ExitStack() as stack:
        try:
            raw: Any = sys.stdin.buffer if name == "-" else stack.enter_context(Path(name).open("rb"))
            time_ns = time.time_ns() if name == "-" else os.fstat(raw.fileno()).st_mtime_ns
            is_packed = raw.peek(len(_GZIP)).startswith(_GZIP)
        except OSError as error:
            raise ConfigError(f"cannot read {printable_text(name)}: {error.strerror}") from None
        position = 0

        def tell() -> None:
            nonlocal position
            if name != "-":
                bar.advance(raw.tell() - position)
                position = raw.tell()

        file: Any = stack.enter_context(gzip.GzipFile(fileobj=raw)) if is_packed else raw
        yield _Counted(name, file, tell), time_ns
        tell()


@contextmanager
def _writing(name: str, form: Format | None) -> Iterator[Callable[[bytes], None]]:
    """What writes to a file or standard output; `form` is None for lines as they were."""
    with ExitStack() as stack:
        file: BinaryIO = sys.stdout.buffer
        if name != "-":
            try:
                file = stack.enter_context(_private(name))
            except OSError as error:
                raise SinkError(f"cannot write {printable_text(name)}: {error.strerror}") from None
        elif form and not form.is_text and sys.stdout.isatty():
            raise ConfigError("this format is not for terminals: name a file with --output")

        def write(content: bytes) -> None:
            try:
                file.write(content)
                file.flush()
            except BrokenPipeError:  # whoever reads has enough
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(0) from None
            except OSError as error:
                raise SinkError(f"cannot write {printable_text(name)}: {error.strerror}") from None

        yield write


def _private(name: str) -> BinaryIO:
    # 0600: command lines of every process of a machine are nobody else's business
    return os.fdopen(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600), "wb")


# What is shown


class _Bar:
    """How far it is, on a terminal; elsewhere only what is said."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress = progress
        self._task = progress.add_task("converting", total=total) if progress else None

    def advance(self, count: int) -> None:
        if self._progress is not None and self._task is not None:
            self._progress.advance(self._task, count)

    def say(self, text: str) -> None:
        if self._progress:
            self._progress.console.print(text, highlight=False, markup=False, soft_wrap=True)
        else:
            sys.stderr.write(f"{text}\n")


@contextmanager
def _progress(names: list[str]) -> Iterator[_Bar]:
    """A bar if there is a terminal to draw it on and an end to get to."""
    try:
        total = sum(Path(name).stat().st_size for name in names if name != "-")
    except OSError as error:
        raise ConfigError(f"cannot read {printable_text(str(error.filename))}: {error.strerror}") from None
    if "-" in names or not sys.stderr.isatty():
        yield _Bar(None, 0)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), DownloadColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as progress:
        yield _Bar(progress, total)
