"""The generated reference page names every key, effective or not."""

from __future__ import annotations

from configuration.document import document
from tests.configuration.samples import BrokerConfig, MessageStoreConfig


def test_every_key_is_on_the_page() -> None:
    page = document([("A broker's file", (BrokerConfig, MessageStoreConfig))])
    assert "| `listenPort` | integer, 1…65535 | `6888` |  | Port. |" in page
    assert "| `brokerRole` | `ASYNC_MASTER` / `SLAVE` | `ASYNC_MASTER` |  | Role. |" in page
    assert "| `tags` ¹ | list, `;` between | `x` | yes | Our own list. |" in page
    assert "| `brokerPermission` | integer | `6` | yes | Bits. |" in page
    assert "| `fileReservedTime` | int | `72` |" in page
    assert "| `fetchNameSrvAddrByDnsLookup` | boolean | `false` |" in page
    assert "- `aclEnable=true`: " in page
    assert page.count("`listenPort`") == 1
