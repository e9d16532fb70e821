#!/usr/bin/env bash
# CPU time per NOTIFY and the time from a PUBLISH to its last NOTIFY, the server against Kamailio (kamailio-presence.cfg)
# on the same traffic in the same run, over loopback UDP: A B A B ..., a fresh server each time. Then user instructions
# per NOTIFY under valgrind, and the server alone with 10,000 subscriptions.
# PAIRS, WATCHERS and PUBLISHES set the size; INSTRUCTIONS=0 leaves valgrind out.
set -euo pipefail
source "$(dirname "$0")/servers.sh"
export CONFIG=$here/strowger-presence.toml KAMAILIO_CONFIG=$here/kamailio-presence.cfg

pairs=${PAIRS:-3} publishes=${PUBLISHES:-100} port=${PORT:-16070}
read -ra sizes <<<"${WATCHERS:-100 1000}"
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
build

# measure SERVER OPTIONS...: one life of a server; prints the report.
measure() {
    local name=$1
    shift
    start "$name" "$port" "$work/$name" taskset -c 0
    taskset -c 1 "$loadgen" watch "127.0.0.1:$port" --pid "$server" "$@" || echo "not clean" >&2
    stop
    rm -rf "${work:?}/$name"
}

for watchers in "${sizes[@]}"; do
    for pair in $(seq "$pairs"); do
        for name in strowger kamailio; do
            echo "watchers=$watchers $pair $name $(measure "$name" --watchers "$watchers" --publishes "$publishes")"
        done
    done
done | tee "$work/runs"
awk '{ split($1, w, "="); for (i = 4; i <= NF; i++) { split($i, f, "="); if (f[1] == "server_us") us[w[2], $3] += f[2] } size[w[2]] }
    END { for (n in size) printf "CPU per NOTIFY at %d watchers, strowger / kamailio: %.2f\n", n, us[n, "strowger"] / us[n, "kamailio"]
          if (("100" in size) && ("1000" in size)) printf "strowger at 1000 watchers / at 100: %.2f\n", us["1000", "strowger"] / us["100", "strowger"] }' "$work/runs"

echo "10,000 subscriptions, one presentity: $(measure strowger --watchers 10000 --publishes 10 --gap 100)"
echo "10,000 subscriptions, 1,000 presentities: $(measure strowger --watchers 10 --presentities 1000 --publishes 2000)"

[ "${INSTRUCTIONS:-1}" = 1 ] || exit 0
# count SERVER PUBLISHES: all user instructions of a life.
count() {
    local dir=$work/$1-$2
    start "$1" "$port" "$dir" valgrind --tool=cachegrind --cache-sim=no "--cachegrind-out-file=$dir/out.%p" --error-limit=no
    "$loadgen" watch "127.0.0.1:$port" --watchers 50 --publishes "$2" --gap 50 --patience 30 >"$dir/report"
    stop
    for _ in $(seq 50); do grep -Lq '^summary:' "$dir"/out.* || break; sleep 0.2; done
    awk '/^summary:/ { all += $2 } END { printf "%d\n", all }' "$dir"/out.*
}
for name in strowger kamailio; do
    a=$(count "$name" 20)
    b=$(count "$name" 60)
    echo "$name watchers=50 user_instructions_per_notify=$(((b - a) / 40 / 50))"
done
