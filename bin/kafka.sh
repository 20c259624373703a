#!/usr/bin/env bash
# A real Kafka broker for people and for tests, with or without docker. `bin/kafka.sh help` tells how.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
libs=$target/kafka/libs

READY_SECONDS_MAX=60 # a broker that recovers a few GB after a kill takes its time
STOP_SECONDS_MAX=20
TOPIC_SETTINGS_DEFAULT="message.timestamp.type=LogAppendTime segment.bytes=67108864"

usage() {
    cat <<'END'
bin/kafka.sh COMMAND [OPTION...]

  start    start a broker and create the topics; does nothing when it is running
  stop     stop it; what is stored stays
  status   say whether it runs (exit status 0) or not (1)
  topics   create the topics given by --topic, then describe all
  render   print the server.properties that start would use
  jars     fetch the broker's jars, which start does by itself

A plain start uses docker compose where a docker engine answers. With any option, or without an engine, the broker
runs from Maven artifacts in Java, in the background; only start prints on its standard output, one line:
  kafka ready on 127.0.0.1:PORT pid PID

  --port PORT            where it listens on 127.0.0.1 (9094)
  --dir DIR              settings, log and data; made if missing (target/kafka/data)
  --topic NAME:COUNT     create this topic with COUNT partitions; repeat for more (those of bin/kafka/topics)
  --no-topics            create none
  --set PROPERTY=VALUE   override a setting of bin/kafka/broker.env; repeat for more
  --controller-port PORT the broker's second port on 127.0.0.1 (a free one)
  --heap SIZE            the most memory for Java objects (256m)
  --while PID            kill the broker when process PID has ended, so that a killed test leaves nothing behind
  --broker HOST:PORT     for topics: any broker (127.0.0.1:PORT)
END
}

die() {
    echo "kafka: $*" >&2
    exit 1
}

say() { echo "kafka: $*" >&2; }

# --- the command line -------------------------------------------------------------------------------------------------

port=9094
dir=$target/kafka/data
controller_port=
heap=256m
while_pid=
broker=
own=false # true: the caller asks for a broker of its own, so never docker compose
topics_wanted=()
no_topics=false
overrides=()

parse_options() {
    while (($#)); do
        case $1 in
            --no-topics)
                no_topics=true
                own=true
                shift
                continue
                ;;
            --port | --dir | --topic | --set | --controller-port | --heap | --while | --broker)
                (($# > 1)) || die "$1 needs a value; see bin/kafka.sh help"
                ;;
            *) die "unknown option '$1'; see bin/kafka.sh help" ;;
        esac
        own=true
        case $1 in
            --port) port=$(checked_port "$1" "$2") ;;
            --dir) dir=$2 ;;
            --topic) topics_wanted+=("$(checked_topic "$2")") ;;
            --set) overrides+=("$(checked_override "$2")") ;;
            --controller-port) controller_port=$(checked_port "$1" "$2") ;;
            --heap) heap=$2 ;;
            --while) while_pid=$(checked_pid "$2") ;;
            --broker) broker=$2 ;;
        esac
        shift 2
    done
    dir=$(realpath -m "$dir")
    broker=${broker:-127.0.0.1:$port}
}

checked_port() {
    if ! [[ $2 =~ ^[1-9][0-9]{0,4}$ ]] || (($2 > 65535)); then die "$1: '$2' is no port, 1 to 65535 is"; fi
    echo "$2"
}

checked_topic() {
    [[ $1 =~ ^[A-Za-z0-9._-]{1,249}(:[1-9][0-9]*)?$ ]] || die "--topic: expected NAME:PARTITIONS, got '$1'"
    echo "$1"
}

checked_pid() {
    [[ $1 =~ ^[1-9][0-9]*$ && -d /proc/$1 ]] || die "--while: '$1' is no running process"
    echo "$1"
}

checked_override() {
    [[ $1 == ?*=* ]] || die "--set: expected PROPERTY=VALUE, got '$1'"
    echo "$1"
}

# --- settings ---------------------------------------------------------------------------------------------------------

# KAFKA_LOG_SEGMENT_BYTES -> log.segment.bytes; as in the image, two underscores are one and three are a dash.
property_name() {
    local name=${1#KAFKA_}
    name=${name,,}
    name=${name//___/-}
    name=${name//__/$'\n'}
    name=${name//_/.}
    echo "${name//$'\n'/_}"
}

# Prints server.properties: the shared settings, then what differs from docker-compose.yml, then --set.
render() {
    local -A properties=()
    local line
    while IFS= read -r line; do
        [[ $line == KAFKA_*=* ]] || continue
        properties[$(property_name "${line%%=*}")]=${line#*=}
    done <"$root/bin/kafka/broker.env"

    properties[listeners]=EXTERNAL://127.0.0.1:$port,CONTROLLER://127.0.0.1:$controller_port
    properties[advertised.listeners]=EXTERNAL://127.0.0.1:$port
    properties[controller.quorum.voters]=${properties[node.id]}@127.0.0.1:$controller_port
    properties[log.dirs]=$dir/log

    for line in "${overrides[@]}"; do properties[${line%%=*}]=${line#*=}; done
    for line in "${!properties[@]}"; do echo "$line=${properties[$line]}"; done | sort
}

# The lines of bin/kafka/topics, or those that --topic asks for, with the settings the file has for that name.
topic_lines() {
    local wanted name count line
    if $no_topics; then return; fi
    if ((${#topics_wanted[@]} == 0)); then
        grep -v '^#' "$root/bin/kafka/topics"
        return
    fi
    for wanted in "${topics_wanted[@]}"; do
        name=${wanted%%:*}
        line=$(awk -v name="$name" '$1 == name' "$root/bin/kafka/topics")
        line=${line:-$name 4 $TOPIC_SETTINGS_DEFAULT}
        read -r _ count settings <<<"$line"
        if [[ $wanted == *:* ]]; then count=${wanted##*:}; fi
        echo "$name $count $settings"
    done
}

# --- Java -------------------------------------------------------------------------------------------------------------

need() {
    command -v "$1" >/dev/null || die "$1 is missing; bin/setup.sh kafka installs what the broker needs"
}

# Copies the jars that pom.xml names to target/kafka/libs; the stamp says from which pom.xml they came.
jars() {
    local stamp fresh=$libs.fresh
    need java
    stamp=$(sha256sum <"$root/bin/kafka/pom.xml")
    if [[ -f $libs/stamp && $(<"$libs/stamp") == "$stamp" ]]; then return; fi
    need mvn
    mkdir -p "$target/kafka"
    exec 8>"$target/kafka/lock"
    flock 8
    if [[ -f $libs/stamp && $(<"$libs/stamp") == "$stamp" ]]; then return; fi # another call was faster
    say "fetching the broker's jars with Maven, about 70 MB the first time, then from Maven's cache"
    rm -rf "$fresh"
    mvn --batch-mode --no-transfer-progress --quiet -Dstyle.color=never -f "$root/bin/kafka/pom.xml" \
        dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory="$fresh" >&2 ||
        die "Maven could not fetch the jars; the lines above say why. A proxy or mirror goes into ~/.m2/settings.xml"
    echo "$stamp" >"$fresh/stamp"
    rm -rf "$libs"
    mv "$fresh" "$libs"
    exec 8>&-
}

# A short-lived Java tool: the fast compiler only, warnings only.
tool=(java -Xmx128m -XX:+UseSerialGC -XX:TieredStopAtLevel=1 -Dorg.slf4j.simpleLogger.defaultLogLevel=warn -cp "$libs/*")
topic_tool=("${tool[@]}" org.apache.kafka.tools.TopicCommand)

# --- one broker -------------------------------------------------------------------------------------------------------

# The process that serves $dir, or nothing. A process id alone proves nothing: it may have been given away since.
running_pid() {
    local pid
    [[ -f $dir/broker.pid ]] || return 0
    pid=$(<"$dir/broker.pid")
    if serves_dir "$pid"; then echo "$pid"; fi
}

serves_dir() {
    tr '\0' '\n' 2>/dev/null <"/proc/$1/cmdline" | grep -qxF "$dir/server.properties"
}

running_port() {
    sed -n 's/^advertised\.listeners=.*:\([0-9]*\)$/\1/p' "$dir/server.properties"
}

port_open() {
    (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# A port below the range that outgoing connections get, so that none of those takes it first.
free_port() {
    local candidate
    for _ in {1..50}; do
        candidate=$((10240 + RANDOM % 20000))
        if ! port_open $candidate; then
            echo $candidate
            return
        fi
    done
    die "found no free port between 10240 and 30240"
}

format_once() {
    local id
    if [[ -f $dir/log/meta.properties ]]; then return; fi
    # 16 random bytes; a leading dash would read as an option.
    id=$(head -c 16 /dev/urandom | base64 | tr '+/' '-_' | cut -c 1-22)
    "${tool[@]}" kafka.tools.StorageTool format --cluster-id "${id/#-/A}" --config "$dir/server.properties" \
        >"$dir/format.log" 2>&1 ||
        die "formatting $dir/log failed: $(tail -n 5 "$dir/format.log")"
}

# For what outlives this script: it must hold no lock and no pipe of the caller.
close_descriptors() {
    local descriptor
    for descriptor in /proc/self/fd/*; do
        descriptor=${descriptor##*/}
        if ((descriptor > 2)); then exec {descriptor}>&-; fi
    done
}

# In a session of its own, so that Ctrl-C and closing the terminal do not reach it.
launch() {
    # Empty before the broker lives: the last run's log says "started" too.
    : >"$dir/broker.log"
    (
        close_descriptors
        exec setsid java -Xms64m -Xmx"$heap" -XX:+UseSerialGC -XX:+ExitOnOutOfMemoryError \
            -Dorg.slf4j.simpleLogger.logFile=System.out -Dorg.slf4j.simpleLogger.showDateTime=true \
            "-Dorg.slf4j.simpleLogger.dateTimeFormat=yyyy-MM-dd HH:mm:ss.SSS" \
            -cp "$libs/*" kafka.Kafka "$dir/server.properties"
    ) </dev/null >>"$dir/broker.log" 2>&1 &
    echo $! >"$dir/broker.pid"
}

# Ready means: the broker says so, and its port accepts. Returns 1 when it has died.
wait_ready() {
    local pid=$1 deadline=$((SECONDS + READY_SECONDS_MAX))
    until grep -q 'Kafka Server started' "$dir/broker.log" && port_open "$port"; do
        # Between fork and exec it does not show its command line yet, so ask only whether it lives.
        kill -0 "$pid" 2>/dev/null || return 1
        ((SECONDS < deadline)) || die "the broker is not ready after $READY_SECONDS_MAX s; see $dir/broker.log"
        sleep 0.1
    done
}

create_topics_on() { "$root/bin/kafka/create-topics.sh" "$1" "${topic_tool[@]}"; }

create_topics() {
    local lines missing=() name count settings
    lines=$(topic_lines)
    while read -r name count settings; do
        [[ -z $name || -d $dir/log/$name-0 ]] || missing+=("$name $count $settings")
    done <<<"$lines"
    ((${#missing[@]})) || return 0
    printf '%s\n' "${missing[@]}" | create_topics_on "127.0.0.1:$port" >"$dir/topics.log" 2>&1 ||
        die "creating topics failed: $(tail -n 5 "$dir/topics.log")"
}

# Leaves a small process behind that outlives this script and ends with process $while_pid.
kill_later() {
    local pid=$1
    # shellcheck disable=SC2016  # expanded by the inner shell
    (
        close_descriptors
        exec setsid bash -c '
            tail --pid="$1" -f /dev/null
            if tr "\0" "\n" <"/proc/$2/cmdline" | grep -qxF "$3"; then kill -KILL "$2"; fi
        ' kafka-while "$while_pid" "$pid" "$dir/server.properties"
    ) </dev/null >/dev/null 2>&1 &
}

# One start or stop at a time works on a directory.
lock_dir() {
    exec 9>"$dir/lock"
    flock --timeout 120 9 || die "another start or stop has been working on $dir for two minutes"
}

start_own() {
    local pid attempt fixed_controller_port=$controller_port
    jars
    mkdir -p "$dir"
    lock_dir
    pid=$(running_pid)
    if [[ -n $pid ]]; then
        [[ $(running_port) == "$port" ]] || die "the broker on $dir listens on port $(running_port), not on $port; stop it first"
        say "is already running"
        create_topics
        echo "kafka ready on 127.0.0.1:$port pid $pid"
        return
    fi
    if port_open "$port"; then die "port $port is taken by another program; stop that or choose another with --port"; fi

    for attempt in 1 2 3; do
        controller_port=${fixed_controller_port:-$(free_port)}
        render >"$dir/server.properties"
        format_once
        launch
        pid=$(<"$dir/broker.pid")
        # Interrupted before it is ready: do not leave half a broker behind.
        trap 'kill -KILL "$pid" 2>/dev/null' EXIT
        if wait_ready "$pid"; then break; fi
        # Between choosing the controller's port and using it, somebody else may have taken it.
        if ((attempt < 3)) && [[ -z $fixed_controller_port ]] && grep -q "127.0.0.1:$controller_port: Address already in use" "$dir/broker.log"; then
            continue
        fi
        say "the broker ended while starting; the end of $dir/broker.log:"
        tail -n 20 "$dir/broker.log" >&2
        exit 1
    done
    create_topics
    if [[ -n $while_pid ]]; then kill_later "$pid"; fi
    trap - EXIT
    echo "kafka ready on 127.0.0.1:$port pid $pid"
}

stop_own() {
    local pid deadline
    [[ -d $dir ]] || return 1
    lock_dir
    deadline=$((SECONDS + STOP_SECONDS_MAX))
    pid=$(running_pid)
    if [[ -z $pid ]]; then return 1; fi
    kill -TERM "$pid"
    kill -CONT "$pid" # a stopped process hears nothing else
    while serves_dir "$pid"; do
        if ((SECONDS >= deadline)); then
            say "pid $pid does not stop within $STOP_SECONDS_MAX s and is killed; it recovers at the next start"
            kill -KILL "$pid"
            break
        fi
        sleep 0.1
    done
    rm -f "$dir/broker.pid"
    say "stopped; its data stays in $dir"
}

# --- docker -----------------------------------------------------------------------------------------------------------

docker_answers() {
    command -v docker >/dev/null && docker compose version >/dev/null 2>&1 && timeout 5 docker info >/dev/null 2>&1
}

compose() { docker compose --project-directory "$root" "$@"; }

# --- commands ---------------------------------------------------------------------------------------------------------

start() {
    if ! $own && docker_answers; then
        compose up --detach
        echo "kafka ready on 127.0.0.1:9094 by docker compose; Kafka UI on http://127.0.0.1:9095"
        return
    fi
    if ! $own; then "$root/bin/setup.sh" kafka; fi
    start_own
    if ! $own; then say "data and log in $dir, stop with: make kafka-stop"; fi
}

stop() {
    if stop_own; then return; fi
    if ! $own && docker_answers && [[ -n $(compose ps --quiet) ]]; then
        compose down
        return
    fi
    say "no broker runs on $dir"
}

status() {
    local pid
    pid=$(running_pid)
    if [[ -n $pid ]]; then
        echo "kafka runs on 127.0.0.1:$(running_port) pid $pid, $(awk '/^VmRSS/ {print int($2 / 1024)}' "/proc/$pid/status") MiB, in $dir"
    elif ! $own && docker_answers && [[ -n $(compose ps --quiet kafka) ]]; then
        compose ps
    else
        echo "no broker runs on $dir"
        return 1
    fi
}

topics() {
    jars
    if ((${#topics_wanted[@]})); then topic_lines | create_topics_on "$broker"; fi
    "${topic_tool[@]}" --bootstrap-server "$broker" --describe
}

main() {
    local command=${1:-help}
    (($# == 0)) || shift
    case $command in
        start | stop | status | topics | render | jars)
            parse_options "$@"
            if [[ $command == render ]]; then controller_port=${controller_port:-9093}; fi
            "$command"
            ;;
        help | -h | --help) usage ;;
        *) die "unknown command '$command'; see bin/kafka.sh help" ;;
    esac
}

main "$@"
