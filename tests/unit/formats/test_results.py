import os
import platform

import pytest

from hauberk.formats.results import result_text


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (0, "Passed"),
        (1, "Operation not permitted"),
        (2, "No such file or directory"),
        (13, "Permission denied"),
        (40, "Too many levels of symbolic links"),
        (41, "Unknown error"),
        (58, "Unknown error"),
        (115, "Operation now in progress"),
        (133, "Memory page has hardware error"),
        (134, "Unknown error"),
        (200, "Unknown error"),
        (4095, "Unknown error"),
        (-1, "Unknown error"),
    ],
)
def test_result(error: int, text: str) -> None:
    assert result_text(error) == text


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="other libcs have other words")
def test_words_are_those_of_glibc() -> None:
    for error in {*range(1, 134)} - {41, 58}:
        assert result_text(error) == os.strerror(error)
