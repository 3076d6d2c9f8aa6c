"""`python -m tools.document_configuration [--check]`: docs/configuration.md from the config classes."""

from __future__ import annotations

from pathlib import Path

import click

from broker.config import BrokerConfig
from configuration.document import Section, document
from container.config import BrokerContainerConfig
from container.log_config import LogConfig
from namesrv.config import NamesrvConfig
from remoting.config import RemotingClientConfig, RemotingServerConfig
from store.config import MessageStoreConfig

__all__ = ["SECTIONS", "main"]

SECTIONS: tuple[Section, ...] = (
    ("The container's file", (BrokerContainerConfig, RemotingServerConfig, RemotingClientConfig, LogConfig)),
    ("A broker's file", (BrokerConfig, MessageStoreConfig)),
    ("The name server's file", (NamesrvConfig,)),
)

_PAGE = Path(__file__).parent.parent / "docs" / "configuration.md"


@click.command()
@click.option("--check", is_flag=True, help="Only say whether the page is up to date; exit 1 if not.")
def main(check: bool) -> None:
    """Write docs/configuration.md from the config classes of all rooms."""
    page = document(SECTIONS)
    if check:
        if not _PAGE.exists() or _PAGE.read_text(encoding="utf-8") != page:
            raise click.ClickException(
                f"{_PAGE.name} is not what the config classes say; run without --check"
            )
        return
    _PAGE.write_text(page, encoding="utf-8")
    click.echo(f"{_PAGE} written")


if __name__ == "__main__":
    main()
