#!/bin/sh
# Builds an offline bundle: everything to install Pingyao on a machine without network.
#   sh deploy/bundle.sh TARGET_DIRECTORY [x86_64|aarch64]
# On the other machine (Debian 12, Python 3.11): tar xf …, then sh install.sh [DIRECTORY].
set -eu

target=${1:?usage: sh deploy/bundle.sh TARGET_DIRECTORY [x86_64|aarch64]}
arch=${2:-$(uname -m)}
here=$(cd "$(dirname "$0")/.." && pwd)
python=${PYTHON:-$here/.venv/bin/python}
version=$(sed -n 's/^version = "\(.*\)"/\1/p' "$here/pyproject.toml")
name="pingyao-$version-linux-$arch"
case $arch in
x86_64 | aarch64) ;;
*)
    echo "bundle: no wheels for $arch; choose x86_64 or aarch64" >&2
    exit 2
    ;;
esac

mkdir -p "$target"
work=$(mktemp -d "$target/.$name.XXXXXX")
trap 'rm -rf "$work"' EXIT
mkdir -p "$work/$name/wheels"
"$python" -m pip wheel --quiet --no-deps --wheel-dir "$work/$name/wheels" "$here"
# Debian 12 has glibc 2.36, so wheels for any manylinux up to 2.36 will do.
platforms=""
for glibc in 2_17 2_24 2_27 2_28 2_31 2_34 2_35; do
    platforms="$platforms --platform manylinux_${glibc}_$arch"
done
# shellcheck disable=SC2086  # the platforms are words
"$python" -m pip download --quiet --dest "$work/$name/wheels" --only-binary=:all: \
    --python-version 3.11 --implementation cp --abi cp311 --abi abi3 --abi none \
    --platform "manylinux2014_$arch" --platform "linux_$arch" $platforms \
    "$(echo "$work/$name/wheels"/pingyao-*.whl)[node]"
cp "$here/deploy/install.sh" "$here/deploy"/pingyao-*.service "$here/deploy"/pingyao-*.timer \
    "$here/deploy/Containerfile" "$here/deploy/compose.yaml" "$here/LICENSE" "$here/README.md" "$here/README.en.md" "$work/$name/"
cp -r "$here/docs" "$work/$name/docs"
(cd "$work/$name" && find . -type f ! -name SHA256SUMS -print0 | sort -z | xargs -0 sha256sum >SHA256SUMS)
tar --sort=name --owner=0 --group=0 --numeric-owner -C "$work" -cf "$target/$name.tar" "$name"
(cd "$target" && sha256sum "$name.tar" >"$name.tar.sha256")
echo "$target/$name.tar"
