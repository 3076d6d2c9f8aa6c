"""Order of steps in mypyc's C: an object first gets its new state, then the old one is let go.

Letting go of an object may run other code: its finalizer, or, while it waits for the system, any other
thread. The end of a mapping (`mmap`) does the latter. mypyc 2.4 lets go first wherever the interpreter has a
global lock, in two kinds of places:

| place | what other code meets meanwhile |
|---|---|
| an attribute gets another value | the old value, which is no more: a crash |
| a closure, generator or coroutine is kept to be used again | it is given away before it is empty |

Free-threaded builds are guarded by mypyc itself (python/mypy, pull request 21705).
"""

from __future__ import annotations

import re

__all__ = ["UnknownOrderError", "store_before_release"]

_ATTRIBUTE = r"(?:\(\(\w+ \*\)\w+\)|self)->\w+"
_STORE = re.compile(rf"(?P<attribute>{_ATTRIBUTE}) = (?P<value>[^;=]+);")
_RELEASE = re.compile(rf"\w+(?:DECREF|DecRef)\((?P<attribute>{_ATTRIBUTE})(?:\.\w+)*\);")
_KEPT = re.compile(r"(?P<slot>\w+_free_instance) = self;")


class UnknownOrderError(Exception):
    """mypyc wrote something that is not known here; names the line."""


def store_before_release(text: str) -> str:
    """The text of one module in C, with the two kinds of places put in order.

    Raises:
        UnknownOrderError: an attribute is let go of in another way than those that are known.
    """
    lines: list[str] = []
    for line in text.split("\n"):
        stored = _STORE.fullmatch(line.strip())
        start = _releases(lines, stored["attribute"]) if stored else len(lines)
        if stored is not None and start < len(lines):
            attribute = stored["attribute"]
            releases = [each.replace(attribute, "released") for each in lines[start:]]
            lines[start:] = [f"{{ __typeof__({attribute}) released = {attribute};", line, *releases, "}"]
        else:
            lines.append(line)
    _empty_before_kept(lines)
    for number, line in enumerate(lines, 1):
        if _RELEASE.fullmatch(line.strip()):
            raise UnknownOrderError(f"line {number} of mypyc's C lets go of an attribute: {line.strip()}")
    return "\n".join(lines)


def _releases(lines: list[str], attribute: str) -> int:
    """Index of the first of the statements that end `lines` and let go of an attribute."""
    guarded = bool(lines) and lines[-1].strip() == "}"
    end = first = len(lines) - guarded
    while first:
        released = _RELEASE.fullmatch(lines[first - 1].strip())
        if released is None or released["attribute"] != attribute:
            break
        first -= 1
    if first == end:
        return len(lines)
    if guarded:
        return first - 1 if lines[first - 1].strip().startswith(f"if ({attribute}") else len(lines)
    return first


def _empty_before_kept(lines: list[str]) -> None:
    """Keeps an instance for the next use when it has been emptied, unless another was kept meanwhile."""
    for index, line in enumerate(lines):
        kept = _KEPT.fullmatch(line.strip())
        if kept is None:
            continue
        if lines[index - 1].strip() != f"if ({kept['slot']} == NULL) {{":
            raise UnknownOrderError(f"line {index + 1} of mypyc's C keeps an instance: {line.strip()}")
        end = lines.index("        return;", index)
        lines[end] = f"        if ({kept['slot']} == NULL) {{ {kept['slot']} = self; return; }}"
        lines[index] = ""
