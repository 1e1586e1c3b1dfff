# shellcheck shell=bash
# Sourced by up and run-cyborg: starting and awaiting processes. Needs lib/env.sh, T0 (when we began) and SELF (for messages).
say() { printf '[%6.1f s] %s\n' "$(echo "$(date +%s.%N) - $T0" | bc)" "$*"; }
die() { echo "$SELF: $*" >&2; exit 1; }
port() { (exec 3<>"/dev/tcp/$IP/$1") 2>/dev/null; }
http() { curl -sf -o /dev/null --noproxy '*' -m 10 "$1"; }
await() { # await SECONDS WHAT COMMAND...
    local n=$1 what=$2 end=$((SECONDS + $1)); shift 2
    while ((SECONDS <= end)); do
        "$@" >/dev/null 2>&1 && return 0
        [ ! -f "$RUN/$what.pid" ] || alive "$what" ||
            die "$what died; the end of $LOG/$what.log: $(tail -n 5 "$LOG/$what.log" | cut -c1-200)"
        sleep 0.2
    done
    die "$what did not come up in $n s; see $LOG"
}
# start NAME CONFIGFILES -- COMMAND... : (re)start unless it runs with this very
# command and these very configuration files
start() {
    local name=$1 conf=$2 sum pid; shift 3
    # shellcheck disable=SC2086 # one word per file
    sum=$( { cat $conf /dev/null 2>/dev/null; printf '%s\n' "$@"; } | sha256sum | cut -c1-16)
    if alive "$name"; then
        [ "$(cat "$RUN/$name.sum" 2>/dev/null)" = "$sum" ] && return 0
        say "configuration of $name changed: restarting it"; stop_one "$name"
    fi
    setsid env -i PATH="$CLEANPATH" HOME=/root LANG=C.UTF-8 "$@" >>"$LOG/$name.log" 2>&1 </dev/null 9>&- &
    pid=$!
    sleep 0.05
    echo "$pid $(starttime "$pid" || true)" > "$RUN/$name.pid"; echo "$sum" > "$RUN/$name.sum"
    STARTED="$STARTED $name"
}
STARTED=""
