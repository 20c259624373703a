#!/usr/bin/env bash
# Runs the static programs of target/dist for this machine as somebody who copied them would.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
programs=$target/dist/$(uname -m)

FIRST_METRICS_SECONDS_MAX=10
STOP_SECONDS_MAX=5 # what the programs promise for SIGTERM

scratch=$(mktemp -d)
pid=

die() {
    echo "dist-test: $*" >&2
    if [[ -s $scratch/log ]]; then sed 's/^/    /' "$scratch/log" >&2; fi
    exit 1
}

clean_up() {
    if [[ -n $pid ]]; then kill -KILL "$pid" 2>/dev/null || true; fi
    rm -rf "$scratch"
}

# Waits until the command holds, at most that many seconds.
within() {
    local deadline=$((SECONDS + $1))
    shift
    until "$@"; do
        ((SECONDS < deadline)) || return 1
        sleep 0.05
    done
}

test_once() {
    "$programs/monitor-client" --once >"$scratch/once" 2>"$scratch/log" || die "monitor-client --once failed with status $?"
    promtool check metrics <"$scratch/once" || die "promtool does not accept what monitor-client --once prints"
    echo "monitor-client --once: $(grep -vc '^#' "$scratch/once") samples, accepted by promtool"
}

# Port 0 is a free one, and the log says which.
page_address() {
    address=$(grep -oE 'http://(127\.0\.0\.1|localhost):[1-9][0-9]*' "$scratch/log" | head -n 1)
    [[ -n $address ]] || ended
}

ended() { ! kill -0 "$pid" 2>/dev/null; }

has_metrics() { curl --silent --fail --max-time 2 "$address/api/metrics" | grep -qE '"cpu":\[\{'; }

test_monitor() {
    local started=$EPOCHREALTIME address status=0
    "$programs/monitor" --listen 127.0.0.1:0 --grpc-listen 127.0.0.1:0 --data "$scratch/data" >"$scratch/log" 2>&1 &
    pid=$!
    within $FIRST_METRICS_SECONDS_MAX page_address || die "monitor did not log the address of its page; it logged:"
    if ended; then die "monitor ended by itself; it logged:"; fi
    within $FIRST_METRICS_SECONDS_MAX has_metrics ||
        die "$address/api/metrics had no cpu usage after $FIRST_METRICS_SECONDS_MAX s; monitor logged:"
    echo "monitor: first metrics $(seconds_since "$started") s after its start," \
        "$(awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$pid/status") MiB resident"

    started=$EPOCHREALTIME
    kill -TERM "$pid"
    within $STOP_SECONDS_MAX ended || die "monitor still runs $STOP_SECONDS_MAX s after SIGTERM; it logged:"
    wait "$pid" || status=$?
    pid=
    ((status == 0)) || die "monitor ended with status $status after SIGTERM, expected 0; it logged:"
    echo "monitor: stopped $(seconds_since "$started") s after SIGTERM"
}

seconds_since() { awk -v from="$1" -v to="$EPOCHREALTIME" 'BEGIN {printf "%.2f", to - from}'; }

[[ -x $programs/monitor ]] || die "there is no $programs/monitor; make dist builds it"
trap clean_up EXIT
test_once
test_monitor
