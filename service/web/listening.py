"""The sockets that a server listens on: bound before everything else, so that what cannot be is told at once.

A socket that is only bound takes no connections: clients are refused, as before the start, until the server serves.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, cast

from proofrank.service.settings.settings import Settings, SettingsError

_BACKLOG = 2048
"""Number of connections that the system keeps until the server takes them, as uvicorn has it."""

_UNIX_SOCKET_MODE = 0o666
"""Permissions of a unix socket: who may connect is decided by those of its folder."""


_EVERY_ADDRESS = frozenset({"0.0.0.0", "::"})  # noqa: S104 - nothing is bound here


class Listener(NamedTuple):
    """A bound socket.

    Attributes:
        socket: it belongs to this process until :meth:`Listeners.close`.
        address: for people, as in ``http://127.0.0.1:8000``.
        setting: name of the setting that asks for it.
    """

    socket: socket.socket
    address: str
    setting: str


class Listeners:
    """What a server is to listen on.

    Attributes:
        main: for everything.
        metrics: for metrics and health alone; empty unless ``metrics_port`` is set.
    """

    def __init__(self, settings: Settings) -> None:
        """Binds all of them.

        Raises:
            SettingsError: one cannot be bound; names the setting, its value and where that came from.
        """
        self._settings = settings
        self.main: list[Listener] = []
        self.metrics: list[Listener] = []
        self._unix_file: tuple[Path, int] | None = None
        self._bound: set[tuple[socket.AddressFamily, str | int, int]] = set()
        try:
            if settings.unix_socket is not None:
                self.main = [self._bind_unix(settings.unix_socket)]
            else:
                self.main = list(self._bind_hosts("port", settings.port))
            if settings.metrics_port is not None:
                self.metrics = list(self._bind_hosts("metrics_port", settings.metrics_port))
        except BaseException:
            self.close()
            raise

    def listen(self) -> None:
        """Takes connections from now on.

        Raises:
            SettingsError: another process has begun to listen there since.
        """
        for listener in (*self.main, *self.metrics):
            try:
                listener.socket.listen(_BACKLOG)
            except OSError as error:
                raise self._refusal(listener.setting, listener.address, error) from error

    def close(self) -> None:
        """Closes the sockets, and removes the file of a unix socket."""
        for listener in (*self.main, *self.metrics):
            listener.socket.close()
        if self._unix_file is not None:
            path, inode = self._unix_file
            with contextlib.suppress(OSError):
                if path.stat().st_ino == inode:  # else it is another server's
                    path.unlink()
            self._unix_file = None

    def _bind_hosts(self, setting: str, port: int) -> Iterator[Listener]:
        """A socket for each address of each host; all have one port, also where that is a free one."""
        seen: set[tuple[socket.AddressFamily, str | int]] = set()
        for host in self._settings.host:
            last_error: OSError | None = None
            is_bound = False
            for family, (address, _, *rest) in self._addresses(host, port):
                shown = f"[{address}]" if family == socket.AF_INET6 else str(address)
                if (family, address) in seen:  # localhost beside 127.0.0.1
                    is_bound = True
                    continue
                seen.add((family, address))
                self._check_apart(setting, family, address, port, shown)
                try:
                    bound = _bound(family, (address, port, *rest))
                except OSError as error:
                    # A name such as localhost may have an address of a kind that this machine lacks.
                    if error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                        raise self._refusal(setting, shown, error) from error
                    last_error = error
                    continue
                is_bound, port = True, bound.getsockname()[1]
                self._bound.add((family, address, port))
                yield Listener(bound, f"http://{shown}:{port}", setting)
            if not is_bound:
                assert last_error is not None
                raise self._refusal("host", host, last_error) from last_error

    def _check_apart(
        self, setting: str, family: socket.AddressFamily, address: str | int, port: int, shown: str
    ) -> None:
        """Refuses what this server has bound already: the system would do so only when both are to listen."""
        for other_family, other, other_port in self._bound:
            is_held = address == other or not _EVERY_ADDRESS.isdisjoint((address, other))
            if (family, port) == (other_family, other_port) and is_held:
                raise self._settings.refusal(
                    setting,
                    f"already in use on {shown}, by this server; expected ports that differ, and hosts that do not "
                    "hold one another, as 0.0.0.0 holds all",
                )

    def _addresses(self, host: str, port: int) -> list[tuple[socket.AddressFamily, tuple[str | int, ...]]]:
        """Family and address, as sockets have it, of everything that ``host`` means."""
        try:
            found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
        except (OSError, UnicodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not the name of a host"
            raise self._settings.refusal(
                "host",
                f"unknown host {host!r}: {reason}; expected a name or an address alone, without port or brackets",
            ) from error
        pairs = [(family, cast(tuple[str | int, ...], address)) for family, _, _, _, address in found]
        return list(dict.fromkeys(pairs))

    def _bind_unix(self, path: Path) -> Listener:
        self._remove_stale(path)
        bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            bound.bind(str(path))
            path.chmod(_UNIX_SOCKET_MODE)
            self._unix_file = (path, path.stat().st_ino)
        except OSError as error:
            bound.close()
            # A path that is too long has no errno.
            reason = error.strerror or str(error)
            raise self._settings.refusal("unix_socket", f"cannot be made: {reason}") from error
        return Listener(bound, f"unix:{path}", "unix_socket")

    def _remove_stale(self, path: Path) -> None:
        """Removes the file of a socket that a killed server has left."""
        try:
            mode = path.stat().st_mode
        except OSError:  # there is none, or binding will say why not
            return
        if not stat.S_ISSOCK(mode):
            raise self._settings.refusal("unix_socket", "there is a file of this name, which is no socket")
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
            try:
                probe.connect(str(path))
            except ConnectionRefusedError:
                with contextlib.suppress(OSError):
                    path.unlink()
                return
            except OSError as error:
                raise self._settings.refusal("unix_socket", f"cannot be made: {error.strerror}") from error
        raise self._settings.refusal("unix_socket", "another process listens on it")

    def _refusal(self, setting: str, where: str, error: OSError) -> SettingsError:
        reasons = {
            errno.EADDRINUSE: f"already in use on {where}; another process listens there",
            errno.EACCES: f"may not be listened on, on {where}; ports below 1024 need privileges",
            errno.EADDRNOTAVAIL: f"{where} is no address of this machine",
            errno.EAFNOSUPPORT: f"{where} is of a kind that this machine does not have",
        }
        reason = reasons.get(error.errno or 0, f"cannot be listened on, on {where}: {error.strerror}")
        return self._settings.refusal(setting, reason)


def _bound(family: socket.AddressFamily, address: tuple[str | int, ...]) -> socket.socket:
    bound = socket.socket(family, socket.SOCK_STREAM)
    try:
        if os.name == "posix":
            # Connections of a server that has ended may still be waited for there.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            # Else :: would take the port of every IPv4 address too, and 0.0.0.0,:: could not be.
            bound.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        bound.bind(address)
    except BaseException:
        bound.close()
        raise
    return bound
