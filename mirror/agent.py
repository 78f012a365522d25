"""Builds a node out of its parts, runs them, and ends them in order."""

from __future__ import annotations

import asyncio
import functools
import logging
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import uvloop

from mirror import VERSION
from mirror.advertise import Advertiser
from mirror.claim import claimed
from mirror.cluster.certificates import TlsFiles, certificates, client_context, server_context
from mirror.config.certsd import apply_hosts
from mirror.config.machine import is_there
from mirror.config.node import NodeConfig
from mirror.config.registries import Registries, load_registries
from mirror.config.scope import in_scope
from mirror.control import SOCKET_NAME, Control, serve_control
from mirror.errors import SetupError
from mirror.metrics import Metrics
from mirror.network_metrics import NetworkMetrics
from mirror.oci.digest import Digest
from mirror.oci.reference import DEFAULT_REGISTRY
from mirror.pressure import MemoryPressure
from mirror.registry.endpoint import Endpoint, metrics_handler
from mirror.registry.policy import Policy
from mirror.registry.pull import PullApi
from mirror.registry.server import serve
from mirror.registry.uploads import Uploads
from mirror.scrub import Scrubber
from mirror.store.port import Store
from mirror.supervise import supervise, watch_loop
from mirror.systemd import Notifier
from mirror.transfer.client import PeerClient
from mirror.transfer.doubts import Doubts
from mirror.transfer.elsewhere import Elsewhere, Peers
from mirror.transfer.limits import Limits
from mirror.transfer.peers import PeerBook
from mirror.transfer.remote import Remote
from mirror.transfer.transfer import Transfer
from p2p.node import Node
from p2p.settings import Settings
from p2p.settings import TlsFiles as BootstrapTls
from p2p.wire.swarmkey import parse_psk

log = logging.getLogger("spegla.agent")

Service = Callable[[], Coroutine[Any, Any, None]]

_READY_SECONDS = 5.0
_SWEEP_SECONDS = 10.0
_TRANSFER_THREADS = 4


def run(config: NodeConfig) -> None:
    """Runs a node until SIGTERM or SIGINT.

    Raises:
        SetupError: The node cannot run as it is set up.
    """
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        try:
            runner.run(_run(config))
        except BaseExceptionGroup as group:
            wrong, rest = group.split(SetupError)
            if wrong is None or rest is not None:
                raise
            raise _first(wrong) from None


async def _run(config: NodeConfig) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    config = in_scope(config)
    registries = load_registries(config)
    systemd = Notifier(os.environ)
    async with asyncio.TaskGroup() as tasks:
        watchdog = tasks.create_task(systemd.run(), name="watchdog")
        if registries.mirrored:
            await _serve(config, registries, stop, systemd)
        else:
            _stand_by(config, registries)
            systemd.tell("READY=1")
            await stop.wait()
        watchdog.cancel()


async def _serve(
    config: NodeConfig, registries: Registries, stop: asyncio.Event, systemd: Notifier
) -> None:
    async with _started(config, registries) as services, asyncio.TaskGroup() as tasks:
        running = [tasks.create_task(service(), name=name) for name, service in services.items()]
        systemd.tell("READY=1")
        await stop.wait()
        log.info("Stopping distributed registry mirror")
        systemd.tell("STOPPING=1")
        for task in running:
            task.cancel()


@asynccontextmanager
async def _started(config: NodeConfig, registries: Registries) -> AsyncIterator[dict[str, Service]]:
    """Wires a node and lets it listen; gives the services that are to be run meanwhile."""
    covers = functools.lru_cache(maxsize=4096)(registries.covers)
    metrics = Metrics()
    async with AsyncExitStack() as stack:
        stack.enter_context(claimed(config.node_dir))
        files = None if config.insecure_http else certificates(config, datetime.now(UTC))
        node = Node(_network_settings(config, files))
        client = PeerClient(
            PeerBook(),
            port=config.registry_port,
            tls=None if files is None else client_context(files),
            executor=stack.enter_context(ThreadPoolExecutor(_TRANSFER_THREADS, "transfer")),
            limits=Limits(),
            clock=time.monotonic,
            agent=f"spegla/{VERSION}",
        )
        stack.callback(client.close)
        pressure = MemoryPressure(config.memory_limit)
        held = await _hold(config, registries, Remote(client, node, metrics, pressure), stack)
        scrubber = Scrubber(held.store, metrics, time.monotonic)
        doubts = Doubts(client)
        obstacle = functools.partial(_obstacle, held.store, node)
        policy = Policy(
            covers,
            default_registry=_default_registry(registries),
            latest=config.enable_latest,
            certificate=files is not None,
        )
        transfer = Transfer(
            held.store, held.elsewhere, lambda content: any(map(covers, content.registries))
        )
        pull = PullApi(
            transfer,
            policy,
            metrics,
            Uploads(pressure),
            expect=held.expect,
            doubt=scrubber.doubt,
        )
        endpoint = Endpoint(pull, policy, metrics, obstacle, show_metrics=config.supervisor_metrics)
        if config.metrics_address is not None:
            host, _, port = config.metrics_address.rpartition(":")
            shown = metrics_handler(metrics)
            await stack.enter_async_context(serve(shown, int(port), None, host.strip("[]") or None))
        server_tls = None if files is None else server_context(files)
        await stack.enter_async_context(
            serve(endpoint.handle, config.registry_port, server_tls, host=_loopback_only(config))
        )
        # After the server, so that it ends before: records are withdrawn while all still answer.
        await stack.enter_async_context(_joined(node))
        metrics.registry.register(NetworkMetrics(node.stats, client.book))
        facts = {"version": VERSION, "node": config.node_name, "store": type(held.store).__name__}
        control = Control(
            facts, node=node, store=held.store, book=client.book, metrics=metrics, obstacle=obstacle
        )
        socket = config.node_dir / SOCKET_NAME
        await stack.enter_async_context(serve_control(control.app, socket))
        if held.in_containerd:
            apply_hosts(config, registries, None if files is None else files.client)
        _tell_start(config, registries)
        advertiser = Advertiser(held.store, node, covers, metrics, latest=config.enable_latest)
        restarted: dict[str, Service] = {
            "store": held.store.run,
            "advertise": advertiser.run,
            "scrubber": scrubber.run,
            "doubts": doubts.run,
            "memory watch": pressure.run,
            "loop watch": functools.partial(watch_loop, metrics),
            "idle connections": functools.partial(_sweep, client),
        }
        yield {
            name: functools.partial(supervise, name, service, metrics)
            for name, service in restarted.items()
        } | {
            # When the network's thread ends the node ends: who runs it starts it again, whole.
            "network": node.wait_failed,
            "readiness": functools.partial(_tell_readiness, obstacle),
        }


def _stand_by(config: NodeConfig, registries: Registries) -> None:
    """Says why nothing is mirrored, and takes back what an earlier start told containerd."""
    log.warning(
        "Not starting distributed registry mirror: no registries configured for "
        "distributed mirroring"
    )
    log.warning(
        "list registries under mirrors in %s, or set mirrored-registries (* for all), and start "
        "this node again",
        config.private_registry,
    )
    if _in_containerd(config):
        apply_hosts(config, registries, None)


@asynccontextmanager
async def _joined(node: Node) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(node)
        except (OSError, ValueError) as error:
            raise SetupError(str(error)) from error
        yield


@dataclass(frozen=True, slots=True)
class _Held:
    """What this node holds, and where it gets the rest."""

    store: Store
    elsewhere: Elsewhere
    expect: Callable[[Digest, str], None]
    in_containerd: bool


async def _hold(
    config: NodeConfig, registries: Registries, remote: Remote, stack: AsyncExitStack
) -> _Held:
    # Each way loads only its own libraries: grpc and the upstream's client cost 20 MiB each.
    if _in_containerd(config):
        from mirror.store.containerd import ContainerdStore  # noqa: PLC0415

        containerd = ContainerdStore(config.containerd_address, config.containerd_namespace)
        return _Held(containerd, Peers(remote), containerd.expect, in_containerd=True)

    from mirror.store.layout import LayoutStore  # noqa: PLC0415
    from mirror.transfer.embedded import Embedded  # noqa: PLC0415
    from mirror.transfer.origin import PeersFirst  # noqa: PLC0415
    from mirror.transfer.pull_through import PullThrough  # noqa: PLC0415
    from mirror.transfer.upstream import Upstream  # noqa: PLC0415

    folder = config.node_dir / "oci"
    if config.store == "auto":
        log.warning(
            "No containerd at %s: images are held in %s, and no pull of a containerd that comes "
            "later is served; set store to containerd to wait for it, or to layout",
            config.containerd_address,
            folder,
        )
    layout = LayoutStore(folder)
    upstream = await stack.enter_async_context(Upstream(registries))
    origin = PeersFirst(remote, upstream, time.monotonic)
    keeper = await stack.enter_async_context(PullThrough(layout, origin))
    return _Held(
        layout,
        Embedded(layout, keeper, Limits()),
        lambda _digest, _registry: None,
        in_containerd=False,
    )


def _in_containerd(config: NodeConfig) -> bool:
    if config.store == "auto":
        return is_there(config.containerd_address)
    return config.store == "containerd"


def _network_settings(config: NodeConfig, files: TlsFiles | None) -> Settings:
    tls = BootstrapTls()
    if files is not None:
        tls = BootstrapTls(files.ca, files.client_cert, files.client_key)
    settings = Settings(
        data_dir=config.node_dir,
        port=config.p2p_port,
        announce=tuple(map(str, config.node_ip)),
        psk=None if config.psk_file is None else _read_psk(config.psk_file),
        bootstrap=config.bootstrap,
        tls=tls,
        agent=f"spegla/{VERSION}",
    )
    alone = _loopback_only(config)
    return settings if alone is None else replace(settings, listen=(alone,))


def _loopback_only(config: NodeConfig) -> str | None:
    """The address of a node that is for this machine alone; others listen on all addresses."""
    return str(config.node_ip[0]) if all(ip.is_loopback for ip in config.node_ip) else None


def _read_psk(path: Path) -> bytes:
    try:
        return parse_psk(path.read_bytes())
    except (OSError, ValueError) as error:
        raise SetupError(
            f"psk-file {path}: {error}: give the cluster's key, 32 bytes, 64 hex digits or a "
            "swarm.key file"
        ) from error


def _default_registry(registries: Registries) -> str:
    """The registry that a request without `ns` means: the only one, else Docker's."""
    named = [name for name in registries.mirrored if name != "*"]
    return named[0] if len(named) == 1 and len(registries.mirrored) == 1 else DEFAULT_REGISTRY


def _obstacle(store: Store, node: Node) -> str | None:
    if not store.ready:
        return "the content store is not known yet"
    if not node.ready:
        return "no peer has answered yet"
    return None


def _tell_start(config: NodeConfig, registries: Registries) -> None:
    scheme = "http" if config.insecure_http else "https"
    ip = config.node_ip[0]
    host = f"[{ip}]" if ip.version == 6 else str(ip)
    names = " ".join(registries.mirrored)
    log.info(
        "Starting distributed registry mirror at %s://%s:%d/v2 for registries [%s]",
        scheme,
        host,
        config.registry_port,
        names,
    )
    log.info("Starting distributed registry P2P node at %s:%d", host, config.p2p_port)


async def _tell_readiness(obstacle: Callable[[], str | None]) -> None:
    """Logs once when the node is not ready after 5 s, as K3s does, and when it is."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    told = False
    while (reason := obstacle()) is not None:
        if not told and loop.time() - started >= _READY_SECONDS:
            told = True
            log.warning(
                "Failed to wait for distributed registry to become ready, will retry in the "
                "background",
                extra={"error": reason},
            )
        await asyncio.sleep(0.1)
    log.info("Distributed registry mirror is ready")


async def _sweep(client: PeerClient) -> None:
    while True:
        await asyncio.sleep(_SWEEP_SECONDS)
        client.sweep()


def _first(group: BaseExceptionGroup[SetupError]) -> SetupError:
    error = group.exceptions[0]
    return _first(error) if isinstance(error, BaseExceptionGroup) else error
