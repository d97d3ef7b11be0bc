#!/bin/sh
# Takes one safeguard after the other out of a copy of the project, and sees that torture, or the command that the patch names, notices it.
# Run it by "make mutants", or with the names of some patches. The exit status tells whether all were noticed.
set -eu
root=$(CDPATH='' cd -- "$(dirname -- "$0")/../../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
export DURATION="${DURATION:-20s}"
tries=${TRIES:-3}

# noticed runs the command a few times, since what torture hits is a matter of luck, and shows what it has found first.
noticed() {
	for try in $(seq "$tries"); do
		if ! (cd "$work/copy" && SEED=$try $1) >"$work/said" 2>&1; then
			grep -q -E 'VIOLATION|--- FAIL' "$work/said" && grep -m 1 -E 'VIOLATION|--- FAIL' "$work/said" | cut -c 1-240 && return 0
			echo "the run failed in another way:" && tail -n 5 "$work/said"
			return 1
		fi
	done
	return 1
}

if [ $# -eq 0 ]; then
	for patch in "$root"/internal/torture/testdata/*.patch; do set -- "$@" "$(basename "$patch" .patch)"; done
fi
missed=0
for name in "$@"; do
	patch=$root/internal/torture/testdata/$name.patch
	rm -rf "$work/copy" && mkdir "$work/copy"
	(cd "$root" && tar cf - --exclude=./bin --exclude=./data --exclude=./.git .) | (cd "$work/copy" && tar xf -)
	patch -d "$work/copy" -p1 -s <"$patch"
	command=$(sed -n 's/^Noticed by: //p' "$patch")
	if found=$(noticed "${command:-go run ./internal/torture/run}"); then
		echo "noticed: $name: $found"
	else
		echo "NOT NOTICED: $name: $found"
		missed=1
	fi
done
exit $missed
