"""Real proxies: Debian's squid, tinyproxy, dante and haproxy, on free ports of this machine.

Each has a directory of its own, runs in the foreground in a process group of its own, and is ready
when its ports accept connections. What it says goes to ``log`` in that directory.
"""

from __future__ import annotations

import base64
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

import pytest
import trustme

SQUID = Path("/usr/sbin/squid")
TINYPROXY = Path("/usr/bin/tinyproxy")
DANTED = Path("/usr/sbin/danted")
HAPROXY = Path("/usr/sbin/haproxy")
DIGEST = Path("/usr/lib/squid/digest_file_auth")

USER, PASSWORD = "user", "S3-cr.et"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
#: The proxies of these tests forbid this port, as most forbid most.
FORBIDDEN = 9
PATIENCE = 60.0  # seconds until a proxy is up on a busy machine; an error shows at once


class Daemon:
    """A running proxy. ``ports`` has those that its configuration names."""

    def __init__(self, directory: Path, process: subprocess.Popen[bytes], ports: dict[str, int]):
        self.directory = directory
        self.process = process
        self.ports = ports

    def kill(self) -> None:
        """End it and its children as a crash would: the kernel resets their connections."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()


class Kind(NamedTuple):
    """How to run one: its program, the ports that it needs, its files and its command."""

    program: Path
    ports: tuple[str, ...]
    files: Callable[[Path, dict[str, int]], dict[str, str]]
    command: Callable[[Path], list[str]]
    environment: Mapping[str, str] = MappingProxyType({})
    as_root: bool = False


def free_ports(names: tuple[str, ...]) -> dict[str, int]:
    with contextlib.ExitStack() as stack:
        ports = {}
        for name in names:
            sock = stack.enter_context(socket.socket())
            sock.bind(("127.0.0.1", 0))
            ports[name] = sock.getsockname()[1]
        return ports


def is_up(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE).close()
    except OSError:
        return False
    return True


@contextlib.contextmanager
def running(kind: Kind, ports: dict[str, int] | None = None) -> Iterator[Daemon]:
    """Run one, on free ports or on those that are given."""
    if not kind.program.exists():
        pytest.skip(f"needs {kind.program}")
    if kind.as_root and os.geteuid() != 0:
        pytest.skip(f"needs root: {kind.program}")
    # Not pytest's directory: a proxy gives up root, and then cannot enter what is only root's.
    directory = Path(tempfile.mkdtemp(prefix="proxy-"))
    directory.chmod(0o777)
    try:
        daemon = _started(kind, directory, ports)
        try:
            yield daemon
        finally:
            daemon.kill()
    finally:
        shutil.rmtree(directory)


def _started(kind: Kind, directory: Path, wanted: dict[str, int] | None) -> Daemon:
    for _ in range(5):  # somebody else may take a port before the proxy does
        ports = wanted or free_ports(kind.ports)
        for name, text in kind.files(directory, ports).items():
            path = directory / name
            path.write_text(text)
            path.chmod(0o755 if text.startswith("#!") else 0o644)
        with (directory / "log").open("wb") as log:
            process = subprocess.Popen(
                kind.command(directory),
                cwd=directory,
                env={**os.environ, **_filled(kind.environment, directory)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        daemon = Daemon(directory, process, ports)
        deadline = time.monotonic() + PATIENCE
        waiting = list(ports.values())
        while process.poll() is None:
            waiting = [port for port in waiting if not is_up(port)]
            if not waiting:
                return daemon
            if time.monotonic() > deadline:
                break
            time.sleep(0.02)
        daemon.kill()
    logs = "\n".join(path.read_text("utf-8", "replace") for path in sorted(directory.glob("*log")))
    raise RuntimeError(f"{kind.program} does not start:\n{logs[-4000:]}")


def _filled(environment: Mapping[str, str], directory: Path) -> dict[str, str]:
    return {name: value.format(directory) for name, value in environment.items()}


# -- squid -----------------------------------------------------------------------------------------


def _squid_files(directory: Path, ports: dict[str, int]) -> dict[str, str]:
    # The password of Digest never goes over the wire, so squid has to have its hash: for MD5.
    import hashlib

    first = hashlib.md5(f"{USER}:proxies:{PASSWORD}".encode()).hexdigest()
    return {
        "users": f"{USER}:proxies:{first}\n",
        "squid.conf": f"""\
http_port 127.0.0.1:{ports["open"]} name=open
http_port 127.0.0.1:{ports["digest"]} name=digest
https_port 127.0.0.1:{ports["tls"]} name=tls tls-cert={directory}/combined.pem
pid_filename {directory}/squid.pid
cache_log {directory}/cache.log
access_log none
cache deny all
coredump_dir {directory}
shutdown_lifetime 0 seconds
auth_param digest program {DIGEST} -c {directory}/users
auth_param digest children 1 startup=1
auth_param digest realm proxies
acl forbidden port {FORBIDDEN}
acl asked myportname digest
acl known proxy_auth REQUIRED
http_access deny forbidden
http_access deny asked !known
http_access allow all
""",
    }


def squid(authority: trustme.CA) -> Kind:
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    pem = certificate.private_key_and_cert_chain_pem.bytes().decode()
    return Kind(
        SQUID,
        ("open", "digest", "tls"),
        lambda directory, ports: {**_squid_files(directory, ports), "combined.pem": pem},
        # One process, in the foreground, that does not look for another of its kind.
        lambda directory: [str(SQUID), "-N", "-f", f"{directory}/squid.conf"],
    )


# -- tinyproxy -------------------------------------------------------------------------------------


#: Settings for :func:`tinyproxy`.
ASKING = f"BasicAuth {USER} {PASSWORD}"
HTTPS_ALONE = "ConnectPort 443"


def tinyproxy(setting: str = "") -> Kind:
    return Kind(
        TINYPROXY,
        ("open",),
        lambda directory, ports: {
            "tinyproxy.conf": f"""\
Port {ports["open"]}
Listen 127.0.0.1
Timeout 600
MaxClients 100
LogFile "{directory}/tinyproxy.log"
{setting}
"""
        },
        lambda directory: [str(TINYPROXY), "-d", "-c", f"{directory}/tinyproxy.conf"],
    )


# -- dante -----------------------------------------------------------------------------------------


#: The hash of ``PASSWORD`` as the system's own users have it, for they are the ones dante knows.
SHADOW = (
    "$6$xkFK1u3RbAOtOzQd$H1p.d0ZvULViNON6bgvkVooNwH0OQ15iW4p4WojN"
    "t/XR7.gfxqgPhfv2m3ptxTIy9wLHVPgfVeopF5YFptSTt."
)


def dante(*, password: bool) -> Kind:
    def files(directory: Path, ports: dict[str, int]) -> dict[str, str]:
        return {
            "danted.conf": f"""\
logoutput: stderr
internal: 127.0.0.1 port = {ports["open"]}
external: lo
clientmethod: none
socksmethod: {"username" if password else "none"}
user.privileged: root
user.unprivileged: nobody
client pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 }}
socks block {{ from: 127.0.0.0/8 to: 0.0.0.0/0 port = {FORBIDDEN} }}
socks pass {{ from: 127.0.0.0/8 to: 0.0.0.0/0 protocol: tcp }}
""",
            "passwd": "root:x:0:0::/:/bin/false\nnobody:x:65534:65534::/:/bin/false\n"
            f"{USER}:x:65533:65534::/:/bin/false\n",
            "shadow": f"{USER}:{SHADOW}:19000:0:99999:7:::\n",
        }

    return Kind(
        DANTED,
        ("open",),
        files,
        lambda directory: [str(DANTED), "-f", f"{directory}/danted.conf"],
        # Its users are those of the system; this makes it see others.
        {
            "LD_PRELOAD": "libnss_wrapper.so",
            "NSS_WRAPPER_PASSWD": "{}/passwd",
            "NSS_WRAPPER_SHADOW": "{}/shadow",
            "NSS_WRAPPER_GROUP": "/etc/group",
        }
        if password
        else {},
        as_root=True,
    )


# -- haproxy ---------------------------------------------------------------------------------------


def haproxy(authority: trustme.CA, squid_port: int) -> Kind:
    """TLS before squid: one port for everybody, and one that wants a password itself."""
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    pem = certificate.private_key_and_cert_chain_pem.bytes().decode()
    return Kind(
        HAPROXY,
        ("tls", "password"),
        lambda directory, ports: {
            "haproxy.cfg": f"""\
global
  maxconn 200
defaults
  timeout connect 60s
  timeout client 600s
  timeout server 600s
  timeout tunnel 600s
frontend tls
  mode tcp
  bind 127.0.0.1:{ports["tls"]} ssl crt {directory}/combined.pem
  default_backend bytes
frontend password
  mode http
  bind 127.0.0.1:{ports["password"]} ssl crt {directory}/combined.pem
  acl known req.hdr(proxy-authorization) -m str "{BASIC}"
  http-request return status 407 hdr Proxy-Authenticate "Basic realm=proxies" unless known
  http-request del-header proxy-authorization
  default_backend requests
backend bytes
  mode tcp
  server squid 127.0.0.1:{squid_port}
backend requests
  mode http
  server squid 127.0.0.1:{squid_port}
""",
            "combined.pem": pem,
        },
        lambda directory: [str(HAPROXY), "-db", "-f", f"{directory}/haproxy.cfg"],
    )
