"""From a system's name to its classes, imported when first asked for."""

from __future__ import annotations

import functools
import importlib
from collections.abc import Mapping

import sinks
import sources
from connector.environment import read_env
from connector.kernel.contracts import Sink, Source, System


class NoSuchSystem(LookupError):
    """A system that this installation does not know, or not in that role."""


def source_names() -> list[str]:
    return sorted(sources.SYSTEMS)


def sink_names() -> list[str]:
    return sorted(sinks.SYSTEMS)


def system_names() -> list[str]:
    return sorted({*sources.SYSTEMS, *sinks.SYSTEMS})


@functools.cache
def _load(path: str) -> System:
    module, _, name = path.rpartition(".")
    system = getattr(importlib.import_module(module), name)()
    assert isinstance(system, System), path
    return system


def source(name: str) -> Source:
    """The source of that system. Raises `NoSuchSystem`."""
    if name not in sources.SYSTEMS:
        raise NoSuchSystem(f"{name} is not a source; the sources are {', '.join(source_names())}")
    found = _load(sources.SYSTEMS[name])
    assert isinstance(found, Source)
    return found


def sink(name: str) -> Sink:
    """The sink of that system. Raises `NoSuchSystem`."""
    if name not in sinks.SYSTEMS:
        raise NoSuchSystem(f"{name} is not a destination; the destinations are {', '.join(sink_names())}")
    found = _load(sinks.SYSTEMS[name])
    assert isinstance(found, Sink)
    return found


def system(name: str) -> System:
    """What source and sink of that system share: its credentials, ping and authorization. Raises `NoSuchSystem`."""
    if name in sources.SYSTEMS:
        return source(name)
    if name in sinks.SYSTEMS:
        return sink(name)
    raise NoSuchSystem(f"there is no system {name}; the systems are {', '.join(system_names())}")


@functools.cache
def app_settings(name: str) -> Mapping[str, str]:
    """The installation's settings for a system, from the environment."""
    found = system(name)
    env = read_env()
    return {
        setting.name: env.str(f"{found.env_prefix}_{setting.name.upper()}", "") or setting.default
        for setting in found.app_settings
    }
