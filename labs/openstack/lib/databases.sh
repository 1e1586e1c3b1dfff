# shellcheck shell=bash
# Sourced by up: databases, their schemas, the message bus. Needs lib/env.sh, lib/processes.sh
# and IS_FRESH (nothing that is there is to be kept).
sql() { mysql --protocol=socket -uroot -N -B "$@"; }
db() { echo "mysql+pymysql://ostb:$OSTB_PASSWORD@$IP/${OSTB_DB_PREFIX}$1?charset=utf8"; }
mkdb() { sql -e "CREATE DATABASE IF NOT EXISTS ${OSTB_DB_PREFIX}$1 CHARACTER SET utf8mb3;
  GRANT ALL ON ${OSTB_DB_PREFIX}$1.* TO 'ostb'@'localhost' IDENTIFIED BY '$OSTB_PASSWORD';
  GRANT ALL ON ${OSTB_DB_PREFIX}$1.* TO 'ostb'@'127.0.0.1' IDENTIFIED BY '$OSTB_PASSWORD';"; }
has_table() { [ "$(sql -e "select count(*) from information_schema.tables
  where table_schema='${OSTB_DB_PREFIX}$1' and table_name='$2'")" = 1 ]; }

syncfail=$RUN/syncfail
bg() { ( "$@" >>"$LOG/setup-$1.log" 2>&1 9>&- || echo "$1" >>"$syncfail" ) & }
once() { [ -e "$OSTB_STATE/done/$1" ]; }
s_keystone() {
    [ -d "$ETC/keystone/fernet-keys" ] || { mkdir -m 700 "$ETC/keystone/fernet-keys" "$ETC/keystone/credential-keys"
        "$BIN/keystone-manage" fernet_setup --keystone-user root --keystone-group root
        "$BIN/keystone-manage" credential_setup --keystone-user root --keystone-group root; } || return 1
    printf 'flush_all\r\nquit\r\n' | (exec 3<>/dev/tcp/$IP/11211; cat >&3; cat <&3) || true
    "$BIN/keystone-manage" db_sync &&
    "$BIN/keystone-manage" bootstrap --bootstrap-password "$OSTB_PASSWORD" --bootstrap-region-id "$OSTB_REGION" \
        --bootstrap-public-url http://$IP:5000/v3 --bootstrap-internal-url http://$IP:5000/v3 \
        --bootstrap-admin-url http://$IP:5000/v3 && touch "$OSTB_STATE/done/keystone"
}
s_placement() { /usr/bin/placement-manage --config-file "$ETC/placement/placement.conf" db sync && touch "$OSTB_STATE/done/placement"; }
s_glance() { "$BIN/glance-manage" db_sync && touch "$OSTB_STATE/done/glance"; }
s_nova() {
    "$BIN/nova-manage" api_db sync &&
    "$BIN/nova-manage" cell_v2 map_cell0 --database_connection "$(db nova_cell0)" &&
    "$BIN/nova-manage" db sync &&
    { "$BIN/nova-manage" cell_v2 list_cells | grep -q ' cell1 ' ||
      "$BIN/nova-manage" cell_v2 create_cell --name cell1; } && touch "$OSTB_STATE/done/nova"
}
s_rabbit() {
    local left
    for ((left = 60; left > 0; left--)); do rabbitmqctl -q await_startup --timeout 60 && break; sleep 0.5; done
    if [ -n "$IS_FRESH" ]; then rabbitmqctl -q delete_vhost "$OSTB_VHOST" || true; rabbitmqctl -q delete_user ostb || true; fi
    rabbitmqctl -q list_vhosts | grep -qx "$OSTB_VHOST" || rabbitmqctl -q add_vhost "$OSTB_VHOST" || return 1
    rabbitmqctl -q list_users | grep -q '^ostb	' || rabbitmqctl -q add_user ostb "$OSTB_PASSWORD" || return 1
    rabbitmqctl -q set_permissions -p "$OSTB_VHOST" ostb '.*' '.*' '.*' || return 1
    # what nobody consumes must not grow without end
    rabbitmqctl -q set_policy -p "$OSTB_VHOST" notifications '^(versioned_)?notifications\.' \
        '{"max-length":5000}' --apply-to queues && touch "$OSTB_STATE/done/rabbit"
}

make_databases() {
    if [ -n "$IS_FRESH" ]; then
        for d in keystone placement glance nova_api nova nova_cell0; do sql -e "DROP DATABASE IF EXISTS ${OSTB_DB_PREFIX}$d"; done
    fi
    for d in keystone placement glance nova_api nova nova_cell0; do mkdb "$d"; done
    has_table keystone project || rm -f "$OSTB_STATE"/done/{keystone,provision1}
    if ! has_table nova_api cell_mappings || ! has_table nova services; then rm -f "$OSTB_STATE"/done/{nova,cell}; fi
    has_table placement resource_providers || rm -f "$OSTB_STATE"/done/placement
    has_table glance images || rm -f "$OSTB_STATE"/done/{glance,provision2}
}

rabbit_answers() {
    timeout 20 /usr/bin/python3 -c '
import sys, kombu
kombu.Connection(sys.argv[1].replace("rabbit:", "amqp:"), connect_timeout=5).connect()' "$(amqp)" 2>/dev/null
}
KEYSTONE_JOB="" OTHER_JOBS=""
# In the background: KEYSTONE_JOB and OTHER_JOBS are to be awaited.
make_schemas() {
    rm -f "$syncfail"
    if ! port 5672 || ! once rabbit || ! rabbit_answers; then bg s_rabbit; OTHER_JOBS="$OTHER_JOBS $!"; fi
    once keystone || { bg s_keystone; KEYSTONE_JOB=$!; }
    once nova || { bg s_nova; OTHER_JOBS="$OTHER_JOBS $!"; }
    once placement || { bg s_placement; OTHER_JOBS="$OTHER_JOBS $!"; }
    once glance || { bg s_glance; OTHER_JOBS="$OTHER_JOBS $!"; }
}
check_schemas() {
    [ ! -e "$syncfail" ] || die "set-up failed: $(tr '\n' ' ' <"$syncfail"); see $LOG/setup-*.log"
}
