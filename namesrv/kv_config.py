"""Key-value configuration in namespaces, kept in `kvConfig.json` (codes 100–102, 219).

File format as in Java's `KVConfigSerializeWrapper`: `{"configTable":{"<namespace>":{"<key>":"<value>"}}}`.
The content before a change stays in `kvConfig.json.bak`, from which a torn or missing file is restored.
"""

from __future__ import annotations

import errno
import logging
import os
import sys
from pathlib import Path

from remoting.errors import BodyFault
from remoting.json_dialect import dumps, loads

__all__ = ["NAMESPACE_ORDER_TOPIC_CONFIG", "KVConfigManager"]

NAMESPACE_ORDER_TOPIC_CONFIG = "ORDER_TOPIC_CONFIG"

log = logging.getLogger("rocketmq.namesrv")


class KVConfigManager:
    """The table in memory, and its file.

    Changes work in memory; :meth:`content` and :meth:`save` bring them to the file, the second in a worker
    thread.

    Args:
        path: the file; `~` is the home directory.
    """

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path).expanduser()
        self._table: dict[str, dict[str, str]] = {}
        self._keeps_backup = False
        """The backup is better than the file, which was damaged."""

    def __repr__(self) -> str:
        return f"<KVConfigManager {self.path} of {len(self._table)} namespaces>"

    def load(self) -> None:
        """Read the file, or the one before it if it is missing, empty or damaged. Blocks.

        Without any, or with an empty one alone, the table is empty.

        Raises:
            OSError: a file is there but cannot be read, or is damaged and no sound one is beside it.
        """
        damaged: dict[Path, str] = {}
        for path in (self.path, self._backup_path):
            try:
                data = path.read_bytes()
                if not data:
                    log.error("key-value configuration %s is empty", path)
                    continue
                self._table = _parse(data)
            except (FileNotFoundError, NotADirectoryError):
                continue
            except BodyFault as wrong:
                log.error("key-value configuration %s is not usable: %s", path, wrong)
                damaged[path] = str(wrong)
            else:
                log.info("key-value configuration read from %s", path)
                self._keeps_backup = path != self.path
                if self._keeps_backup:
                    log.error("%s is missing or not usable: its previous version %s is used", self.path, path)
                return
        for path, reason in damaged.items():
            raise OSError(errno.EILSEQ, f"is damaged, and no sound version is beside it: {reason}", str(path))

    def content(self) -> bytes:
        """The file as it should be now."""
        return dumps({"configTable": self._table})

    def save(self, content: bytes) -> None:
        """Write the file whole or not at all, keeping the one before as `.bak`. Blocks.

        Raises:
            OSError: it cannot be written; the old one is still there, or the new one is and may not outlive a
                loss of power.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True)
        temporary = self.path.with_name(self.path.name + ".tmp")
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        if self.path.exists() and not self._keeps_backup:
            self.path.replace(self._backup_path)
        temporary.replace(self.path)
        self._keeps_backup = False
        _sync_directory(self.path.parent)

    def put(self, namespace: str, key: str, value: str) -> None:
        """Set one value."""
        self._table.setdefault(namespace, {})[key] = value
        log.info("key-value configuration: %s %s set to %s", namespace, key, value)

    def get(self, namespace: str, key: str) -> str | None:
        """One value, or None."""
        return self._table.get(namespace, {}).get(key)

    def delete(self, namespace: str, key: str) -> None:
        """Drop one value; its namespace stays known, as in Java."""
        value = self._table.get(namespace, {}).pop(key, None)
        log.info("key-value configuration: %s %s deleted, was %s", namespace, key, value)

    def namespace(self, namespace: str) -> dict[str, str] | None:
        """All values of a namespace, or None if it was never used."""
        table = self._table.get(namespace)
        return None if table is None else dict(table)

    @property
    def _backup_path(self) -> Path:
        return self.path.with_name(self.path.name + ".bak")


def _sync_directory(path: Path) -> None:
    """Make the names in a directory durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _parse(data: bytes) -> dict[str, dict[str, str]]:
    found = loads(data, max_bytes=sys.maxsize)
    table = found.get("configTable") if isinstance(found, dict) else None
    if not isinstance(table, dict) or not all(isinstance(values, dict) for values in table.values()):
        raise BodyFault("no configTable of namespaces")
    for name, values in table.items():
        for key, value in values.items():
            if not isinstance(value, str):
                raise BodyFault(f"{key!r:.100} of {name!r:.100} is no text")
    return {str(name): {str(key): value for key, value in values.items()} for name, values in table.items()}
