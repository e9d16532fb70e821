#!/usr/bin/env bash
# What a newcomer does in a fresh clone, with real clients: `cargo run --release`, and phones register.
# Without arguments and without a file, baresip registers with a demo account by Digest. With a file (STROWGER_CONFIG), a token
# of POST /auth/login registers as Bearer, and SIPp registers 10,000 users. /metrics says each time who is registered.
# It takes the ports that a newcomer has, 5060 and 9060; PORT=5070 HTTP=9070 tests/first.sh takes others.
# Without baresip, SIPp and Python there is nothing to do, which is a fault only where STROWGER_REQUIRE_CLIENTS=1 says so.
set -euo pipefail
cd "$(dirname "$0")/.."

for client in baresip sipp python3; do
    if ! command -v "$client" >/dev/null; then
        echo "skipped: $client is not installed" >&2
        [ "${STROWGER_REQUIRE_CLIENTS:-}" != 1 ] || exit 1
        exit 0
    fi
done

users=10000
sip=127.0.0.1:${PORT:-5060} http=http://127.0.0.1:${HTTP:-9060}
arguments=()
[ -z "${PORT:-}" ] || arguments+=(--listen "udp:$sip" --listen "tcp:$sip")
[ -z "${HTTP:-}" ] || arguments+=(--http "127.0.0.1:$HTTP")
unset STROWGER_CONFIG STROWGER_LOG

work=$(mktemp -d)
server='' phone=''
stop() {
    for pid in $phone $server; do
        kill "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    phone='' server=''
}
trap 'stop; rm -rf "$work"' EXIT
fail() {
    echo "$*" >&2
    tail -n 30 "$work"/*log >&2
    exit 1
}

cargo build --release --locked
# Waits until the server is up. Nothing is to be built any more, so that the process is the server.
start() {
    cargo run --release --locked --quiet ${arguments[0]+-- "${arguments[@]}"} >"$work/banner" 2>"$work/log" &
    server=$!
    for _ in $(seq 300); do
        ! grep -q 'To register a softphone' "$work/banner" || return 0
        kill -0 "$server" 2>/dev/null || fail "the server did not start"
        sleep 0.1
    done
    fail "the server is not up after 30 seconds"
}
# Waits until so many addresses of record are registered.
registered() {
    local now=
    for _ in $(seq 300); do
        now=$(python3 -c 'import sys, urllib.request; print(urllib.request.urlopen(sys.argv[1]).read().decode())' "$http/metrics" |
            sed -n 's/^strowger_registered_aors //p')
        [ "$now" != "$1" ] || { echo "ok: $2 (strowger_registered_aors $now)"; return 0; }
        sleep 0.1
    done
    fail "$2: strowger_registered_aors is $now, and not $1"
}

export STROWGER_STATE_DIR=$work/first
start
registered 0 "cargo run --release ${arguments[*]-}"
password=$(sed -n '/"1001"/,/password/s/^password = "\(.*\)"$/\1/p' "$work/first/accounts.toml")
mkdir "$work/baresip"
modules=$(dirname "$(find /usr/lib /usr/lib64 /usr/local/lib -path '*baresip/modules/account.so' 2>/dev/null | head -n 1)")
printf 'module_path %s\nsip_listen 127.0.0.1:0\nnet_interface 127.0.0.1\nmodule g711.so\nmodule_app account.so\nmodule_app menu.so\n' \
    "$modules" >"$work/baresip/config"
echo "<sip:1001@127.0.0.1>;auth_pass=$password;outbound=\"sip:$sip;transport=udp\";regint=600" >"$work/baresip/accounts"
touch "$work/baresip/contacts"
# Its terminal wants a standard input that stays open.
mkfifo "$work/stdin"
exec 3<>"$work/stdin"
baresip -f "$work/baresip" <&3 >"$work/baresip.log" 2>&1 &
phone=$!
registered 1 "baresip registered by Digest"
stop

# Tokens over UDP are for a test: phones bring them over TLS.
export STROWGER_STATE_DIR=$work/second STROWGER_CONFIG=$work/strowger.toml
{
    printf '[[domain]]\nname = "example.com"\naliases = ["127.0.0.1"]\n[accounts]\n[auth.digest]\nalgorithms = ["MD5"]\n'
    printf '[auth.jwt]\nallow_cleartext = true\nauthz_server = "https://login.example.com/"\n[log]\nlevel = "warn"\n'
    seq -f '%05.0f' 0 $((users - 1)) | sed 's/.*/[[account]]\nusername = "u&"\npassword = "secret&"/'
} >"$STROWGER_CONFIG"
echo 'carols secret' | cargo run --release --locked --quiet -- user add carol --password-file - >"$work/desk.log" 2>&1 ||
    fail "no account"
start
python3 - "$http" "$sip" <<'PYTHON' || fail "no Bearer"
import json, socket, sys, time, urllib.request
login = json.dumps({"username": "carol", "password": "carols secret"}).encode()
request = urllib.request.Request(sys.argv[1] + "/auth/login", login, {"Content-Type": "application/json"})
token = json.load(urllib.request.urlopen(request))["access_token"]
host, port = sys.argv[2].split(":")
phone = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
phone.connect((host, int(port)))
phone.settimeout(1)
me = "%s:%d" % phone.getsockname()
def register(number, bearer):
    text = f"""REGISTER sip:example.com SIP/2.0
Via: SIP/2.0/UDP {me};branch=z9hG4bK{number};rport
Max-Forwards: 70
From: <sip:carol@example.com>;tag=first
To: <sip:carol@example.com>
Call-ID: first
CSeq: {number} REGISTER
Contact: <sip:carol@{me}>
Authorization: Bearer {bearer}
Content-Length: 0

"""
    for _ in range(10):
        phone.send(text.replace("\n", "\r\n").encode())
        try:
            return phone.recv(65536).decode().split("\r\n")[0]
        except socket.timeout:
            pass
# The server reads its keys a moment after it has started.
for number in range(1, 100, 2):
    good = register(number, token)
    if good.startswith("SIP/2.0 200 "):
        break
    time.sleep(0.1)
head, body, signature = token.split(".")
forged = register(200, f"{head}.{body}.{'A' * len(signature)}")
assert forged.startswith("SIP/2.0 401 ") and good.startswith("SIP/2.0 200 "), (forged, good)
PYTHON
registered 1 "a Bearer REGISTER was accepted"

{
    echo SEQUENTIAL
    seq -f '%05.0f' 0 $((users - 1)) | sed 's/.*/u&;[authentication username=u& password=secret&]/'
} >"$work/users.csv"
scenario=$PWD/server/tests/interop/scenarios/digest.xml
(cd "$work" && sipp "$sip" -sf "$scenario" -inf users.csv -i 127.0.0.1 -t u1 -nostdin -trace_err -error_file errors.log \
    -m "$users" -r 2000 -l 2000 -timeout 200 -timeout_error -recv_timeout 60000 -buff_size 4194304 </dev/null >sipp.log 2>&1) ||
    fail "SIPp failed"
registered $((users + 1)) "SIPp registered $users users"
