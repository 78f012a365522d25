"""registries.yaml as K3s reads it: which registries are mirrored, and where each is fetched from.

Rules, from K3s's `getHostConfigs`: endpoints in the order written, duplicates dropped, the
registry's own address last and never rewritten; credentials belong to the host that is asked.
"""

from __future__ import annotations

import base64
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from mirror.config.document import read_yaml
from mirror.config.endpoint import (
    DOCKER_HOSTS,
    Auth,
    Endpoint,
    Rewrite,
    Tls,
    is_localhost,
    parse_address,
    split_port,
)
from mirror.config.node import NodeConfig
from mirror.errors import SetupError
from mirror.oci.reference import hostname, is_registry

if TYPE_CHECKING:
    from mirror.config.registries_file import ConfigModel, MirrorModel, RegistriesModel

WILDCARD = "*"

log = logging.getLogger("spegla.config")


@dataclass(frozen=True, slots=True)
class HostConfig:
    """What `configs` says of one host."""

    auth: Auth | None = None
    tls: Tls | None = None


@dataclass(frozen=True, slots=True)
class Registries:
    """The mirrored registries and the way to each.

    Attributes:
        mirrored: Registries whose images are shared between nodes, as written, `*` for all.
        listed: The endpoints of each registry that is mirrored or in `mirrors`, in the file's
            order; `*` for registries that have no entry.
        configs: Credentials and TLS settings by host.
        default_endpoint: Whether registries in `listed` may be asked themselves, last.
    """

    mirrored: tuple[str, ...] = ()
    listed: Mapping[str, tuple[Endpoint, ...]] = field(default_factory=dict)
    configs: Mapping[str, HostConfig] = field(default_factory=dict)
    default_endpoint: bool = True

    def covers(self, host: str) -> bool:
        """Whether images of a registry are shared; `host` may lack its port.

        containerd's label `distribution.source.<host>` has no port, so a host without one also
        stands for the same host with any port.
        """
        if is_localhost(host):
            return False
        if WILDCARD in self.mirrored or not _names(host).isdisjoint(self.mirrored):
            return True
        return not split_port(host)[1] and any(
            hostname(name) == hostname(host) for name in self.mirrored
        )

    def endpoints(self, registry: str) -> tuple[Endpoint, ...]:
        """Where images of a registry can be fetched, in the order to ask.

        Empty only with `disable-default-registry-endpoint` and no endpoint listed.
        """
        listed = self._entry(registry)
        barred = listed is not None
        if listed is None and not is_localhost(registry):
            listed = self.listed.get(WILDCARD)
            # Who gives credentials for a host wants it asked: K3s bars such a one by name only.
            barred = listed is not None and self.host_config(registry) is None
        if barred and not self.default_endpoint:
            return listed or ()
        own = self.own_endpoint(registry)
        if listed and listed[-1].url == own.url:
            listed = listed[:-1]
        return (*(listed or ()), own)

    def own_endpoint(self, registry: str) -> Endpoint:
        """The registry's own address, with what `configs` says of it."""
        address = parse_address(registry)
        config = self.host_config(registry)
        if config is None and self._entry(registry) is None:
            config = self.configs.get(WILDCARD)
        config = config or HostConfig()
        return Endpoint(
            address.url, address.override_path, auth=config.auth, tls=config.tls, default=True
        )

    def host_config(self, host: str) -> HostConfig | None:
        """What `configs` says of exactly this host, under any of its names."""
        # The host that is really asked goes before the name that users write, as in K3s.
        names = sorted(_names(host), reverse=True)
        return next((self.configs[name] for name in names if name in self.configs), None)

    def _entry(self, registry: str) -> tuple[Endpoint, ...] | None:
        return next((self.listed[name] for name in _names(registry) if name in self.listed), None)


def _names(host: str) -> frozenset[str]:
    return DOCKER_HOSTS if host in DOCKER_HOSTS else frozenset({host})


def load_registries(config: NodeConfig) -> Registries:
    """Reads the node's registries.yaml; `mirrored-registries` stands in place of its mirrors' keys.

    Raises:
        SetupError: The file is wrong; nothing that was set up from it before should be changed.
    """
    document = read_yaml(config.private_registry) or {}
    return parse_registries(
        document,
        source=str(config.private_registry),
        mirrored=config.mirrored_registries,
        default_endpoint=not config.disable_default_registry_endpoint,
    )


def parse_registries(
    document: Mapping[str, object],
    source: str,
    mirrored: Iterable[str] = (),
    default_endpoint: bool = True,
) -> Registries:
    """Reads the content of a registries.yaml.

    Args:
        document: The file's top-level mapping.
        source: Names the file in errors.
        mirrored: When given, exactly these registries are mirrored, whatever `mirrors` lists;
            endpoints and rewrites still come from there.
        default_endpoint: False with `disable-default-registry-endpoint`.

    Raises:
        SetupError: Something in it is wrong; names the file, the key and the remedy.
    """
    model = None
    if document:
        # pydantic is paid for only by nodes that have a registries.yaml.
        from mirror.config.registries_file import read_model  # noqa: PLC0415

        model = read_model(document, source)
    configs = {host: _host_config(entry) for host, entry in _configs(model)}
    lookup = Registries(configs=configs)
    entries = model.mirrors if model is not None else {}
    listed = {
        name: _listed(name, entry, lookup, source)
        for name, entry in entries.items()
        if name == WILDCARD or is_registry(name)
    }
    names = tuple(name for name in tuple(mirrored) or entries if _can_be_shared(name))
    listed |= {name: () for name in names if name not in listed}
    return Registries(names, listed, configs, default_endpoint)


def _can_be_shared(name: str) -> bool:
    if name == WILDCARD or (is_registry(name) and not is_localhost(name)):
        return True
    log.error("Distributed registry mirror skipping invalid registry: %s", name)
    return False


def _configs(model: RegistriesModel | None) -> list[tuple[str, ConfigModel]]:
    return list(model.configs.items()) if model is not None else []


def _listed(
    registry: str, entry: MirrorModel, lookup: Registries, source: str
) -> tuple[Endpoint, ...]:
    where = f"{source}: mirrors: {registry}"
    rewrites = tuple(
        _rewrite(pattern, replacement, where) for pattern, replacement in entry.rewrite.items()
    )
    result: dict[str, Endpoint] = {}
    for text in entry.endpoint:
        try:
            address = parse_address(text)
        except ValueError as error:
            raise SetupError(
                f"{where}: endpoint {_without_password(text)!r} is wrong: expected {error}"
            ) from error
        if address.url in result:
            log.warning("Skipping duplicate endpoint URL %s for %s", text, registry)
            continue
        config = lookup.host_config(address.host) or HostConfig()
        result[address.url] = Endpoint(
            address.url, address.override_path, rewrites, config.auth, config.tls
        )
    return tuple(result.values())


def _without_password(url: str) -> str:
    return re.sub(r"//[^/@]*@", "//***@", url[:200])


def _rewrite(pattern: str, replacement: str, where: str) -> Rewrite:
    try:
        return Rewrite(re.compile(pattern), replacement)
    except (re.error, RecursionError, OverflowError) as error:
        raise SetupError(
            f"{where}: rewrite {pattern[:200]!r} is no regular expression: {error}"
        ) from error


def _host_config(entry: ConfigModel) -> HostConfig:
    auth = tls = None
    if entry.auth is not None:
        username, password = entry.auth.username, entry.auth.password.get_secret_value()
        if encoded := entry.auth.auth.get_secret_value():
            username, password = _decoded(encoded)
        auth = Auth(username, password, entry.auth.identity_token.get_secret_value())
    if entry.tls is not None:
        tls = Tls(
            ca=_path(entry.tls.ca_file),
            cert=_path(entry.tls.cert_file),
            key=_path(entry.tls.key_file),
            skip_verify=entry.tls.insecure_skip_verify,
        )
    return HostConfig(auth, tls)


def _decoded(encoded: str) -> tuple[str, str]:
    """Docker's `auth`: base64 of `user:password`; checked by the model before."""
    username, _, password = base64.b64decode(encoded).decode().partition(":")
    return username, password


def _path(text: str) -> Path | None:
    return Path(text) if text else None
