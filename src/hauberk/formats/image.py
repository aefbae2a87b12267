"""The parts of a container image's name."""

from functools import lru_cache
from typing import NamedTuple


class Image(NamedTuple):
    """``docker.io/library/vault:1.13.1@sha256:…``."""

    text: str
    """All of it."""

    name: str
    """Without tag and digest."""

    tag: str
    digest: str


@lru_cache(maxsize=1024)
def image_of(text: str) -> Image | None:
    """Taken apart; None if there is none."""
    if not text:
        return None
    whole, _, digest = text.partition("@")
    path, slash, last = whole.rpartition("/")  # a colon before it is that of a port
    name, _, tag = last.partition(":")
    return Image(text, f"{path}{slash}{name}", tag, digest)
