"""Paths that a caller wrote, as seen from the root."""


def absolute(path: str, directory: str | None) -> str:
    """`path` as seen from `directory`, without names that lead nowhere; symbolic links are not followed.

    It stays relative if nobody knows what it is relative to.
    """
    if not path.startswith("/") and directory:
        path = f"{directory}/{path}"
    if "//" not in path and "/." not in path and not path.endswith("/"):
        return path
    is_absolute = path.startswith("/")
    names: list[str] = []
    for name in path.split("/"):
        if name == ".." and is_absolute:
            del names[-1:]
        elif name not in ("", "."):
            names.append(name)
    return "/" * is_absolute + "/".join(names)
