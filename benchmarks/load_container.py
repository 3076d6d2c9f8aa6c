"""The container of `benchmarks.growth` and `benchmarks.smoke`: brokers that are told what to do by lines.

    prepared ADDRESS…   all brokers run; these are their addresses
    cpu     → cpu S     CPU seconds of the process so far, user and system
    add N   → added S   adds N brokers one after the other and removes them; CPU seconds of that
    left    → left N    queue entries that wait for their files
    quiet   → quiet     the start is over: collects garbage, forgets the stalls of the event loop until now
    stalls S → stalls P C O L W   p99.9 of the lateness, if S seconds since were loaded and all others idle;
                              the same by the CPU time of the process in the passes, and by the loop's own;
                              the longest stall; how long the loop's thread waited for a core; in seconds

It ends with its standard input. `benchmarks.smoke` also runs it with the code of older trees: only what they
have, too, may be imported here.
"""

from __future__ import annotations

import gc
import logging
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import click
import trio

from container import open_container
from container.open_container import light_broker
from tools import process

if TYPE_CHECKING:
    from container import BrokerContainer

_MIB = 1 << 20
_SYNC_QUEUES_MS = 3_600_000
"""Never: it takes a worker thread seconds when ten thousand queues have got messages; once a minute, it would
meet one turn and not the next one."""
_SCHEDSTAT = Path("/proc/self/schedstat")


async def add_and_remove(container: BrokerContainer, count: int, directory: Path) -> float:
    began = time.process_time()
    for number in range(count):
        added = await container.add_broker(*light_broker(f"more-{number}", directory))
        await container.remove_broker(added.identity)
    return time.process_time() - began


def queue_entries_left(container: BrokerContainer) -> int:
    """Of all brokers; they are written a second after the messages, which is a part of the cost of those."""
    brokers = [inner.broker for inner in container.get_broker_controllers() if inner.broker is not None]
    stores = [broker.context.store for broker in brokers if broker.context is not None]
    return sum(store.statistics().write_behind.unwritten for store in stores)


def waited_for_a_core() -> float:
    """Seconds for which the main thread could have run and did not; 0 where the kernel does not count."""
    try:
        return int(_SCHEDSTAT.read_text().split()[1]) / 1e9
    except FileNotFoundError:
        return 0.0


async def obey(container: BrokerContainer, directory: Path) -> None:
    """Answers lines of standard input until its end."""
    waited = waited_for_a_core()
    while line := await trio.to_thread.run_sync(sys.stdin.readline):
        command, *arguments = line.split()
        if command == "cpu":
            print(f"cpu {time.process_time():.6f}", flush=True)
        elif command == "add":
            print(f"added {await add_and_remove(container, int(arguments[0]), directory):.6f}", flush=True)
        elif command == "left":
            print(f"left {queue_entries_left(container)}", flush=True)
        elif command == "quiet":
            process.settle_garbage()
            waited = waited_for_a_core()
            print("quiet", flush=True)
        elif command == "stalls":
            from remoting.loop_stalls import loop_stalls

            watch = loop_stalls()
            if watch is None:
                raise click.ClickException("nobody watches the loop")
            allowed = float(arguments[0]) * 0.001
            found = [each.lateness_s(allowed) for each in (watch.passes, watch.computing, watch.own)]
            found += [watch.passes.longest_s, waited_for_a_core() - waited]
            print("stalls", *(f"{seconds:.6f}" for seconds in found), flush=True)


async def main_loop(directory: Path, brokers: int, log_bytes: int, queue_bytes: int) -> None:
    chosen = [light_broker(f"broker-{number}", directory) for number in range(brokers)]
    for _, store in chosen:
        store.mapped_file_size_commit_log = log_bytes
        store.mapped_file_size_consume_queue = queue_bytes
        store.flush_consume_queue_thorough_interval = _SYNC_QUEUES_MS
        store.max_hash_slot_num, store.max_index_num = 5_000_000, 20_000_000
    async with open_container(chosen, directory=directory) as container:
        addresses = container.broker_addresses
        print("prepared", *(addresses[config.broker_name] for config, _ in chosen), flush=True)
        await obey(container, directory)


@click.command()
@click.argument("directory", type=click.Path(path_type=Path))
@click.option("--brokers", default=1, help="How many run from the start.")
@click.option("--log-size", default=1024, help="MiB of a commit log file.")
@click.option("--queue-size", default=6_000_000, help="Bytes of a consume queue file.")
def main(directory: Path, brokers: int, log_size: int, queue_size: int) -> None:
    if hasattr(process, "tune_interpreter"):
        process.tune_interpreter()
    else:  # an older tree
        gc.set_threshold(*process.GC_THRESHOLDS)
    logging.getLogger("rocketmq").addHandler(logging.NullHandler())
    logging.getLogger("rocketmq").propagate = False
    trio.run(main_loop, directory, brokers, log_size * _MIB, queue_size, strict_exception_groups=True)


if __name__ == "__main__":
    main()
