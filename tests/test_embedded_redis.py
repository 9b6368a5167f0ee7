"""The embedded server: reached over its socket alone, back after every kind of end."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from connector import embedded_redis
from connector.embedded_redis import Unavailable, answers, embedded_url, prepare, running, server_command, socket_path


@pytest.fixture
def var_dir(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A VAR_DIR whose path has a blank and is short enough for a socket."""
    path = tmp_path_factory.mktemp("a b")
    if len(os.fsencode(path)) > 80:
        pytest.skip(f"this machine's folder for temporary files is too long for a socket: {path}")
    yield path
    assert not answers(path)


def test_serves_on_a_private_socket_and_leaves_no_note_behind(var_dir: Path) -> None:
    with running(var_dir) as url:
        assert url == embedded_url(var_dir)
        server = redis.Redis.from_url(url)
        assert server.set("key", "value") is True
        assert server.eval("return redis.call('GET', KEYS[1])", 1, "key") == b"value"
        wanted = {"port": "0", "save": "", "appendonly": "yes", "maxmemory-policy": "noeviction"}
        assert {name: server.config_get(name)[name] for name in wanted} == wanted
        assert stat.S_IMODE(socket_path(var_dir).stat().st_mode) == 0o700
        assert stat.S_IMODE((var_dir / "redis").stat().st_mode) == 0o700
    assert not (var_dir / "redis" / "url").exists()


def test_keeps_what_it_was_told_over_a_kill_and_a_torn_last_write(var_dir: Path) -> None:
    prepare(var_dir)
    killed = subprocess.Popen(server_command(var_dir), stdout=subprocess.DEVNULL)
    _wait_until_it_answers(killed, var_dir)
    redis.Redis.from_url(embedded_url(var_dir)).set("kept", "yes")
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert socket_path(var_dir).exists()  # stale: the next start must clear it
    newest = max((var_dir / "redis" / "appendonlydir").glob("*.incr.aof"))
    newest.write_bytes(newest.read_bytes() + b"*3\r\n$3\r\nSET\r\n$4\r\nto")
    with running(var_dir) as url:
        assert redis.Redis.from_url(url).get("kept") == b"yes"


def test_a_file_it_refuses_is_set_aside_and_the_next_start_is_empty(var_dir: Path) -> None:
    with running(var_dir) as url:
        redis.Redis.from_url(url).set("lost", "yes")
    manifest = next((var_dir / "redis" / "appendonlydir").glob("*.manifest"))
    manifest.write_text("not a manifest")
    with pytest.raises(Unavailable, match="ended at once with exit code 1"), running(var_dir):
        pass
    embedded_redis.set_aside(var_dir)
    with running(var_dir) as url:
        assert redis.Redis.from_url(url).keys() == []
    assert (var_dir / "redis.refused" / "appendonlydir" / manifest.name).read_text() == "not a manifest"


def test_a_second_start_is_refused_while_the_first_answers(var_dir: Path) -> None:
    with running(var_dir) as url:
        with pytest.raises(Unavailable, match=r"a server answers at .* already: stop the other `manage.py up`"):
            prepare(var_dir)
        assert redis.Redis.from_url(url).ping() is True


def test_a_long_path_gets_a_short_private_folder_that_everyone_finds(tmp_path: Path) -> None:
    var_dir = tmp_path / ("long" * 30)
    with running(var_dir) as url:
        folder = socket_path(var_dir).parent
        assert folder.parent != var_dir and stat.S_IMODE(folder.stat().st_mode) == 0o700
        assert redis.Redis.from_url(url).ping() is True
        # The note wins: a process with another TMPDIR must find the same server.
        (var_dir / "redis" / "url").write_text("unix:///elsewhere/redis.sock?db=0\n")
        assert embedded_url(var_dir) == "unix:///elsewhere/redis.sock?db=0"
    folder.rmdir()


def test_the_socket_folder_of_a_stranger_is_refused(tmp_path: Path) -> None:
    var_dir = tmp_path / ("other" * 25)
    folder = socket_path(var_dir).parent
    folder.symlink_to(tmp_path)
    try:
        with pytest.raises(Unavailable, match="belongs to somebody else"):
            prepare(var_dir)
    finally:
        folder.unlink()


def _wait_until_it_answers(server: subprocess.Popen[bytes], var_dir: Path) -> None:
    while not answers(var_dir):
        with pytest.raises(subprocess.TimeoutExpired):
            server.wait(0.02)
