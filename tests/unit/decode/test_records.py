"""Batches to records."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hauberk.abi import RECORD, Hook, ItemKind, RecordFlag
from hauberk.decode.records import NOTHING, decode_batch
from hauberk.model.record import Record
from tests.unit.decode.raw import CWD, frame, raw_record

OBJECT = (ItemKind.OBJECT, 0, b"/etc/passwd")

items = st.lists(
    st.tuples(st.sampled_from(ItemKind), st.integers(0, 5), st.binary(max_size=40)), max_size=5
).map(tuple)
raws = st.lists(items.map(lambda each: raw_record(*each)), max_size=6)


def test_every_field() -> None:
    """Each number of the header and each item is where the contract says."""
    raw = raw_record(
        CWD,
        OBJECT,
        hook=Hook.EXEC,
        syscall=59,
        arguments=(1, 2, 3, 4, 5, -1),
        result=-2,
        flags=RecordFlag.CUT,
    )
    expected = Record(
        time_ns=1001,
        sequence=1002,
        cgroup_id=1003,
        start_ns=1004,
        result=-2,
        arguments=(1, 2, 3, 4, 5, 0xFFFFFFFFFFFFFFFF),
        host_pid=2001,
        tid=2002,
        host_ppid=2003,
        pid=2004,
        ppid=2005,
        pid_ns=4026531836,
        mnt_ns=4026531841,
        uid=2006,
        exec_id=2007,
        hook=Hook.EXEC,
        syscall=59,
        cpu=2008,
        flags=RecordFlag.CUT,
        items=((ItemKind.CWD, 0, b"/home/ada"), (ItemKind.OBJECT, 0, b"/etc/passwd")),
    )

    assert (frame(raw), [expected], 0) == decode_batch(frame(raw))


def test_empty_batch() -> None:
    """Nothing holds nothing."""
    assert NOTHING == decode_batch(b"")


def test_discarded_entry_is_no_record() -> None:
    """What the kernel program gave up while writing is passed over, and is not unknown."""
    raw = raw_record(CWD)
    discarded = struct.pack("<II", len(raw) | 1 << 30, 0) + raw + bytes(-len(raw) % 8)
    decoded = decode_batch(frame(raw) + discarded + frame(raw))

    assert (2, 0) == (len(decoded.records), decoded.unknown)


RAW = raw_record(CWD)


@pytest.mark.parametrize(
    "entry",
    [
        pytest.param(frame(RAW[:100] + bytes(36)), id="no hook"),
        pytest.param(frame(raw_record(hook=Hook.COUNT)), id="hook of a later version"),
        pytest.param(frame(RAW[:-1]), id="shorter than it says"),
        pytest.param(frame(RAW + b"\0"), id="longer than it says"),
        pytest.param(frame(RAW[: RECORD.size - 4] + struct.pack("<I", len(RAW) + 3) + RAW[RECORD.size :] + b"abc"),
                     id="half an item header"),
        pytest.param(frame(RAW[: RECORD.size + 2] + b"\xff\xff" + RAW[RECORD.size + 4 :]), id="item beyond the end"),
        pytest.param(frame(b""), id="empty"),
        pytest.param(frame(b"\x01\x02\x03"), id="too short for a header"),
        pytest.param(struct.pack("<II", len(RAW) | 1 << 31, 0) + RAW + bytes(-len(RAW) % 8), id="busy"),
    ],
)  # fmt: skip
def test_unknown_entry_costs_no_other(entry: bytes) -> None:
    """An entry that makes no sense is counted; those before and after it are decoded."""
    good = frame(RAW)
    decoded = decode_batch(good + entry + good + good)

    assert (3, 1) == (len(decoded.records), decoded.unknown)


def test_entry_without_its_last_padding() -> None:
    """A batch may end with the last byte of a record."""
    assert len(RAW) % 8
    decoded = decode_batch(frame(RAW) + frame(RAW)[: 8 + len(RAW)])

    assert (2, 0) == (len(decoded.records), decoded.unknown)


@given(raws, st.data())
def test_rest_of_a_cut_batch_is_one_unknown(records: list[bytes], data: st.DataObject) -> None:
    """What comes before the cut is decoded, what is cut counts once."""
    batch = b"".join(map(frame, records))
    cut = data.draw(st.integers(0, len(batch)))
    whole, begin = 0, 0
    for raw in records:
        if begin + 8 + len(raw) > cut:
            break
        whole, begin = whole + 1, begin + len(frame(raw))
    decoded = decode_batch(batch[:cut])

    assert decode_batch(batch).records[:whole] == decoded.records
    assert (1 if begin < cut else 0) == decoded.unknown


@given(raws.filter(bool), st.data())
def test_one_flipped_bit_costs_nothing_before_it(records: list[bytes], data: st.DataObject) -> None:
    """No damage raises, and what lies before it is decoded as ever."""
    batch = bytearray(b"".join(map(frame, records)))
    bit = data.draw(st.integers(0, len(batch) * 8 - 1))
    batch[bit // 8] ^= 1 << bit % 8
    before, end = 0, 0
    for raw in records:
        end += len(frame(raw))
        before += end <= bit // 8
    decoded = decode_batch(bytes(batch))

    assert decode_batch(b"".join(map(frame, records[:before]))).records == decoded.records[:before]


@given(st.binary(max_size=2000))
def test_any_bytes(batch: bytes) -> None:
    """Bytes that nobody wrote give no exception, and are not taken for nothing."""
    decoded = decode_batch(batch)

    assert len(decoded.records) + decoded.unknown <= len(batch) // 8 + 1
