#!/usr/bin/env bash
# Install what the project needs from the distribution (Debian 12, Ubuntu 24.04 or later). Does nothing where all is there.
set -euo pipefail

packages=()
need() { # a test that fails if the package is missing, and the package
	eval "$1" >/dev/null 2>&1 || packages+=("$2")
}

need 'command -v clang' clang
need 'test -e /usr/include/bpf/bpf_helpers.h' libbpf-dev
need 'ldconfig -p | grep -q libbpf.so.1' libbpf1
need 'command -v cc' gcc
need 'test -e /usr/include/linux/bpf.h' linux-libc-dev
need 'python3 -c "import venv, ensurepip"' python3-venv

[ ${#packages[@]} -eq 0 ] && exit 0
if [ "$(id -u)" -ne 0 ]; then
	echo "hauberk: these packages are missing: ${packages[*]}; install them as root" >&2
	exit 1
fi
echo "  apt  ${packages[*]}"
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${packages[@]}" >/dev/null
