import type { Handler, Input } from '../handler.ts';

export interface CallerView {
  readonly user_id: string;
  readonly user_name: string;
  readonly project_id: string;
  readonly project_name: string;
  readonly roles: readonly string[];
}

export interface CallerHandlers {
  readonly showCaller: Handler<Input, CallerView>;
}

export function makeCallerHandlers(): CallerHandlers {
  return {
    async showCaller({ userId, userName, projectId, projectName, roles }) {
      return {
        user_id: userId,
        user_name: userName,
        project_id: projectId,
        project_name: projectName,
        roles: [...roles].toSorted(),
      };
    },
  };
}
