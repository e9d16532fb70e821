# A server for as long as a load runs against it, for the scripts beside this file; to be sourced, and not to be run.
# It says where this folder is ($here) and the programs are ($target), makes a folder that goes with the script ($work), and
# builds what is measured unless BUILT is set.
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../target}/release
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
[ -n "${BUILT:-}" ] || cargo build --quiet --release --manifest-path "$here/../Cargo.toml" -p strowger-benches

# begin PORT COMMAND...: starts a server that ends with its standard input, and waits until it answers there.
begin() {
    local port=$1
    shift
    mkfifo "$work/alive"
    "$@" <"$work/alive" &
    server=$!
    exec 9>"$work/alive"
    for _ in $(seq 300); do
        "$target/loadgen" run "127.0.0.1:$port" --mode options --users 1 --transactions 1 --patience 1 >/dev/null 2>&1 && return
        sleep 0.1
    done
    echo "no server answers on port $port" >&2
    exit 1
}

# load ARGUMENT...: a load of loadgen; what it says is shown if it fails, and that ends the script.
load() {
    "$target/loadgen" run "$@" >"$work/report" || { cat "$work/report" >&2; exit 1; }
}

# finish: ends the server, however it ends.
finish() {
    exec 9>&-
    wait "$server" || true
    rm "$work/alive"
}

# counted FILE: the user instructions that cachegrind or callgrind wrote there.
counted() {
    awk '/^summary:/ { all = $2 } END { print all }' "$1"
}
