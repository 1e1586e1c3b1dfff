# shellcheck shell=bash
# shellcheck source-path=SCRIPTDIR
# Sourced by run-cyborg and second-compute, after lib/env.sh and lib/processes.sh: this checkout, and an agent of it.
ROOT=$(cd "$HERE/../.." && pwd)
# Where the catalogue sends Nova; its path is the API's own.
ADDRESS=${ACCELERATOR_URL#*://}; ADDRESS=${ADDRESS%%/*}
URL=http://$ADDRESS
# A change of the code restarts what runs it, as a change of a command does.
CODE=$(cd "$ROOT" && find apps packages drivers package-lock.json -name node_modules -prune -o -type f \
    -not -name '*.test.ts' -print0 | sort -z | xargs -0 sha256sum | sha256sum | cut -c1-16)
our_cli() { OS_CLIENT_CONFIG_FILE="$OSTB_STATE/clouds.yaml" "$ROOT/bin/cyborg" "$1" --os-cloud testbed-admin "${@:2}"; }
# start_agent HOST FOLDER HYPERVISOR [OPTION...]: enrols it the first time, and waits until the host is up
start_agent() {
    local host=$1 folder=$2 name=cyborg-agent-$1
    [ "$host" != "$OSTB_HOST" ] || name=cyborg-agent
    mkdir -p "$folder"
    if [ ! -s "$folder/join-token" ]; then
        (umask 077; our_cli join-token-create --host "$host" -f value -c token > "$folder/join-token") ||
            { rm -f "$folder/join-token"; die "no join token could be made"; }
    fi
    start "$name" "" -- env CYBORG_LAB_CODE="$CODE" "$ROOT/bin/cyborg-agent" --server "$URL" --state-dir "$folder" \
        --host-name "$host" --node-name "$host" --join-token-file "$folder/join-token" --hypervisor "$3" --instance-interval 1s "${@:4}"
    # shellcheck disable=SC2317 # await calls it
    host_is_up() { our_cli host-show "$host" -f value -c state | grep -qx up; }
    await 60 "$name" host_is_up
}
