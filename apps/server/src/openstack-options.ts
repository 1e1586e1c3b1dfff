/** Options about the rest of OpenStack: Keystone, and what is found in its catalogue. */
import type { OptionSchema } from '@cyborg/service/option-schema';

const refuseUrl = (value: string): string | undefined =>
  URL.canParse(value) && ['http:', 'https:'].includes(new URL(value).protocol)
    ? undefined
    : 'an http:// or https:// URL, such as https://keystone.example:5000/v3';

export const openStackOptions = {
  keystoneUrl: {
    type: 'string',
    placeholder: 'URL',
    help: 'Keystone as this server reaches it, such as https://keystone.example:5000/v3; needed for --auth keystone, Placement, Nova and Glance',
    refuse: refuseUrl,
  },
  keystonePublicUrl: {
    type: 'string',
    placeholder: 'URL',
    help: 'Keystone as users reach it, named in a 401; unless given, --keystone-url',
    refuse: refuseUrl,
  },
  keystoneUser: {
    type: 'string',
    default: 'cyborg',
    placeholder: 'NAME',
    help: "this server's own user, with the roles admin and service",
  },
  keystonePassword: {
    type: 'string',
    secret: true,
    noFlag: true,
    help: 'its password, unless it is in a file',
  },
  keystonePasswordFile: {
    type: 'path',
    placeholder: 'FILE',
    help: 'file with its password, mode 0600 or 0400; a line end is not part of it',
  },
  keystoneProject: {
    type: 'string',
    default: 'service',
    placeholder: 'NAME',
    help: 'the project in which it has its roles',
  },
  keystoneUserDomain: {
    type: 'string',
    default: 'Default',
    placeholder: 'NAME',
    help: 'domain of the user',
  },
  keystoneProjectDomain: {
    type: 'string',
    default: 'Default',
    placeholder: 'NAME',
    help: 'domain of the project',
  },
  keystoneApplicationCredential: {
    type: 'string',
    placeholder: 'ID',
    help: 'id of an application credential, instead of user, project and password',
  },
  keystoneApplicationCredentialSecret: {
    type: 'string',
    secret: true,
    noFlag: true,
    help: 'its secret, unless it is in a file',
  },
  keystoneApplicationCredentialSecretFile: {
    type: 'path',
    placeholder: 'FILE',
    help: 'file with its secret, mode 0600 or 0400',
  },
  keystoneRegion: {
    type: 'string',
    placeholder: 'NAME',
    help: 'region in the catalogue; needed when there are several',
  },
  keystoneInterface: {
    type: 'enum',
    values: ['public', 'internal', 'admin'],
    default: 'internal',
    help: 'which endpoints of the catalogue this server calls',
  },
  keystoneCa: {
    type: 'path',
    placeholder: 'FILE',
    help: "certificate authorities (PEM) to trust for Keystone and the catalogue's services, instead of the system's",
  },
  keystoneTokenCache: {
    type: 'duration',
    min: 0,
    max: 60,
    default: 60,
    help: 'a valid token is believed for so long without asking Keystone again, so that a revoked one works for so long at most; 0 = ask each time',
  },
  serviceTokenRoles: {
    type: 'list',
    default: ['service'],
    placeholder: 'ROLE',
    help: 'one of these roles makes X-Service-Token a service token',
  },
  placement: {
    type: 'enum',
    values: ['on', 'off'],
    help: 'whether accelerators are written to Placement; unless given, on with --keystone-url',
  },
  placementHotplug: {
    type: 'enum',
    values: ['on', 'off'],
    default: 'off',
    help: 'whether what only our agents plug (virtual accelerators) is written to Placement too, with trait CUSTOM_CYBORG_HOTPLUG_ONLY',
  },
  nova: {
    type: 'enum',
    values: ['on', 'off'],
    help: 'whether Nova is asked for servers and told of binds; unless given, on with --keystone-url',
  },
  novaNotificationsUrl: {
    type: 'string',
    secret: true,
    noFlag: true,
    help: "the RabbitMQ of Nova's versioned notifications (amqp://USER:PASSWORD@HOST:5672/VHOST), unless it is in a file; without it, Nova is asked every 10 s what has changed",
  },
  novaNotificationsUrlFile: {
    type: 'path',
    placeholder: 'FILE',
    help: 'file with that URL, mode 0600 or 0400',
  },
  policyFile: {
    type: 'path',
    placeholder: 'FILE',
    help: "YAML of rules that replace those of the v2 API's policy, as policy.yaml of upstream",
  },
} as const satisfies OptionSchema;
