"""Makes spyne 2.14.0 importable on Python 3.11 to 3.14, and keeps it from logging passwords.

Its own copy of six cannot be imported as a package from Python 3.12 on: the real `six.moves` takes that place. From
3.13 on it finds the module `cgi` in the requirement `legacy-cgi`.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
import sys
import warnings
from pathlib import Path
from typing import Any

_MOVES = ("collections_abc", "urllib", "urllib.parse", "urllib.error", "urllib.request", "http_cookies", "http_client")
#: spyne's loggers; two of them write the whole document that could not be read, password included.
_LOGGERS = ("spyne", "spyne.protocol.soap.soap11.invalid", "spyne.protocol.xml.invalid")


def load() -> dict[str, Any]:
    """The parts of spyne that the service is built of, by name."""
    for name in _LOGGERS:
        # Whatever handlers the application, or a test, puts in place: nothing gets that far.
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    with warnings.catch_warnings():
        # Deprecations inside spyne are not ours to mend.
        warnings.simplefilter("ignore")
        if sys.version_info >= (3, 12) and "spyne" not in sys.modules:
            _replace_moves()
        return _imported()


def _imported() -> dict[str, Any]:
    spyne = importlib.import_module("spyne")
    soap = importlib.import_module("spyne.protocol.soap")
    server = importlib.import_module("spyne.server")
    names = ("Application", "ComplexModel", "Integer32", "MethodContext", "ServiceBase", "Unicode", "rpc")
    return {name: getattr(spyne, name) for name in names} | {
        "Soap11": soap.Soap11,
        "ServerBase": server.ServerBase,
    }


def _replace_moves() -> None:
    """Loads spyne's six under its own name, with the real `six.moves` inside."""
    moves = importlib.import_module("six.moves")
    spec = importlib.util.find_spec("spyne")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("spyne is not installed")
    path = Path(spec.submodule_search_locations[0]) / "util" / "six.py"
    own = importlib.util.spec_from_file_location("spyne.util.six", path)
    assert own is not None and own.loader is not None
    module = importlib.util.module_from_spec(own)
    sys.modules["spyne.util.six"] = module
    own.loader.exec_module(module)
    module.__dict__["moves"] = moves
    sys.modules["spyne.util.six.moves"] = moves
    for name in _MOVES:
        sys.modules[f"spyne.util.six.moves.{name}"] = importlib.import_module(f"six.moves.{name}")
