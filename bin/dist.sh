#!/usr/bin/env bash
# Builds the programs as static files that run on any Linux: bin/dist.sh [x86_64|aarch64]... (default: both)
# They are written to target/dist/ARCH/. Zig is the C and C++ compiler, because it brings musl for both machines.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
target=$(realpath -m "${CARGO_TARGET_DIR:-$root/target}")
tools=$target/dist/tools
programs=(monitor monitor-server monitor-client monitor-analysis)

ZIG=ziglang==0.17.0
CARGO_ZIGBUILD=cargo-zigbuild==0.24.0

die() {
    echo "dist: $*" >&2
    exit 1
}

say() { echo "dist: $*" >&2; }

# The cross compiler, in a Python environment of its own; the stamp says which versions are in it.
ensure_tools() {
    local stamp="$ZIG $CARGO_ZIGBUILD"
    if [[ -f $tools/stamp && $(<"$tools/stamp") == "$stamp" ]]; then return; fi
    say "fetching the cross compiler ($stamp), about 100 MB"
    rm -rf "$tools"
    python3 -m venv "$tools" || die "python3 -m venv failed; bin/setup.sh dist installs what it needs"
    "$tools/bin/pip" install --quiet --disable-pip-version-check $ZIG $CARGO_ZIGBUILD
    echo "$stamp" >"$tools/stamp"
}

ensure_rust_target() {
    # Offline and quick when it is there; a cargo without rustup brings its own targets or says what is missing.
    if ! command -v rustup >/dev/null; then return; fi
    if rustup target list --installed | grep -qx "$1"; then return; fi
    rustup target add "$1"
}

build() {
    local triple=$1 underscored=${1//-/_}
    # gRPC's core uses the 64-bit names of the file functions, which musl declares only when asked to.
    export "CFLAGS_$underscored=-D_LARGEFILE64_SOURCE"
    # Zig's compiler is newer than the core and warns about its templates where older ones did not.
    export "CXXFLAGS_$underscored=-D_LARGEFILE64_SOURCE -Wno-missing-template-arg-list-after-template-kw"
    if [[ ! -d $target/$triple/release ]]; then
        say "building for $triple; the first time this compiles gRPC's C++ core, 10 to 15 minutes on two cores"
    fi
    (cd "$root" && PATH=$tools/bin:$PATH CARGO_TARGET_DIR=$target cargo zigbuild --release --locked --bins --target "$triple" \
        --config 'profile.release.strip="symbols"')
}

# A static file names no interpreter and needs no library.
check_static() {
    local headers needed
    headers=$(readelf --program-headers --wide "$1")
    needed=$(readelf --dynamic --wide "$1")
    if [[ $headers == *INTERP* || $needed == *NEEDED* ]]; then
        echo "$needed" >&2
        die "$1 is dynamic; it would not start on a host with another C library"
    fi
}

# One line a file. ldd can only judge files of its own machine.
report() {
    local arch=$1 file machine verdict
    for file in "${programs[@]/#/$target/dist/$arch/}"; do
        check_static "$file"
        machine=$(readelf --file-header "$file" | sed -n 's/^ *Machine: *//p')
        verdict=
        if [[ $arch == "$(uname -m)" ]]; then verdict=", ldd: $(ldd_says "$file")"; fi
        printf '%-40s %5.1f MiB  static, %s%s\n' "${file#"$root/"}" "$(mebibytes "$file")" "$machine" "$verdict"
    done
}

# For a static file ldd says so and fails.
ldd_says() { { ldd "$1" 2>&1 || true; } | tr -d '\t'; }

mebibytes() { stat --format %s "$1" | awk '{print $1 / 1048576}'; }

dist() {
    local arch=$1 triple=$1-unknown-linux-musl program
    ensure_rust_target "$triple"
    build "$triple"
    mkdir -p "$target/dist/$arch"
    for program in "${programs[@]}"; do
        # Not overwritten in place: a running program would keep its file from being written.
        install -m 755 "$target/$triple/release/$program" "$target/dist/$arch/$program"
    done
    report "$arch"
}

main() {
    local arch arches=("$@")
    if ((${#arches[@]} == 0)); then arches=(x86_64 aarch64); fi
    for arch in "${arches[@]}"; do
        [[ $arch == x86_64 || $arch == aarch64 ]] || die "unknown machine '$arch'; x86_64 or aarch64"
    done
    ensure_tools
    for arch in "${arches[@]}"; do dist "$arch"; done
}

main "$@"
