#!/usr/bin/env bash
# Reads every kind of reply with curl, then one more with the same curl. Arguments: port, TLS port, file of the authority,
# kinds.
set -u
port="$1" tls_port="$2" authority="$3" kinds="${4//,/ }"

ask() {
    local way="$1" base="$2" version="$3" method="$4" kind="$5" flags=(-X GET)
    [ "$method" = GET ] || flags=(--head -o /dev/null)
    # The body of the first goes before its status, as that of the second does.
    local said
    said=$(curl -sS --max-time 10 --cacert "$authority" "$version" \
        -w '|%{http_code}\n' "${flags[@]}" "$base/kind/$kind" \
        --next -sS --max-time 10 --cacert "$authority" "$version" \
        -w '|%{http_code}\n' "$base/kind/length" 2>&1) || said="$said curl: $?"
    local first second
    first=$(sed -n 1p <<<"$said") second=$(sed -n 2p <<<"$said")
    echo "$way $method $kind ${first##*|} [${first%|*}] ${second##*|} [${second%|*}]"
}

for kind in $kinds; do
    for method in GET HEAD; do
        ask http/1.0 "http://127.0.0.1:$port" --http1.0 "$method" "$kind" &
        ask http/1.1 "http://127.0.0.1:$port" --http1.1 "$method" "$kind" &
        ask https/1.1 "https://localhost:$tls_port" --http1.1 "$method" "$kind" &
        ask https/2 "https://localhost:$tls_port" --http2 "$method" "$kind" &
        wait
    done
done
