/** Every option of the agent: flag, `CYBORG_AGENT_*` variable and key of the configuration file, from one schema. */
import { signaturePolicies } from '@cyborg/driver-package/signature';
import { logLevels } from '@cyborg/service/logging';
import { tracingOptions } from '@cyborg/service/tracing-options';
import { defineProgram, type OptionsOf } from '@cyborg/service/option-schema';
import { parseListen } from './metrics/listener.ts';

/** Of `--metrics-listen`. */
export const noMetrics = 'none';
export const metricsDefault = '127.0.0.1:6681';

const slugPattern = /^[A-Za-z0-9]([A-Za-z0-9._-]{0,61}[A-Za-z0-9])?$/;

export const agentProgram = defineProgram({
  name: 'cyborg-agent',
  environmentPrefix: 'CYBORG_AGENT_',
  summary:
    'Runs the agent of this host: drivers, inventories, attaching and detaching. (`cyborg-agent discover --help`: look at the hardware once, without a server.)',
  options: {
    server: {
      type: 'string',
      required: true,
      placeholder: 'URL',
      help: 'where the server is, such as http://127.0.0.1:6680',
      refuse: (value) => (/^https?:\/\/./.test(value) ? undefined : 'an http:// or https:// URL'),
    },
    caFile: { type: 'path', placeholder: 'FILE', help: 'authority (PEM) to trust for the server' },
    stateDir: {
      type: 'path',
      default: '/var/lib/cyborg-agent',
      placeholder: 'DIR',
      help: 'where the credential and caches are kept',
    },
    joinToken: { type: 'string', secret: true, placeholder: 'TOKEN', help: 'enrols this host' },
    joinTokenFile: { type: 'path', placeholder: 'FILE', help: 'file with the join token' },
    hostName: {
      type: 'string',
      placeholder: 'NAME',
      help: 'what the host is called (default: the machine’s host name)',
      refuse: (value) =>
        slugPattern.test(value)
          ? undefined
          : '1 to 63 letters, digits, dots, dashes or underscores',
    },
    nodeName: {
      type: 'string',
      placeholder: 'NAME',
      help: 'what the hypervisor calls the host (default: the machine’s host name)',
    },
    hypervisor: {
      type: 'enum',
      values: ['qemu', 'libvirt', 'simulated', 'none'],
      default: 'qemu',
      help: 'what runs the instances of this host',
    },
    qmpDir: {
      type: 'path',
      default: '/run/cyborg/qmp',
      placeholder: 'DIR',
      help: 'folder with the QMP sockets of the QEMU processes',
    },
    libvirtUri: {
      type: 'string',
      default: 'qemu:///system',
      placeholder: 'URI',
      help: 'which libvirt has the domains, when --hypervisor is libvirt; beside nova-compute: its connection_uri',
      refuse: (value) =>
        /^[a-z][a-z0-9+]*:\/\/\S*$/.test(value) ? undefined : 'a URI such as qemu:///system',
    },
    simulated: {
      type: 'boolean',
      default: false,
      help: 'the hardware is a recorded tree: privileged acts succeed without touching anything',
    },
    simulatedInstances: {
      type: 'path',
      placeholder: 'FILE',
      help: 'JSON list of the instances a simulated hypervisor starts with ({"name", "state", "project_id"})',
    },
    simulatedDir: {
      type: 'path',
      placeholder: 'DIR',
      help: 'where a simulated hypervisor keeps its instances (default: in the state directory)',
    },
    sysfsRoot: { type: 'path', default: '/sys', placeholder: 'DIR', help: 'the sysfs tree' },
    procRoot: { type: 'path', default: '/proc', placeholder: 'DIR', help: 'the proc tree' },
    devRoot: { type: 'path', default: '/dev', placeholder: 'DIR', help: 'the folder of devices' },
    driversDir: {
      type: 'list',
      default: [],
      placeholder: 'DIR',
      help: 'folders with drivers that need no download, besides the built-in ones',
    },
    loadModule: {
      type: 'list',
      default: [],
      placeholder: 'MODULE',
      help: 'kernel modules that the agent may load when a driver needs them, and takes out again when nobody uses them',
      refuse: (value) =>
        /^[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$/.test(value)
          ? undefined
          : 'the name of a module, such as vfio-pci',
    },
    driverKey: {
      type: 'list',
      default: [],
      placeholder: 'FILE',
      help: 'public keys (PEM, ed25519) whose driver packages may be started; read at start',
    },
    driverSignatures: {
      type: 'enum',
      values: signaturePolicies,
      default: 'require',
      help: 'require: start no driver package that none of these keys has signed; warn: others too, with a warning in the log',
    },
    inventoryInterval: {
      type: 'duration',
      min: 1,
      max: 86_400,
      default: 60,
      help: 'time between two looks at the hardware',
    },
    instanceInterval: {
      type: 'duration',
      min: 0.1,
      max: 3600,
      default: 5,
      help: 'time between two looks at the instances when nothing stirs',
    },
    attachDeadline: {
      type: 'duration',
      min: 1,
      max: 3600,
      default: 120,
      help: 'an attach that does not succeed within this has failed',
    },
    stopGrace: {
      type: 'duration',
      min: 0,
      max: 600,
      default: 10,
      help: 'time for acts in flight when the agent is stopped',
    },
    patience: {
      type: 'integer',
      min: 1,
      max: 20,
      default: 1,
      help: 'factor on the time that drivers and privileged acts have; more than 1 on an emulated or overloaded machine',
    },
    metricsListen: {
      type: 'string',
      placeholder: 'ADDRESS:PORT',
      help: `where /metrics is served, over plain HTTP and to everybody who can reach it: anything but loopback only in a network that you trust; ${noMetrics} = nowhere (default: ${metricsDefault}, with --simulated ${noMetrics})`,
      refuse: (value) =>
        value === noMetrics || parseListen(value) !== undefined
          ? undefined
          : `an address and a port, such as ${metricsDefault} or [::1]:6681, or ${noMetrics}`,
    },
    ...tracingOptions,
    logLevel: { type: 'enum', values: logLevels, default: 'info', help: 'how much is said' },
    logFormat: {
      type: 'enum',
      values: ['json', 'lines'],
      default: 'json',
      help: 'JSON objects, or lines for a person',
    },
  },
});

export type AgentOptions = OptionsOf<typeof agentProgram.options>;

/** A machine's host name as a host is called here. */
export function toHostName(machineName: string): string {
  const name = machineName
    .replaceAll(/[^A-Za-z0-9._-]/g, '-')
    .slice(0, 63)
    .replaceAll(/^[^A-Za-z0-9]+|[^A-Za-z0-9]+$/g, '');
  return name === '' ? 'host' : name;
}
