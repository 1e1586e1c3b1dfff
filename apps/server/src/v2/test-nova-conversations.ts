/**
 * What Nova 26.2 asks of the accelerator service, operation by operation, as it was recorded in front of real Nova
 * services (labs/openstack); `evacuate` is read from Nova's code. In the order in which Nova asks.
 *
 * No microversion header, `Accept: *\/*`, the end user's token with Nova's service token. Names in braces are filled in
 * by whoever replays: `{profile}`, `{instance}`, and `{arqs}`, the ids that the last POST answered.
 */
export type NovaService = 'nova-api' | 'nova-conductor' | 'nova-compute';

export interface NovaCall {
  readonly by: NovaService;
  readonly method: 'GET' | 'POST' | 'PATCH' | 'DELETE';
  readonly path: string;
  /** `bind`: hostname, device_rp_uuid and instance_uuid of each of the ARQs, all of a server in one PATCH. */
  readonly body?: 'profile' | 'bind';
  /** Answers that Nova goes on with. */
  readonly codes: readonly number[];
}

export interface NovaConversation {
  readonly operation: string;
  /** What the server has, before and after. */
  readonly before: 'nothing' | 'bound';
  readonly calls: readonly NovaCall[];
  /** What it has afterwards. */
  readonly after: 'nothing' | 'bound';
}

const arqs = '/v2/accelerator_requests';
const readProfile = (by: NovaService): NovaCall => ({
  by,
  method: 'GET',
  path: '/v2/device_profiles?name={profile}',
  codes: [200],
});
const create: NovaCall = {
  by: 'nova-conductor',
  method: 'POST',
  path: arqs,
  body: 'profile',
  codes: [201],
};
const bind: NovaCall = {
  by: 'nova-conductor',
  method: 'PATCH',
  path: arqs,
  body: 'bind',
  codes: [202],
};
const bindRefused: NovaCall = { ...bind, codes: [400, 403, 404, 500, 503] };
const read = (by: NovaService): NovaCall => ({
  by,
  method: 'GET',
  path: `${arqs}?instance={instance}`,
  codes: [200],
});
const deleteOfInstance = (by: NovaService): NovaCall => ({
  by,
  method: 'DELETE',
  path: `${arqs}?instance={instance}`,
  codes: [204],
});
/** Of what is gone already: Nova only logs the 404. */
const deleteArqs = (by: NovaService): NovaCall => ({
  by,
  method: 'DELETE',
  path: `${arqs}?arqs={arqs}`,
  codes: [204, 404],
});

const boot = [readProfile('nova-api'), create, bind];

export const novaConversations: readonly NovaConversation[] = [
  {
    operation: 'create',
    before: 'nothing',
    calls: [...boot, read('nova-compute')],
    after: 'bound',
  },
  {
    operation: 'create that fails after the bind',
    before: 'nothing',
    calls: [
      ...boot,
      read('nova-compute'),
      deleteOfInstance('nova-compute'),
      deleteArqs('nova-compute'),
      deleteOfInstance('nova-conductor'),
      deleteOfInstance('nova-api'),
    ],
    after: 'nothing',
  },
  {
    operation: 'create whose bind is refused',
    before: 'nothing',
    calls: [
      readProfile('nova-api'),
      create,
      bindRefused,
      deleteArqs('nova-conductor'),
      deleteOfInstance('nova-api'),
    ],
    after: 'nothing',
  },
  { operation: 'start', before: 'bound', calls: [read('nova-compute')], after: 'bound' },
  { operation: 'soft reboot', before: 'bound', calls: [read('nova-compute')], after: 'bound' },
  { operation: 'hard reboot', before: 'bound', calls: [read('nova-compute')], after: 'bound' },
  {
    operation: 'rebuild',
    before: 'bound',
    calls: [read('nova-conductor'), read('nova-compute')],
    after: 'bound',
  },
  {
    operation: 'shelve',
    before: 'bound',
    calls: [read('nova-api'), deleteOfInstance('nova-compute')],
    after: 'nothing',
  },
  {
    operation: 'unshelve',
    before: 'nothing',
    calls: [readProfile('nova-conductor'), create, bind, read('nova-compute')],
    after: 'bound',
  },
  {
    operation: 'evacuate',
    before: 'bound',
    calls: [deleteOfInstance('nova-conductor'), create, bind, read('nova-compute')],
    after: 'bound',
  },
  {
    operation: 'delete',
    before: 'bound',
    calls: [deleteOfInstance('nova-compute')],
    after: 'nothing',
  },
  {
    operation: 'delete of a server whose host is down',
    before: 'bound',
    calls: [deleteOfInstance('nova-api')],
    after: 'nothing',
  },
];

/** What a request is when Nova reads it; nothing else of the conversation depends on it. */
export type ReadState = 'BindStarted' | 'Bound';

export type SlowStep =
  | { readonly call: NovaCall; readonly state?: ReadState }
  /** The event that Nova gets of each request, and takes. */
  | { readonly event: 'completed' };

/** Recorded as `boot-async-bind-and-delete`: the bind goes on after the answer of its PATCH; then the server is deleted. */
export const bootWithSlowBind: readonly SlowStep[] = [
  ...boot.map((call) => ({ call })),
  { call: read('nova-compute'), state: 'BindStarted' },
  { event: 'completed' },
  { call: read('nova-compute'), state: 'Bound' },
  { call: deleteOfInstance('nova-compute') },
];
