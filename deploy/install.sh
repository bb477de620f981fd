#!/bin/sh
# Installs Pingyao from this bundle without any network, after checking every file.
#   sh install.sh [DIRECTORY]        default: /opt/pingyao, or ~/.local/pingyao without root
set -eu

here=$(cd "$(dirname "$0")" && pwd)
if [ "$(id -u)" = 0 ]; then default=/opt/pingyao; else default=$HOME/.local/pingyao; fi
home=${1:-$default}
python=${PYTHON:-python3}

if ! "$python" -c 'import sys; sys.exit(sys.version_info[:2] != (3, 11))' 2>/dev/null; then
    echo "install: Python 3.11 is needed (Debian 12: python3 python3-venv); set PYTHON to where it is" >&2
    exit 2
fi
echo "checking $(wc -l <"$here/SHA256SUMS") files" >&2
(cd "$here" && sha256sum --quiet --check SHA256SUMS) || {
    echo "install: the bundle is damaged or was changed; fetch it again" >&2
    exit 1
}
"$python" -m venv "$home"
"$home/bin/python" -m pip install --quiet --no-index --find-links "$here/wheels" "pingyao[node]"
# Compiled once for everybody, here where the directory may be written.
"$home/bin/python" -c 'import pyarrow as pa; from pingyao.classify.rules import values; values.profile(pa.array(["1"]))'
"$home/bin/pingyao" --version
echo "installed: $home/bin/pingyao"
