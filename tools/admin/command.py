"""How a command is made: an async function and its options become a `click` command.

    @admin_command("topicRoute")
    @click.option("topic", "-t", "--topic", required=True, help="Name of the topic.")
    async def topic_route(context: AdminContext, topic: str) -> None: ...

`-n`, `--json` and `-h` are added to each. The function gets an `AdminContext` with a connected client. What
it raises becomes one sentence and exit code 1; failures of single targets go to `AdminContext.failed`, so
that the others are still served. What walks through many brokers, topics or queues goes through
`AdminContext.walk` or `AdminContext.progress`, which show a bar on a terminal.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

import attrs
import click

from tools.admin import catalog
from tools.admin.java_text import parse_timestamp
from tools.admin.output import Output

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from client import AdminClient

    Body = Callable[..., Awaitable[None]]

__all__ = [
    "DEFAULT_NAME_SERVER",
    "AdminCommand",
    "AdminContext",
    "CommandFailed",
    "Target",
    "admin_command",
    "broker_or_cluster",
    "java_boolean",
    "java_time",
    "one_target",
    "targets",
]

T = TypeVar("T")

DEFAULT_NAME_SERVER = "127.0.0.1:9876"
_INTERRUPTED = 130


class CommandFailed(Exception):  # noqa: N818 - the sentence says the fault, the name the fact
    """A command could not do what it was asked for; the text is the sentence for the user."""


@attrs.frozen
class AdminContext:
    """What a command works with.

    Attributes:
        admin: Connected to the name servers when first used.
        out: Where results go.
        name_servers: As given or by default.
        name_servers_given: Whether `-n` (not the environment) said so; some of Java's texts depend on it.
    """

    admin: AdminClient
    out: Output
    name_servers: tuple[str, ...]
    name_servers_given: bool = False

    def failed(self, sentence: str) -> None:
        """One target failed, others may still succeed; the exit code will be 1."""
        if not _stopping():
            self.out.failure(sentence)

    def walk(self, items: Sequence[T], what: str) -> Iterator[T]:
        """Each of `items`, with a bar on a terminal; `what` they are, in one or two words."""
        return self.out.walk(items, what)

    def progress(self, what: str) -> AbstractContextManager[Callable[[float, float | None], None]]:
        """A bar for what the client walks through; see `Output.progress`."""
        return self.out.progress(what)


class _JavaBoolean(click.ParamType):  # type: ignore[type-arg] # a generic class only in newer click
    """`true` or `false`; anything else is refused instead of meaning false."""

    name = "true|false"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> bool:
        if isinstance(value, bool):
            return value
        text = str(value).strip().lower()
        if text not in ("true", "false"):
            self.fail(f"{value!r} is neither true nor false.", param, ctx)
        return text == "true"


java_boolean = _JavaBoolean()


class _JavaTime(click.ParamType):  # type: ignore[type-arg] # a generic class only in newer click
    """Milliseconds since 1970, or `yyyy-MM-dd#HH:mm:ss:SSS`."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        if isinstance(value, int):
            return value
        try:
            return parse_timestamp(str(value).strip())
        except ValueError as fault:
            self.fail(f"{fault}.", param, ctx)


java_time = _JavaTime()


class AdminCommand(click.Command):
    """A command that also takes Java's spelling of long options, `-topic` for `--topic`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        long_options = {
            f"-{name[2:]}": name for param in self.params for name in param.opts if name.startswith("--")
        }
        spelled = []
        for argument in args:
            head, equals, value = argument.partition("=")
            spelled.append(long_options[head] + equals + value if head in long_options else argument)
        return super().parse_args(ctx, spelled)


def admin_command(name: str) -> Callable[[Body], click.Command]:
    """Makes a command of the catalog out of an async function with `click.option` decorations."""

    def decorate(body: Body) -> click.Command:
        def callback(*, name_servers: str, as_json: bool, **values: Any) -> None:
            _run(name, body, name_servers, as_json, values)

        own: list[click.Parameter] = list(reversed(getattr(body, "__click_params__", [])))
        summary = catalog.COMMANDS[name].summary
        explanation = (body.__doc__ or "").strip()
        return AdminCommand(
            name=name,
            callback=callback,
            params=[*own, *_common_options()],
            help=f"{summary}\n\n{explanation}" if explanation else summary,
            short_help=summary,
            context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
        )

    return decorate


def _common_options() -> list[click.Parameter]:
    return [
        click.Option(
            ["name_servers", "-n", "--namesrvAddr"],
            envvar="NAMESRV_ADDR",
            show_envvar=True,
            default=DEFAULT_NAME_SERVER,
            show_default=True,
            metavar="HOST:PORT;…",
            help="Name servers.",
        ),
        click.Option(["as_json", "--json"], is_flag=True, help="Print standard JSON."),
    ]


def _run(name: str, body: Body, name_servers: str, as_json: bool, values: dict[str, Any]) -> None:
    """Runs a command to its end and raises `SystemExit` unless it succeeded."""
    import logging

    import trio

    from client import AdminClient, ClientError, parse_name_servers
    from remoting.errors import RemotingError

    context = click.get_current_context()
    source = context.get_parameter_source("name_servers")
    given_by_option = source is click.core.ParameterSource.COMMANDLINE
    if not given_by_option and context.obj is not None:  # `mqadmin -n … command`
        name_servers, given_by_option = context.obj, True
    # Without a handler Python would print the wire's warnings beside our own sentence.
    logging.getLogger("rocketmq").addHandler(logging.NullHandler())
    out = Output.choose(as_json=as_json)
    try:
        addresses = parse_name_servers(name_servers)
    except ClientError as fault:
        raise click.UsageError(str(fault)) from fault

    async def work() -> None:
        # Caught inside the nurseries, which would wrap it in an ExceptionGroup.
        async with AdminClient(addresses) as admin, trio.open_nursery() as nursery:
            if out.busy is not None:
                nursery.start_soon(out.busy.keep_drawing)
            try:
                await body(AdminContext(admin, out, addresses, given_by_option), **values)
            except (ClientError, CommandFailed, RemotingError) as fault:
                if not _stopping():
                    out.failure(f"{name}: {fault}")
            except (click.UsageError, OSError) as fault:  # OSError: nobody reads the output any more
                for_click.append(fault)
            finally:
                if out.busy is not None:
                    out.busy.end()
            nursery.cancel_scope.cancel()

    for_click: list[click.UsageError | OSError] = []
    try:
        trio.run(work)
    except KeyboardInterrupt:
        _interrupted(name, out)
    except BaseExceptionGroup as group:
        if group.subgroup(KeyboardInterrupt) is None:
            raise
        _interrupted(name, out)
    for raised in for_click:
        if isinstance(raised, click.UsageError):
            raised.ctx = context
        raise raised
    if out.failures:
        raise SystemExit(1)


def _stopping() -> bool:
    """The user has interrupted the command: connections that end now are no failures of their own."""
    import trio

    return trio.current_effective_deadline() == -math.inf


def _interrupted(name: str, out: Output) -> NoReturn:
    if out.if_interrupted is not None:
        out.note(f"{name}: {out.if_interrupted}")
    raise SystemExit(_INTERRUPTED)


def broker_or_cluster(body: Body) -> Body:
    """Adds `-b` and `-c`, of which `targets` and `one_target` ask for one."""
    for option in (
        click.option("cluster", "-c", "--clusterName", help="All brokers of this cluster that it concerns."),
        click.option("address", "-b", "--brokerAddr", metavar="HOST:PORT", help="This broker."),
    ):
        body = option(body)
    return body


@attrs.frozen
class Target:
    """What `-b` or `-c` named: the address of a broker, or a cluster."""

    name: str
    is_cluster: bool


def one_target(address: str | None, cluster: str | None) -> Target:
    """The one of `-b` and `-c` that was given.

    Raises:
        click.UsageError: Both were given, or none.
    """
    if (address is None) == (cluster is None):
        raise click.UsageError("Give either -b (a broker) or -c (a cluster).")
    return Target((address or cluster or "").strip(), is_cluster=cluster is not None)


async def targets(context: AdminContext, address: str | None, cluster: str | None) -> list[str]:
    """The addresses to work on: `-b` itself, or the masters of cluster `-c`.

    Raises:
        NotFound: There is no such cluster, or none of its brokers has a master.
    """
    target = one_target(address, cluster)
    return await context.admin.master_addresses(target.name) if target.is_cluster else [target.name]
