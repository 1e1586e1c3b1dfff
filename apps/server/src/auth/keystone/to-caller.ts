import { isRole, resolveRoles } from '@cyborg/model/caller';
import type { Caller } from '@cyborg/model/caller';
import { ServiceError } from '@cyborg/model/errors';
import type { Token } from '@cyborg/openstack/keystone/token';

/** @throws {ServiceError} `forbidden` for a token that is not of a project. */
export function toCaller(
  { user, project, scope, roles }: Token,
  isServiceRequest: boolean,
): Caller {
  if (project === undefined) {
    const what = scope === 'none' ? 'of no project' : `of the ${scope}`;
    throw new ServiceError(
      'forbidden',
      `This token is ${what}: ask Keystone for one of a project (set OS_PROJECT_NAME, unset OS_SYSTEM_SCOPE).`,
    );
  }
  return {
    userId: user.id,
    userName: user.name,
    projectId: project.id,
    projectName: project.name,
    roles: resolveRoles(roles.map((role) => role.toLowerCase()).filter(isRole)),
    roleNames: new Set(roles),
    isServiceRequest,
  };
}
