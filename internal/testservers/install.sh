#!/bin/sh
# Installs the Debian packages named as arguments, without their services. Runs as root.
set -eu
export DEBIAN_FRONTEND=noninteractive

# Packages ask this program before they start a service; 101 means "do not" (Debian's invoke-rc.d(8)).
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi

# Only errors are worth a line.
apt-get -qq update >/dev/null || echo 'apt-get update failed, trying with the lists that are there' >&2
apt-get -qq install -y --no-install-recommends -o DPkg::Lock::Timeout=300 "$@" >/dev/null

# Installing enables services for the next boot, too. Erlang's epmd has one that only systemd knows.
for package in "$@"; do
	case $package in postgresql | rabbitmq-server) update-rc.d "$package" disable ;; esac
done
systemctl disable --quiet epmd.service epmd.socket 2>/dev/null || true
