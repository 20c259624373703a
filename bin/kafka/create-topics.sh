#!/usr/bin/env bash
# Creates topics that do not exist yet: create-topics.sh BROKER COMMAND [ARGUMENT...] <topics
# BROKER is host:port, COMMAND is Kafka's own topic tool, topics has the format of the file beside this script.
# It runs in the one-shot container of docker-compose.yml and in bin/kafka.sh.
set -euo pipefail

broker=$1
shift
tool=("$@")

create() {
    local name=$1 partitions=$2 arguments=() setting
    shift 2
    for setting in "$@"; do arguments+=(--config "$setting"); done
    # The tool warns that names with an underscore may collide with names with a full stop; there are none of those.
    "${tool[@]}" --bootstrap-server "$broker" --create --if-not-exists --topic "$name" \
        --partitions "$partitions" --replication-factor 1 "${arguments[@]}" 2>&1 |
        { grep -v '^WARNING: Due to limitations in metric names' || true; }
}

# Each call starts a Java machine, so they run side by side.
pids=()
while read -r name partitions settings; do
    [[ -z $name || $name == \#* ]] && continue
    # shellcheck disable=SC2086  # the settings are separate words
    create "$name" "$partitions" $settings </dev/null &
    pids+=($!)
done
for pid in "${pids[@]}"; do wait "$pid"; done
