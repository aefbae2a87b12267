"""Paths that a caller wrote, as seen from the root."""


def absolute(path: bytes, directory: bytes | None) -> bytes:
    """`path` as seen from `directory`, without names that lead nowhere; symbolic links are not followed.

    It stays relative if nobody knows what it is relative to.
    """
    if not path.startswith(b"/") and directory:
        path = directory + b"/" + path
    if b"//" not in path and b"/." not in path and not path.endswith(b"/"):
        return path
    is_absolute = path.startswith(b"/")
    names: list[bytes] = []
    for name in path.split(b"/"):
        if name == b".." and is_absolute:
            del names[-1:]
        elif name not in (b"", b"."):
            names.append(name)
    return b"/" * is_absolute + b"/".join(names)
