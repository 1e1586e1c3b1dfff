export { consoleRoutes, v3Routes } from '@cyborg/api-spec/routes';
export type { V3OperationName } from '@cyborg/api-spec/routes';
export type { ConsoleSession, SignIn } from '@cyborg/api-spec/console';
