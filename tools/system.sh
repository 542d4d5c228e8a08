#!/usr/bin/env bash
# Makes sure of what pip cannot install. Each argument names a need; what is missing is installed
# from Debian's packages by root. Otherwise the package is named, and that is an error where there
# is no going on without it, or in CI.
set -euo pipefail

PYTHON=${PYTHON:-python3}
updated=
policy=/usr/sbin/policy-rc.d  # says what may be started; see invoke-rc.d(8)

install_package() {
    [ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || return 1
    if [ -z "$updated" ]; then
        apt-get -qq update
        updated=yes
    fi
    # Only programs are wanted: no server is to run because of this.
    if [ ! -e "$policy" ]; then
        printf '#!/bin/sh\nexit 101\n' > "$policy"
        chmod +x "$policy"
        trap 'rm -f "$policy"' EXIT
    fi
    DEBIAN_FRONTEND=noninteractive apt-get -qq install -y --no-install-recommends "$1" > /dev/null
}

# need PACKAGE required|optional TEST...: TEST succeeds where the package is not missing.
need() {
    local package=$1 how=$2
    shift 2
    if "$@" > /dev/null 2>&1; then return; fi
    if install_package "$package" && "$@" > /dev/null 2>&1; then return; fi
    echo "missing: Debian's package $package. As root: apt-get update && apt-get install $package" >&2
    if [ "$how" = required ] || [ -n "${CI:-}" ]; then exit 1; fi
    echo "         (going on without; what needs it is skipped)" >&2
}

has_headers() {
    "$PYTHON" -c 'import os, sysconfig
header = os.path.join(sysconfig.get_path("include"), "Python.h")
raise SystemExit(not os.path.exists(header))'
}

has_header() {
    echo "#include <$1>" | "${CC:-cc}" -fsyntax-only -x c -
}

has_library() {
    "$PYTHON" -c 'import ctypes, sys; ctypes.CDLL(sys.argv[1])' "$1"
}

for name in "$@"; do
    case $name in
        venv) need python3-venv required "$PYTHON" -c 'import ensurepip, venv' ;;
        headers)
            need gcc required command -v "${CC:-cc}"
            need python3-dev required has_headers
            ;;
        zlib) need zlib1g-dev optional has_header zlib.h ;;
        openssl) need libssl-dev optional has_header openssl/ssl.h ;;
        valgrind) need valgrind optional command -v valgrind ;;
        chromium) need chromium optional command -v chromium ;;
        strace) need strace optional command -v strace ;;
        ip) need iproute2 optional command -v ip ;;
        nginx) need nginx optional test -x /usr/sbin/nginx ;;
        apache) need apache2 optional test -x /usr/sbin/apache2 ;;
        caddy) need caddy optional test -x /usr/bin/caddy ;;
        squid) need squid optional test -x /usr/sbin/squid ;;
        tinyproxy) need tinyproxy optional test -x /usr/bin/tinyproxy ;;
        dante) need dante-server optional test -x /usr/sbin/danted ;;
        haproxy) need haproxy optional test -x /usr/sbin/haproxy ;;
        nss-wrapper) need libnss-wrapper optional has_library libnss_wrapper.so ;;
        *) echo "unknown need: $name" >&2; exit 2 ;;
    esac
done
