"""The reverse proxies of docs/howto/behind-a-proxy.md: their configurations as the page has them.

What has to differ from a user's machine is replaced: ports, the files of the certificate, and the
name. What a distribution wraps around such a file is added.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import trustme

from tests.docs.pages import ROOT, blocks
from tests.proxies.daemons import HAPROXY, Kind

PAGE = ROOT / "docs/howto/behind-a-proxy.md"
NAME = "example.com"

_NGINX = """\
daemon off;
user {user};
pid {directory}/nginx.pid;
error_log stderr;
events {{}}
http {{
access_log off;
client_body_temp_path {directory}/body;
proxy_temp_path {directory}/proxy;
fastcgi_temp_path {directory}/fastcgi;
uwsgi_temp_path {directory}/uwsgi;
scgi_temp_path {directory}/scgi;
include {directory}/site;
}}
"""

_MODULES = "mpm_event authz_core ssl socache_shmcb headers proxy proxy_http proxy_wstunnel setenvif"
_APACHE = "".join(
    f"LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"
    for name in _MODULES.split()
) + (
    "ServerRoot {directory}\nPidFile {directory}/apache.pid\nErrorLog /dev/stderr\n"
    "ServerName localhost\nUser www-data\nGroup www-data\nDefaultRuntimeDir {directory}\n"
    "Mutex file:{directory}\nListen 127.0.0.1:{front}\nInclude {directory}/site\n"
)

_CADDY = "{{\n\tadmin off\n\tstorage file_system {directory}/data\n\tdefault_bind 127.0.0.1\n}}\n"


def configuration(language: str, number: int = 0) -> str:
    """The configuration on the page in ``language``; the first, or another."""
    found = [block.text for block in blocks(PAGE) if block.language == language]
    return found[number]


def _kind(
    program: str | Path,
    site: str,
    scaffold: str,
    command: Callable[[Path], list[str]],
    authority: trustme.CA,
    upstream: int,
) -> Kind:
    certificate = authority.issue_cert(NAME)
    key = certificate.private_key_pem.bytes().decode()
    chain = "".join(each.bytes().decode() for each in certificate.cert_chain_pems)

    def files(directory: Path, ports: dict[str, int]) -> dict[str, str]:
        text = site.replace("/etc/ssl", str(directory)).replace("8765", str(upstream))
        for listening in ("listen 443", "bind :443", "*:443"):
            head = listening.removesuffix("443").rstrip(":*")
            text = text.replace(listening, f"{head}127.0.0.1:{ports['front']}")
        text = text.replace(f"{NAME} {{", f"https://{NAME}:{ports['front']} {{")
        return {
            "site": text,
            "main": scaffold.format(directory=directory, user="root", **ports),
            f"{NAME}.crt": chain,
            f"{NAME}.key": key,
            f"{NAME}.pem": key + chain,
        }

    return Kind(Path(program), ("front",), files, command)


def nginx(authority: trustme.CA, upstream: int) -> Kind:
    return _kind(
        "/usr/sbin/nginx",
        configuration("nginx"),
        _NGINX,
        lambda directory: ["/usr/sbin/nginx", "-c", f"{directory}/main", "-p", str(directory)],
        authority,
        upstream,
    )


def apache(authority: trustme.CA, upstream: int) -> Kind:
    return _kind(
        "/usr/sbin/apache2",
        configuration("apache"),
        _APACHE,
        lambda directory: ["/usr/sbin/apache2", "-DFOREGROUND", "-f", f"{directory}/main"],
        authority,
        upstream,
    )


def caddy(authority: trustme.CA, upstream: int) -> Kind:
    return _kind(
        "/usr/bin/caddy",
        configuration("caddy"),
        _CADDY + "import site\n",
        lambda directory: [
            "/usr/bin/caddy",
            "run",
            "--adapter",
            "caddyfile",
            "--config",
            f"{directory}/main",
        ],
        authority,
        upstream,
    )


def haproxy(authority: trustme.CA, upstream: int, number: int = 0) -> Kind:
    return _kind(
        HAPROXY,
        configuration("text", number),
        "",
        lambda directory: [str(HAPROXY), "-db", "-f", f"{directory}/site"],
        authority,
        upstream,
    )


def passthrough(authority: trustme.CA, upstream: int) -> Kind:
    """TCP, with the PROXY protocol."""
    return haproxy(authority, upstream, 1)
