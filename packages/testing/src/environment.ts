/** The run's PostgreSQL, as a URL of its maintenance role. */
export const postgresUrlVariable = 'CYBORG_TEST_POSTGRES_URL';
/** Why there is none. */
export const postgresFailureVariable = 'CYBORG_TEST_POSTGRES_FAILURE';
