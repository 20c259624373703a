#!/usr/bin/env bash
# Installs what is missing, and nothing that is there: bin/setup.sh [run|build|lint|test|bench|dist|kafka]...
# Debian packages when root or when sudo asks no password, else it prints the command that installs them and fails;
# npm packages and Kafka's jars as they are locked in the repository. Says nothing when nothing is to be done.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# Debian keeps daemons where only root's PATH finds them.
PATH=$PATH:/usr/local/sbin:/usr/sbin:/sbin

packages=()        # Debian packages to install
npm_projects=()    # folders with a package-lock.json
rust_components=() # rustup components that must be there
kafka_jars=false

die() {
    echo "setup: $*" >&2
    exit 1
}

say() { echo "setup: $*" >&2; }

# --- what each purpose needs ------------------------------------------------------------------------------------------

# Wherever the command comes from, it will do; the package is only what Debian calls it.
command_from() {
    if ! command -v "$1" >/dev/null; then packages+=("$2"); fi
}

needs_build() {
    command -v cargo >/dev/null ||
        die "cargo is missing. Install Rust with rustup (https://rustup.rs), open a new shell and try again"
    # gRPC's C++ core is built by cmake, the TLS library by make and perl.
    command_from cmake cmake
    command_from g++ g++
    command_from make make
    # The perl that every Debian has lacks the modules that OpenSSL's configure script loads.
    if ! perl -MIPC::Cmd -MFindBin -e 1 2>/dev/null; then packages+=(perl); fi
    command_from node nodejs
    command_from npm npm
    npm_projects+=("$root/static")
}

needs_run() { needs_build; }

needs_lint() {
    needs_build
    command_from shellcheck shellcheck
    rust_components+=(clippy rustfmt)
}

needs_kafka() {
    command_from java default-jre-headless
    command_from mvn maven
    kafka_jars=true
}

needs_test() {
    needs_build
    needs_kafka
    command_from chromium chromium
    command_from kcat kcat
    command_from promtool prometheus
    npm_projects+=("$root/lib/tests/page")
}

needs_bench() {
    needs_test
    command_from prometheus-node-exporter prometheus-node-exporter
    command_from collectd collectd-core
    command_from prometheus prometheus
    command_from promtool prometheus
}

needs_dist() {
    needs_build
    command_from readelf binutils
    if ! python3 -c 'import ensurepip, venv' 2>/dev/null; then packages+=(python3-venv); fi
    command_from curl curl
    command_from promtool prometheus
}

# --- Debian packages --------------------------------------------------------------------------------------------------

as_root() {
    if ((EUID == 0)); then "$@"; else sudo -n "$@"; fi
}

install_packages() {
    local list
    mapfile -t list < <(printf '%s\n' "${packages[@]}" | sort -u)
    command -v apt-get >/dev/null ||
        die "this is not Debian; install what its packages ${list[*]} hold and try again"
    if ((EUID != 0)) && ! sudo -n true 2>/dev/null; then
        say "these Debian packages are missing, and installing them needs root:"
        echo "    sudo apt-get update && sudo apt-get install --no-install-recommends ${list[*]}" >&2
        exit 1
    fi

    say "installing ${list[*]}"
    # Another clone may install at the same time; apt waits by itself, the rule about daemons does not.
    exec 8</var/lib/dpkg
    flock 8
    as_root apt-get -q update
    hold_daemons
    trap release_daemons EXIT
    as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=600 install --yes \
        --no-install-recommends "${list[@]}"
    release_daemons
    trap - EXIT
    disable_daemons "${list[@]}"
    exec 8<&-
}

# Three packages are wanted for one program each, but come with a daemon that Debian would start. While they are
# installed Debian's own switch says no for these daemons, and for anything else what it said before.
policy=/usr/sbin/policy-rc.d
policy_before=/usr/sbin/policy-rc.d.before-realtime-monitor
policy_mark="written by Realtime Monitor's bin/setup.sh"

hold_daemons() {
    release_daemons # what a killed setup may have left
    if [[ -e $policy ]]; then as_root mv "$policy" "$policy_before"; fi
    as_root tee "$policy" >/dev/null <<END
#!/bin/sh
# $policy_mark while it installs packages; it can be removed.
for argument in "\$@"; do
    case \$argument in prometheus | prometheus.* | prometheus-node-exporter* | collectd | collectd.*) exit 101 ;; esac
done
if [ -x $policy_before ]; then exec $policy_before "\$@"; fi
exit 0
END
    as_root chmod 755 "$policy"
}

release_daemons() {
    if grep -qsF "$policy_mark" "$policy"; then as_root rm "$policy"; fi
    if [[ -e $policy_before && ! -e $policy ]]; then as_root mv "$policy_before" "$policy"; fi
}

# Nor may they start at the next boot. Only what was just installed: one that the machine's owner runs is on PATH
# already, so it is never in the list.
disable_daemons() {
    local package unit
    command -v systemctl >/dev/null || return 0
    for package in "$@"; do
        case $package in
            prometheus | prometheus-node-exporter) unit=$package.service ;;
            collectd-core) unit=collectd.service ;;
            *) continue ;;
        esac
        as_root systemctl disable "$unit" 2>/dev/null || true # there is none to disable
    done
}

# --- the rest ---------------------------------------------------------------------------------------------------------

install_rust_components() {
    local component missing=()
    for component in "${rust_components[@]}"; do
        if ! cargo "${component/rustfmt/fmt}" --version >/dev/null 2>&1; then missing+=("$component"); fi
    done
    ((${#missing[@]})) || return 0
    command -v rustup >/dev/null || die "cargo lacks ${missing[*]}, and there is no rustup to add it"
    rustup component add "${missing[@]}"
}

# npm ci deletes and installs everything anew, so only when the lock file is not the one last installed from.
install_npm_project() {
    local folder=$1 stamp
    [[ -f $folder/package.json ]] || return 0
    stamp=$(sha256sum <"$folder/package-lock.json")
    if [[ -f $folder/node_modules/.stamp && $(<"$folder/node_modules/.stamp") == "$stamp" ]]; then return; fi
    say "installing the npm packages of ${folder#"$root/"}"
    (cd "$folder" && npm ci --no-audit --no-fund)
    echo "$stamp" >"$folder/node_modules/.stamp"
}

main() {
    local purpose folder
    if (($# == 0)); then set -- build; fi
    for purpose in "$@"; do
        case $purpose in
            run | build | lint | test | bench | dist | kafka) "needs_$purpose" ;;
            *) die "unknown purpose '$purpose'; expected run, build, lint, test, bench, dist or kafka" ;;
        esac
    done

    # One setup of a clone at a time; the second finds everything there. The lock is on this file, so it needs no other.
    exec 9<"${BASH_SOURCE[0]}"
    if ! flock --nonblock 9; then
        say "waiting for another setup"
        flock 9
        exec bash "${BASH_SOURCE[0]}" "$@" # look anew
    fi
    if ((${#packages[@]})); then install_packages; fi
    install_rust_components
    for folder in "${npm_projects[@]}"; do install_npm_project "$folder"; done
    if $kafka_jars; then "$root/bin/kafka.sh" jars; fi
}

main "$@"
