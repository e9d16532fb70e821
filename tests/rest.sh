#!/usr/bin/env bash
# The REST API of the running server against its document, by schemathesis (Python): requests made of users/openapi.json,
# good and bad ones, whose answers must be what it says. About a minute. Without Python's package index there is nothing to do,
# which is a fault only where STROWGER_REQUIRE_CLIENTS=1 says so.
set -euo pipefail
cd "$(dirname "$0")/.."

target=${CARGO_TARGET_DIR:-target}
venv=$target/schemathesis
version=4.32.5
if [ ! -x "$venv/bin/schemathesis" ]; then
    if ! { python3 -m venv "$venv" && "$venv/bin/pip" install --quiet "schemathesis==$version"; }; then
        rm -rf "$venv"
        echo "schemathesis is not to be had: the REST API is not checked against its document" >&2
        [ "${STROWGER_REQUIRE_CLIENTS:-}" != 1 ] || exit 1
        exit 0
    fi
fi
[ -x "$target/debug/strowger" ] || cargo build --locked -p strowger

work=$(mktemp -d)
# By force: told to end, it would wait for the call.
trap 'kill -9 "${phones:-}" "${server:-}" 2>/dev/null || true; rm -rf "$work"' EXIT
cat >"$work/strowger.toml" <<'TOML'
[[domain]]
name = "example.com"
[[listen]]
bind = "udp:127.0.0.1:0"
[accounts]
[auth.policy]
register = "open"
publish = "open"
subscribe = "open"
invite = "open"
[presence]
watchers = "everyone"
[http]
listen = "127.0.0.1:0"
source_rate = 10000
account_rate = 10000
[log]
level = "error"
TOML
"$target/debug/strowger" serve -c "$work/strowger.toml" --state-dir "$work/state" >"$work/banner" 2>"$work/log" &
server=$!
for _ in $(seq 300); do
    grep -q 'To register a softphone' "$work/banner" && break
    kill -0 "$server"
    sleep 0.1
done
url=$(sed -n 's|.*\(http://[^/]*\)/metrics.*|\1|p' "$work/banner")
token=$(python3 - "$url" "$work/state/admin.txt" <<'PYTHON'
import json, sys, urllib.request
login = {"username": "admin", "password": open(sys.argv[2]).read().strip()}
kind = {"Content-Type": "application/json"}
request = urllib.request.Request(sys.argv[1] + "/auth/login", json.dumps(login).encode(), kind)
print(json.load(urllib.request.urlopen(request))["access_token"])
PYTHON
)

# Phones that are registered, watch each other and talk: no list is empty, before and after.
sip=$(sed -n 's|.* udp:\([0-9.]*\):\([0-9]*\).*|\1 \2|p' "$work/banner")
# shellcheck disable=SC2086 # Host and port.
python3 tests/phones.py $sip >&2 &
phones=$!
shown() {
    for _ in $(seq 300); do
        python3 - "$url/metrics" <<'PYTHON' && return
import re, sys, urllib.request
text = urllib.request.urlopen(sys.argv[1]).read().decode()
names = ["registered_contacts", "subscriptions", "publications", "live_calls"]
found = [int(re.search(rf"^strowger_{name} (\d+)$", text, re.M).group(1)) for name in names]
sys.exit(0 in found)
PYTHON
        sleep 0.1
    done
    echo "a list is empty" >&2
    return 1
}
shown

# The same requests in every run.
"$venv/bin/schemathesis" --config-file tests/schemathesis.toml run users/openapi.json --url "$url" --header "Authorization: Bearer $token" \
    --seed 1 --generation-database none --max-examples "${EXAMPLES:-10}" --phases examples,coverage,fuzzing \
    --checks all --no-color "$@"
shown
kill -0 "$server" || { cat "$work/log" >&2; exit 1; }
