#!/usr/bin/env bash
# How long a server takes to answer again after a kill -9: with BINDINGS registrations in its state folder, and with ACCOUNTS
# accounts there, whose Digest credentials the engine holds. Each start is made ROUNDS times; milliseconds from the start of
# the program to the answer to an OPTIONS that is sent as soon as it listens, and the memory it has then.
set -euo pipefail
source "$(dirname "$0")/servers.sh"

port=${PORT:-16060} http=${HTTP_PORT:-16061} bindings=${BINDINGS:-100000} accounts=${ACCOUNTS:-100000} rounds=${ROUNDS:-5}
[ -n "${BUILT:-}" ] || cargo build --quiet --release --manifest-path "$here/../Cargo.toml" -p strowger -p strowger-benches
work=$(mktemp -d)
trap 'kill -9 "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
sed -e 's/^mode = "none"/mode = "write_behind"/' -e "s/^listen = \"off\"/listen = \"127.0.0.1:$http\"/" \
    "$here/strowger.toml" >"$work/bindings.toml"
sed '/^\[auth.policy\]/,/^$/d' "$work/bindings.toml" >"$work/accounts.toml"
echo '[accounts]' >>"$work/accounts.toml"

metric() { exec 3<>"/dev/tcp/127.0.0.1/$http" && printf 'GET /metrics HTTP/1.0\r\n\r\n' >&3 && sed -n "s/^$1 //p" <&3; }

# timed WHAT: starts the server of $CONFIG again and again, each time after a kill.
timed() {
    for _ in $(seq "$rounds"); do
        kill -9 "$server"
        wait "$server" 2>/dev/null || true
        : >"$work/$1/banner"
        local began ended
        began=$(date +%s%N)
        "${STROWGER:-$target/release/strowger}" serve -c "$CONFIG" --listen "udp:127.0.0.1:$port" \
            --state-dir "$work/$1/state" >"$work/$1/banner" 2>"$work/$1/log" &
        server=$!
        # What comes once it listens waits until it looks.
        until grep -q 'To register a softphone' "$work/$1/banner"; do sleep 0.005; done
        "$loadgen" run "127.0.0.1:$port" --mode options --users 1 --transactions 1 --patience 60 >/dev/null
        ended=$(date +%s%N)
        echo "$1=$2 answers_after_ms=$(((ended - began) / 1000000)) cpu_ms=$(awk '{ print ($14 + $15) * 10 }' "/proc/$server/stat") rss_kb=$(awk '/VmRSS/ { print $2 }' "/proc/$server/status")" \
            "registered=$(metric strowger_registered_contacts)"
    done
    kill -9 "$server"
    wait "$server" 2>/dev/null || true
}

export CONFIG=$work/bindings.toml
start strowger "$port" "$work/bindings"
"$loadgen" run "127.0.0.1:$port" --mode new --users "$bindings" --transactions "$bindings" --retransmit
until [ "$(metric strowger_store_committed_total)" -ge "$bindings" ]; do sleep 0.1; done
timed bindings "$bindings"

export CONFIG=$work/accounts.toml
"$target/release/accounts" "$work/accounts/state" "$accounts"
start strowger "$port" "$work/accounts"
timed accounts "$accounts"
