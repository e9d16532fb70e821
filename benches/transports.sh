#!/usr/bin/env bash
# User instructions per REGISTER refresh over each transport, and how many times those over UDP, under valgrind: two runs of
# different length, and the difference divided by the difference in length, so that handshakes do not count.
# RUNTIME is tokio, smol or mio. TRANSPORTS, FEW, MANY, USERS, CONNECTIONS, WINDOW set the size. PROFILE=1 prints where the
# last one spends them.
set -euo pipefail
few=${FEW:-2000} many=${MANY:-6000} users=${USERS:-1000} connections=${CONNECTIONS:-64} window=${WINDOW:-64}
runtime=${RUNTIME:-tokio} port=${PORT:-16090}
case $runtime in
    tokio | smol | mio) ;;
    *) echo "RUNTIME is $runtime, and none of tokio, smol, mio" >&2; exit 2 ;;
esac
read -ra transports <<<"${TRANSPORTS:-udp tcp tls ws wss}"
. "$(dirname "${BASH_SOURCE[0]}")/life.sh"
"$target/loadgen" certificate "$work"
tool=(--tool=cachegrind --cache-sim=no)
out=cachegrind
[ -z "${PROFILE:-}" ] || { tool=(--tool=callgrind); out=callgrind; }

port_of() {
    case $1 in
        udp | tcp) echo "$port" ;;
        tls) echo $((port + 1)) ;;
        ws) echo $((port + 2)) ;;
        wss) echo $((port + 3)) ;;
    esac
}

# instructions TRANSPORT N: all user instructions of a server with N measured transactions.
instructions() {
    local transport=$1 n=$2 file=$work/out.$1.$2
    begin "$port" valgrind "${tool[@]}" "--$out-out-file=$file" --error-limit=no \
        "$target/shell" "$runtime" "$port" "$work/cert.pem" "$work/key.pem" 2>/dev/null
    load "127.0.0.1:$(port_of "$transport")" --transport "$transport" --connections "$connections" \
        --authority "$work/cert.pem" --users "$users" --transactions "$n" --window "$window" --patience 60
    finish
    counted "$file"
}

base=
for transport in "${transports[@]}"; do
    a=$(instructions "$transport" "$few")
    b=$(instructions "$transport" "$many")
    each=$(((b - a) / (many - few)))
    base=${base:-$each}
    awk -v runtime="$runtime" -v name="$transport" -v each="$each" -v base="$base" \
        'BEGIN { printf "%-5s %-4s user_instructions=%d times=%.2f\n", runtime, name, each, each / base }'
    [ -z "${PROFILE:-}" ] || callgrind_annotate --threshold=90 "$work/out.$transport.$many" | sed 's/ \[.*//' | head -"${LINES_SHOWN:-70}"
done
