import { makeOpenApi } from '@cyborg/api-spec/openapi';
import type { OpenApiDocument } from '@cyborg/api-spec/openapi';

let made: OpenApiDocument | undefined;

/** Made when first asked for: most servers are never asked. */
export function apiDocument(): OpenApiDocument {
  made ??= makeOpenApi();
  return made;
}
