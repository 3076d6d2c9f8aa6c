"""Who owns which identity, port and directory inside one container.

Two brokers of one process must not share an identity, a port or a directory. The operating system finds a
port conflict only at bind and a `lockf` never conflicts within its own process, so the container keeps its
own book and asks it before anything is opened. A claim is granted whole or not at all; releasing it forgets
everything the owner had. Pure bookkeeping, no I/O.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import attrs

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

__all__ = ["ClaimConflictError", "Claims"]


class ClaimConflictError(Exception):
    """Somebody else in the process owns what was claimed. The text is one sentence for the operator."""


class DuplicateIdentityError(ClaimConflictError):
    """The broker is there already.

    Attributes:
        text: Java's sentence for it.
    """

    def __init__(self, owner: str) -> None:
        self.text = f"{owner} has already been added to current broker container"
        super().__init__(self.text)


@attrs.frozen
class _Holding:
    owner: str
    purpose: str


class Claims:
    """The book of one container."""

    def __init__(self) -> None:
        self._identities: set[str] = set()
        self._ports: dict[int, _Holding] = {}
        self._paths: dict[str, _Holding] = {}

    def claim(self, owner: str, *, ports: Mapping[int, str], paths: Mapping[str, str]) -> None:
        """Gives `owner` its name, `ports` (number → purpose) and `paths` (real path → purpose), or nothing.

        Port 0 stands for any free port and never conflicts. A path conflicts with itself only: one store
        may lie below another one's root, as RocketMQ allows.

        Raises:
            DuplicateIdentityError: `owner` has its name already.
            ClaimConflictError: names the first conflict and who owns it.
        """
        if owner in self._identities:
            raise DuplicateIdentityError(owner)
        for port, purpose in ports.items():
            if (held := self._ports.get(port)) is not None:
                raise ClaimConflictError(
                    f"{owner}: port {port} ({purpose}) is already in use in this container by"
                    f" {held.owner} ({held.purpose}); the ports of neighbours must differ by more than two"
                )
        for path, purpose in paths.items():
            if (held := self._paths.get(path)) is not None:
                raise ClaimConflictError(
                    f"{owner}: directory {path} ({purpose}) is already in use in this container by"
                    f" {held.owner} ({held.purpose}); give each broker its own storePathRootDir"
                )
        self._identities.add(owner)
        self._ports.update((port, _Holding(owner, purpose)) for port, purpose in ports.items() if port)
        self._paths.update((path, _Holding(owner, purpose)) for path, purpose in paths.items())

    def release(self, owner: str) -> None:
        """Forgets everything of `owner`; one that has nothing is fine."""
        self._identities.discard(owner)
        self._ports = {port: held for port, held in self._ports.items() if held.owner != owner}
        self._paths = {path: held for path, held in self._paths.items() if held.owner != owner}

    def owners(self) -> Iterable[str]:
        return frozenset(self._identities)
