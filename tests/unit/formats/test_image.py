import pytest

from hauberk.formats.image import Image, image_of


@pytest.mark.parametrize(
    ("text", "name", "tag", "digest"),
    [
        ("docker.io/library/vault:1.13.1@sha256:b888", "docker.io/library/vault", "1.13.1", "sha256:b888"),
        ("docker.io/library/vault:1.13.1", "docker.io/library/vault", "1.13.1", ""),
        ("registry:5000/web", "registry:5000/web", "", ""),
        ("registry:5000/web:2", "registry:5000/web", "2", ""),
        ("busybox", "busybox", "", ""),
        ("busybox@sha256:aa", "busybox", "", "sha256:aa"),
    ],
)
def test_parts(text: str, name: str, tag: str, digest: str) -> None:
    assert image_of(text) == Image(text, name, tag, digest)


def test_none() -> None:
    assert image_of("") is None
