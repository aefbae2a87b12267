import pytest

from hauberk.formats.techniques import techniques


@pytest.mark.parametrize(
    ("tags", "found"),
    [
        (("MITRE", "MITRE_T1036_masquerading", "MITRE_T1565_data_manipulation"), ("T1036", "T1565")),
        (("T1003", "MITRE-T1003"), ("T1003",)),
        (("MITRE_T1059.004_unix_shell",), ("T1059.004",)),
        (("NIST_800-53_CM-7(4)", "SI-4", "process", "T10", "T10365", "XT1036", ""), ()),
        ((), ()),
    ],
)
def test_techniques(tags: tuple[str, ...], found: tuple[str, ...]) -> None:
    assert techniques(tags) == found
