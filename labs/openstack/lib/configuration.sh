# shellcheck shell=bash
# shellcheck source-path=SCRIPTDIR
# Sourced by up: the configuration files of all services, and clouds.yaml.
amqp() { echo "rabbit://ostb:$OSTB_PASSWORD@$IP:5672/$OSTB_VHOST"; }
put() { cat > "$1.new"; if cmp -s "$1.new" "$1"; then rm "$1.new"; else mv "$1.new" "$1"; fi; }
authtoken() { cat <<E
[keystone_authtoken]
www_authenticate_uri = http://$IP:5000/v3
$(ksa "$1")
memcached_servers = $IP:11211
service_token_roles = service
service_token_roles_required = true
E
}
ksa() { cat <<E
auth_url = http://$IP:5000/v3
auth_type = password
username = $1
password = $OSTB_PASSWORD
project_name = service
user_domain_name = Default
project_domain_name = Default
region_name = $OSTB_REGION
E
}
mkbin() { # mkbin NAME MODULE CONFIG [CONFIG2] : a command that reads the test bed's configuration
    printf '#!/usr/bin/python3\nimport sys\nfrom %s import main\nsys.argv[1:1] = [%s]\nsys.exit(main())\n' \
        "$2" "\"--config-file\", \"$3\"${4:+, \"--config-file\", \"$4\"}" > "$BIN/$1.new"
    if cmp -s "$BIN/$1.new" "$BIN/$1"; then rm "$BIN/$1.new"; else chmod 755 "$BIN/$1.new"; mv "$BIN/$1.new" "$BIN/$1"; fi
}
rc() { cat <<E
# source this: user $1, project $2
unset \${!OS_*}
export OS_AUTH_URL=http://$IP:5000/v3 OS_IDENTITY_API_VERSION=3 OS_REGION_NAME=$OSTB_REGION
export OS_USERNAME=$1 OS_PASSWORD=$OSTB_PASSWORD OS_PROJECT_NAME=$2
export OS_USER_DOMAIN_NAME=Default OS_PROJECT_DOMAIN_NAME=Default
export OS_COMPUTE_API_VERSION=2.92 OS_PLACEMENT_API_VERSION=1.39
E
}

write_keystone_and_placement() {
put "$ETC/keystone/keystone.conf" <<E
[DEFAULT]
use_stderr = true
[database]
connection = $(db keystone)
[cache]
enabled = true
backend = dogpile.cache.memcached
memcache_servers = $IP:11211
[token]
provider = fernet
expiration = 14400
[fernet_tokens]
key_repository = $ETC/keystone/fernet-keys
[fernet_receipts]
key_repository = $ETC/keystone/fernet-keys
[credential]
key_repository = $ETC/keystone/credential-keys
E
put "$ETC/placement/placement.conf" <<E
[DEFAULT]
use_stderr = true
[api]
auth_strategy = keystone
[placement_database]
connection = $(db placement)
$(authtoken placement)
E
}

write_glance() {
put "$ETC/glance/glance-api-paste.ini" <<E
[pipeline:glance-api-keystone]
pipeline = http_proxy_to_wsgi versionnegotiation authtoken context rootapp
[composite:rootapp]
paste.composite_factory = glance.api:root_app_factory
/: apiversions
/v2: apiv2app
[app:apiversions]
paste.app_factory = glance.api.versions:create_resource
[app:apiv2app]
paste.app_factory = glance.api.v2.router:API.factory
[filter:versionnegotiation]
paste.filter_factory = glance.api.middleware.version_negotiation:VersionNegotiationFilter.factory
[filter:context]
paste.filter_factory = glance.api.middleware.context:ContextMiddleware.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
delay_auth_decision = true
[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware:HTTPProxyToWSGI.factory
E
put "$ETC/glance/glance-api.conf" <<E
[DEFAULT]
use_stderr = true
bind_host = $IP
bind_port = 9292
workers = 0
enabled_backends = file:file
[database]
connection = $(db glance)
[glance_store]
default_backend = file
[file]
filesystem_store_datadir = $OSTB_STATE/glance/images
[os_glance_staging_store]
filesystem_store_datadir = $OSTB_STATE/glance/staging
[os_glance_tasks_store]
filesystem_store_datadir = $OSTB_STATE/glance/tasks
[paste_deploy]
flavor = keystone
config_file = $ETC/glance/glance-api-paste.ini
$(authtoken glance)
E
}

write_nova() {
put "$ETC/nova/api-paste.ini" <<'E'
[composite:osapi_compute]
use = call:nova.api.openstack.urlmap:urlmap_factory
/: oscomputeversions
/v2.1: oscomputeversion_v2
/v2.1/+: openstack_compute_api_v21
[composite:openstack_compute_api_v21]
use = call:nova.api.auth:pipeline_factory_v21
keystone = http_proxy_to_wsgi compute_req_id faultwrap request_log sizelimit authtoken keystonecontext osapi_compute_app_v21
[filter:request_log]
paste.filter_factory = nova.api.openstack.requestlog:RequestLog.factory
[filter:compute_req_id]
paste.filter_factory = nova.api.compute_req_id:ComputeReqIdMiddleware.factory
[filter:faultwrap]
paste.filter_factory = nova.api.openstack:FaultWrapper.factory
[filter:sizelimit]
paste.filter_factory = oslo_middleware:RequestBodySizeLimiter.factory
[filter:http_proxy_to_wsgi]
paste.filter_factory = oslo_middleware.http_proxy_to_wsgi:HTTPProxyToWSGI.factory
[app:osapi_compute_app_v21]
paste.app_factory = nova.api.openstack.compute:APIRouterV21.factory
[pipeline:oscomputeversions]
pipeline = faultwrap request_log http_proxy_to_wsgi oscomputeversionapp
[pipeline:oscomputeversion_v2]
pipeline = compute_req_id faultwrap request_log http_proxy_to_wsgi oscomputeversionapp_v2
[app:oscomputeversionapp]
paste.app_factory = nova.api.openstack.compute.versions:Versions.factory
[app:oscomputeversionapp_v2]
paste.app_factory = nova.api.openstack.compute.versions:VersionsV2.factory
[filter:keystonecontext]
paste.filter_factory = nova.api.auth:NovaKeystoneContext.factory
[filter:authtoken]
paste.filter_factory = keystonemiddleware.auth_token:filter_factory
E
case $NOVA_DRIVER in
    libvirt) driver=libvirt.LibvirtDriver ;;
    fake) driver=fake.FakeDriver ;;
    *) die "NOVA_DRIVER: libvirt or fake" ;;
esac
# not for nova-compute, which must not reach the databases
put "$ETC/nova/nova-db.conf" <<E
[api_database]
connection = $(db nova_api)
[database]
connection = $(db nova)
E
put "$ETC/nova/nova.conf" <<E
[DEFAULT]
use_stderr = true
my_ip = $IP
host = $OSTB_HOST
transport_url = $(amqp)
state_path = $OSTB_STATE/nova
tempdir = $OSTB_STATE/nova/tmp
enabled_apis = osapi_compute
osapi_compute_listen = $IP
osapi_compute_workers = 1
compute_driver = $driver
shutdown_timeout = 10
arq_binding_timeout = $OSTB_ARQ_TIMEOUT
reclaim_instance_interval = $OSTB_RECLAIM_SECONDS
reserved_host_memory_mb = 512
vif_plugging_is_fatal = false
sync_power_state_interval = 60
[wsgi]
api_paste_config = $ETC/nova/api-paste.ini
[oslo_policy]
policy_file = $ETC/nova/policy.yaml
[oslo_concurrency]
lock_path = $OSTB_STATE/nova/tmp
[oslo_messaging_notifications]
driver = messagingv2
[notifications]
notification_format = $OSTB_NOTIFICATION_FORMAT
versioned_notifications_topics = versioned_notifications
notify_on_state_change = vm_and_task_state
[conductor]
workers = 1
[scheduler]
workers = 1
[quota]
instances = -1
cores = -1
ram = -1
[vnc]
enabled = false
[spice]
enabled = false
[glance]
$(ksa nova)
[placement]
$(ksa nova)
[neutron]
endpoint_override = http://$IP:9696
$(ksa nova)
[service_user]
send_service_user_token = true
$(ksa nova)
[cyborg]
region_name = $OSTB_REGION
[libvirt]
virt_type = $OSTB_VIRT_TYPE
connection_uri = qemu:///system
cpu_mode = none
hw_machine_type = x86_64=$OSTB_MACHINE_TYPE
num_pcie_ports = 16
wait_soft_reboot_seconds = 30
images_type = default
[nova_sys_admin]
helper_command = /usr/bin/privsep-helper --config-file $ETC/nova/nova.conf
[vif_plug_ovs_privileged]
helper_command = /usr/bin/privsep-helper --config-file $ETC/nova/nova.conf
[vif_plug_linux_bridge_privileged]
helper_command = /usr/bin/privsep-helper --config-file $ETC/nova/nova.conf
[privsep_osbrick]
helper_command = /usr/bin/privsep-helper --config-file $ETC/nova/nova.conf
$(authtoken nova)
E
[ -f "$ETC/nova/policy.yaml" ] || echo '{}' > "$ETC/nova/policy.yaml"
}

write_commands() {
local s
for s in api scheduler conductor manage; do mkbin nova-$s nova.cmd.$s "$ETC/nova/nova.conf" "$ETC/nova/nova-db.conf"; done
mkbin nova-compute nova.cmd.compute "$ETC/nova/nova.conf"
mkbin glance-api glance.cmd.api "$ETC/glance/glance-api.conf"
mkbin glance-manage glance.cmd.manage "$ETC/glance/glance-api.conf"
mkbin keystone-manage keystone.cmd.manage "$ETC/keystone/keystone.conf"
}

write_clients() {
put "$OSTB_STATE/clouds.yaml" <<E
clouds:
$(for u in admin:admin:admin demo:demo:demo reader:demo-reader:demo alt:alt:alt cyborg:cyborg:service nova:nova:service; do
IFS=: read -r c n pr <<<"$u"; cat <<F
  testbed-$c:
    region_name: $OSTB_REGION
    identity_api_version: 3
    auth:
      auth_url: http://$IP:5000/v3
      username: $n
      password: $OSTB_PASSWORD
      project_name: $pr
      user_domain_name: Default
      project_domain_name: Default
F
done)
E
rc admin admin | put "$OSTB_STATE/openrc"
rc demo demo | put "$OSTB_STATE/openrc.demo"
}

write_configuration() {
    write_keystone_and_placement
    write_glance
    write_nova
    write_commands
    write_clients
}
