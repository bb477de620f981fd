#!/bin/sh
# Installs the database servers, the browser, Java and the verifiers of others that the tests use, where Debian packages can be had.
# Nothing is started as a system service. Without root or sudo the tests that need them are skipped.
set -eu

missing=""
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || missing="$missing postgresql"
[ -x /usr/sbin/mariadbd ] || missing="$missing mariadb-server"
ls /usr/lib/softhsm/libsofthsm2.so >/dev/null 2>&1 || missing="$missing softhsm2"
# Go and its note and tlog packages: the verifier of others that the evidence log is checked with.
[ -d /usr/share/gocode/src/golang.org/x/mod ] && command -v go >/dev/null || missing="$missing golang-go golang-golang-x-mod-dev"
command -v openssl >/dev/null || missing="$missing openssl"
command -v chromium >/dev/null || missing="$missing chromium fonts-noto-cjk"
command -v java >/dev/null || missing="$missing default-jre-headless"
[ -n "$missing" ] || exit 0

if ! command -v apt-get >/dev/null; then
    echo "test servers: no apt-get, install$missing yourself; their tests will be skipped" >&2
    exit 0
fi
if [ "$(id -u)" = 0 ]; then
    as_root=""
elif command -v sudo >/dev/null && sudo -n true 2>/dev/null; then
    as_root="sudo -n"
else
    echo "test servers: need root for$missing; their tests will be skipped" >&2
    exit 0
fi

# Debian starts what it installs, unless this file says no; one that is already there stays.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null
    $as_root chmod 755 "$policy"
    trap '$as_root rm -f "$policy"' EXIT
fi
export DEBIAN_FRONTEND=noninteractive
# shellcheck disable=SC2086  # both lists are meant to split
if ! { $as_root apt-get update -qq && $as_root apt-get install -y -qq --no-install-recommends $missing >/dev/null; }; then
    echo "test servers:$missing could not be installed; their tests will be skipped" >&2
fi
