"""The JSON tables of a broker and of a name server, with the journal of offsets, to damage.

JSON has no checksum, so that a table may be read with what the damaged text says. But it is never taken for
a table that lacks something, never read in part, and what its backup or the journal can give is given:

- a table that is not sound gives way to its backup, which is said, or is refused with its name;
- what a table says that was read is what its text says to another parser;
- offsets are those of the table and of the journal, none that nobody committed, none lower than the table's;
  what the journal lost is said, unless it was cut where a record ends.

Kinds: ``tables`` were saved several times and closed; ``tables-young`` have no backup yet;
``tables-killed`` have a journal that goes on from the last save or from the one before.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import attrs

from broker import former_identities
from broker.config import BrokerConfig
from broker.former_identities import FormerIdentities, RegisteredIdentity
from broker.groups import PRESET_GROUPS, SubscriptionGroupManager
from broker.offset_journal import OffsetJournal
from broker.offsets import ConsumerOffsetManager
from broker.schedule import ScheduleMessageService
from broker.topics import TopicConfigManager
from namesrv.kv_config import KVConfigManager
from remoting.protocol.admin_body import SubscriptionGroupConfig, TopicConfig
from store import ConfigTable, StoreError
from store.quota_consent import Purge, PurgeConsent, ShareInForce
from tests.format_fuzz.outcome import FuzzError, QuickDisk

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from broker.saved_table import SavedTable
    from tests.format_fuzz.damage import Damage
    from tests.format_fuzz.outcome import Said

KINDS = ("tables", "tables-young", "tables-killed")
_NOW_MS = 1_700_000_000_000
_TOPICS = 40
_COMMITS = 30
_NOW = RegisteredIdentity("c", "broker-a", 0, "10.1.2.3:10911")
_BEFORE = RegisteredIdentity("c", "Zürich", 0, "10.1.2.3:10911")
_BARE_KEY = re.compile(r"([{,]\s*)(-?\d+)\s*:")
_MAY_BE_LOST = ("diskShare", "registeredAs")
"""Tables without which a broker does all it did, after it asked again or told name servers again."""


class _Brokers:
    """What reads and writes the files below one directory, as a broker and a name server would."""

    def __init__(self, root: Path) -> None:
        disk = QuickDisk()

        def table(name: str) -> ConfigTable:
            return ConfigTable(f"{root}/config/{name}.json", disk)

        def clock_ms() -> int:
            return _NOW_MS

        config = _config()
        self.topics = TopicConfigManager(config, table("topics"), clock_ms=clock_ms)
        self.groups = SubscriptionGroupManager(config, table("subscriptionGroup"), clock_ms=clock_ms)
        self.journal = OffsetJournal(f"{root}/config/consumerOffset.journal", disk)
        self.offsets = ConsumerOffsetManager(table("consumerOffset"), clock_ms=clock_ms, journal=self.journal)
        context: Any = _Context(clock_ms)
        self.schedule = ScheduleMessageService(context, table("delayOffset"))
        self.former_file = table("registeredAs")
        self.former = FormerIdentities(self.former_file, _NOW)
        self.consent = PurgeConsent(f"{root}/config/diskShare.json", disk)
        self.kv = KVConfigManager(root / "namesrv" / "kvConfig.json")

    @property
    def tables(self) -> dict[str, SavedTable]:
        return {
            "topics": self.topics.file,
            "subscriptionGroup": self.groups.file,
            "consumerOffset": self.offsets.file,
            "delayOffset": self.schedule.file,
        }

    def save(self) -> None:
        for name, table in self.tables.items():
            if name == "consumerOffset":
                self.journal.begin_segment()
            table._write_snapshot(table._snapshot())
        self.journal.confirm()
        self.kv.save(self.kv.content())
        self.former_file.save(_identity_text(_BEFORE, _NOW))


def _config() -> BrokerConfig:
    return BrokerConfig(broker_ip1="127.0.0.1")


class _Context:
    """As much of a broker as the delay levels need to read their table."""

    def __init__(self, clock_ms: Callable[[], int]) -> None:
        self.store = self
        self.store_config = self
        self.store_path_root_dir = ""
        self.clock_ms = clock_ms
        self.delay_levels = self
        self.maximum = 18

    def flush(self) -> None:
        """Never called: nothing is delivered."""

    def min_offset(self, _topic: str, _queue_id: int) -> int:
        return 0

    def max_offset(self, _topic: str, _queue_id: int) -> int:
        return 1 << 62


@attrs.frozen
class Template:
    """Files that were closed, and what is in them.

    Attributes:
        contents: By the name of the table what a reader gets, and what it gets from the backup.
        committed: Every offset that was ever committed, by group and queue.
    """

    root: Path
    contents: dict[str, tuple[Any, Any]]
    committed: dict[tuple[str, int], set[int]]


def make_template(root: Path, kind: str) -> Template:
    """Files in `root` with two generations of content, or one."""
    brokers = _Brokers(root)
    committed: dict[tuple[str, int], set[int]] = {}
    contents: dict[str, tuple[Any, Any]] = {}
    generations = 1 if kind == "tables-young" else 2
    for generation in range(generations):
        _change(brokers, generation, committed)
        brokers.save()
        before = {name: each[0] for name, each in contents.items()}
        contents = {name: (content, before.get(name)) for name, content in _content(brokers).items()}
        brokers.consent.waits(0.5 - generation / 4, Purge(0, 0), confirmed=False)
    if kind == "tables-killed":
        _commit(brokers, 7, committed)
        brokers.journal.begin_segment()
        _commit(brokers, 8, committed)
        brokers.journal.close()
    else:
        brokers.journal.discard()
    shares = ShareInForce(0.5 - (generations - 1) / 4), None if generations == 1 else ShareInForce(0.5)
    contents["diskShare"] = shares
    contents["registeredAs"] = ([_BEFORE], None)
    _, offsets_before = contents["consumerOffset"]
    contents["consumerOffset"] = brokers.offsets._snapshot().offsets, offsets_before
    return Template(root, contents, committed)


def _identity_text(*identities: RegisteredIdentity) -> str:
    return former_identities._text(list(identities))


def _change(brokers: _Brokers, generation: int, committed: dict[tuple[str, int], set[int]]) -> None:
    for number in range(_TOPICS + generation):
        name = f"Topic-{number}-Ä" if number % 5 == 0 else f"Topic-{number}"
        brokers.topics.update(
            TopicConfig(topic_name=name, read_queue_nums=4 + generation, write_queue_nums=4 + generation)
        )
        brokers.groups.update(
            SubscriptionGroupConfig(group_name=f"group-{number}", retry_max_times=3 + generation)
        )
    brokers.groups._forbidden["group-1"] = {"Topic-1": 2 + generation}
    for level in range(1, 10):
        brokers.schedule._offsets[level] = 1000 * level + generation
    brokers.kv.put("ORDER_TOPIC_CONFIG", "Topic-1", f"broker-a:{4 + generation}")
    brokers.kv.put("other", f"key-{generation}", "value" * 20)
    _commit(brokers, generation, committed)


def _commit(brokers: _Brokers, generation: int, committed: dict[tuple[str, int], set[int]]) -> None:
    for number in range(_COMMITS):
        group, topic, queue_id = f"group-{number % 4}", f"Topic-{number % 7}", number % 3
        offset = 1000 * generation + 10 * number + 5
        brokers.offsets.commit("host", group, topic, queue_id, offset)
        committed.setdefault((f"{topic}@{group}", queue_id), set()).add(offset)


def _content(brokers: _Brokers) -> dict[str, Any]:
    return {
        "topics": dict(brokers.topics.table),
        "subscriptionGroup": (dict(brokers.groups.table), dict(brokers.groups.forbidden_table)),
        "consumerOffset": brokers.offsets._snapshot().offsets,
        "delayOffset": brokers.schedule.offsets,
        "kvConfig": {name: dict(values) for name, values in brokers.kv._table.items()},
    }


def outcome(template: Template, root: Path, damage: Damage, said: Said) -> str:
    """What is read from `root`, a copy of `template` that got `damage`; see `run_trial`."""
    brokers = _Brokers(root)
    found, refused = _read(brokers)
    for name, error in refused.items():
        if not any(str(path) in str(error) for path in damage.paths):
            raise FuzzError(f"{name} is refused without the name of the file: {error}") from error
    if refused:
        return f"refused: {'; '.join(map(str, refused.values()))}"
    for name, content in found.items():
        if name == "consumerOffset":
            _check_offsets(template, root, damage, said, content)
        else:
            _check_table(template, root, damage, said, name, content)
    try:
        brokers.save()
    except (StoreError, OSError) as error:
        if not any(path.name in str(error) for path in damage.paths):
            raise
        return "recovered, and cannot be saved"
    again, refused = _read(_Brokers(root))
    if refused:
        raise FuzzError(f"refused after it was saved: {refused}")
    for name in brokers.tables.keys() | {"kvConfig"}:
        # A journal that was left out fits again once the table that it goes on from was written anew.
        if again[name] not in (found[name], template.contents[name][0]):
            raise FuzzError(f"{name} is another one after it was saved")
    is_whole = all(found[name] == template.contents[name][0] for name in found)
    return "recovered" if is_whole else "recovered another content"


def _read(brokers: _Brokers) -> tuple[dict[str, Any], dict[str, Exception]]:
    """What each table holds, or why it is refused."""
    found: dict[str, Any] = {}
    refused: dict[str, Exception] = {}
    loads: dict[str, Callable[[], None]] = {
        "topics": brokers.topics.load,
        "subscriptionGroup": brokers.groups.load,
        "consumerOffset": brokers.offsets.load,
        "delayOffset": brokers.schedule.load,
        "kvConfig": brokers.kv.load,
        "registeredAs": brokers.former.load,
    }
    for name, load in loads.items():
        try:
            load()
        except (StoreError, OSError) as error:
            refused[name] = error
    try:
        brokers.consent._known = brokers.consent._load()
    except StoreError as error:
        refused["diskShare"] = error
    content = _content(brokers)
    content |= {"registeredAs": brokers.former.former, "diskShare": brokers.consent._known}
    found = {name: each for name, each in content.items() if name not in refused}
    return found, refused


def _path(root: Path, name: str) -> Path:
    return root / "namesrv" / "kvConfig.json" if name == "kvConfig" else root / "config" / f"{name}.json"


def _check_table(template: Template, root: Path, damage: Damage, said: Said, name: str, content: Any) -> None:
    main, backup = template.contents[name]
    path = _path(root, name)
    if content == main:
        return
    if path not in damage.paths:
        raise FuzzError(f"{name} is another one, whose file was not damaged")
    if backup is not None and content == backup and said.names(path):
        return
    if name in _MAY_BE_LOST and said.names(path):
        return
    if damage.kind == "remove" and backup is None:
        return
    if damage.kind in ("empty", "cut") and not path.read_bytes() and said.names(path):
        return
    if not _agrees(_document(path, name), name, content):
        raise FuzzError(f"{name} does not hold what its text says")


def _check_offsets(template: Template, root: Path, damage: Damage, said: Said, content: Any) -> None:
    main, _ = template.contents["consumerOffset"]
    path = _path(root, "consumerOffset")
    if content == main:
        return
    if not any(each.name.startswith("consumerOffset") for each in damage.paths):
        raise FuzzError("other offsets, though no file of them was damaged")
    is_said = any("consumerOffset" in line for line in said.lines)
    if not is_said and not _is_undetectable(root, damage, content):
        raise FuzzError(f"offsets are lost without a word: {_differences(main, content)}")
    if path in damage.paths and path.is_file() and _is_sound(path):
        return  # it says what it says
    for key, row in content.items():
        for queue_id, offset in row.items():
            if offset not in template.committed.get((key, queue_id), ()):
                raise FuzzError(f"nobody committed offset {offset} of {key} {queue_id}")


def _is_undetectable(root: Path, damage: Damage, content: Any) -> bool:
    """Whether the damage left what is sound: a table that says something else, or fewer whole records."""
    path = _path(root, "consumerOffset")
    if path in damage.paths and path.is_file() and _is_sound(path):
        return _agrees(_document(path, "consumerOffset"), "consumerOffset", content)
    return damage.kind in ("cut", "remove")


def _is_sound(path: Path) -> bool:
    try:
        _document(path, path.name.partition(".")[0])
    except FuzzError:
        return False
    return True


def _document(path: Path, name: str) -> Any:
    """What another parser reads; numbers as keys are all that it needs help with."""
    try:
        return json.loads(_BARE_KEY.sub(r'\1"\2":', path.read_bytes().decode()), strict=False)
    except (ValueError, OSError) as error:
        raise FuzzError(f"{name} was read from a text that is no JSON: {error}") from error


def _agrees(document: Any, name: str, content: Any) -> bool:
    """Whether every reader must find `content` in the document."""
    if name == "topics":
        table = document["topicConfigTable"]
        presets = TopicConfigManager(_config(), ConfigTable(""), clock_ms=lambda: 0).table
        return table.keys() <= content.keys() <= table.keys() | presets.keys() and all(
            content[key].read_queue_nums == value.get("readQueueNums", 16)
            and content[key].topic_name == value.get("topicName", "") in (key, "")
            for key, value in table.items()
        )
    if name == "subscriptionGroup":
        table = document["subscriptionGroupTable"]
        return table.keys() <= content[0].keys() <= table.keys() | set(PRESET_GROUPS) and all(
            content[0][key].retry_max_times == value.get("retryMaxTimes", 16)
            and content[0][key].group_name == value.get("groupName", "") in (key, "")
            for key, value in table.items()
        )
    if name == "consumerOffset":
        return bool(
            content
            == {
                key: {int(queue_id): int(offset) for queue_id, offset in row.items()}
                for key, row in document["offsetTable"].items()
            }
        )
    if name == "delayOffset":
        return bool(content == {int(level): int(offset) for level, offset in document["offsetTable"].items()})
    if name == "diskShare":
        return bool(content.share == document["share"])
    if name == "registeredAs":
        rows = [
            RegisteredIdentity(
                row["brokerClusterName"], row["brokerName"], row["brokerId"], row["brokerAddr"]
            )
            for row in document["identities"]
        ]
        return bool(content == [row for row in rows if row.address == _NOW.address and row != _NOW])
    return bool(content == document["configTable"])


def _differences(main: Any, content: Any) -> list[Any]:
    return [
        (key, main.get(key), content.get(key)) for key in main | content if main.get(key) != content.get(key)
    ][:3]
