# Starts the servers that compare.sh and instructions.sh measure; to be sourced. Loopback only.
# start NAME PORT DIR [WRAPPER...]: starts `kamailio` or `strowger` (under a wrapper such as taskset or valgrind), waits
# until it answers, and leaves its process id in $server.

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
target=${CARGO_TARGET_DIR:-$here/../target}
loadgen=$target/release/loadgen

# build: unless BUILT says that it is done.
build() {
    [ -n "${BUILT:-}" ] || cargo build --quiet --release --manifest-path "$here/../Cargo.toml" -p strowger -p strowger-benches
    command -v kamailio >/dev/null || { echo "kamailio is not installed (Debian: apt-get install kamailio)" >&2; exit 2; }
}

start() {
    local name=$1 port=$2 dir=$3
    shift 3
    mkdir -p "$dir"
    case $name in
        kamailio)
            "$@" kamailio -f "${KAMAILIO_CONFIG:-$here/kamailio.cfg}" -DD -E -m 1024 -M 16 -x tlsf -b 4194304 \
                -l "udp:127.0.0.1:$port" -Y "$dir" -w "$dir" -P "$dir/pid" >"$dir/log" 2>&1 &
            ;;
        strowger)
            "$@" "${STROWGER:-$target/release/strowger}" serve -c "${CONFIG:-$here/strowger.toml}" \
                --listen "udp:127.0.0.1:$port" --state-dir "$dir/state" >"$dir/log" 2>&1 &
            ;;
    esac
    server=$!
    for _ in $(seq 300); do
        "$loadgen" run "127.0.0.1:$port" --mode options --users 1 --transactions 1 --patience 1 >/dev/null 2>&1 && return
        kill -0 "$server" 2>/dev/null || break
        sleep 0.1
    done
    echo "$name does not answer on port $port:" >&2
    tail -20 "$dir/log" >&2
    exit 2
}

stop() {
    kill -TERM "$server" 2>/dev/null || true
    wait "$server" 2>/dev/null || true
}

# A value out of a report of the generator.
field() { sed -n "s/.*\b$1=\([0-9.]*\).*/\1/p"; }
