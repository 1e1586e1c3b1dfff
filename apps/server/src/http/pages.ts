/** The few pages of HTML that the server itself has: no scripts, nothing from elsewhere. */
import { apiDocument } from './openapi.ts';

const contentSecurityPolicy =
  "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

export const pageHeaders = {
  'content-type': 'text/html; charset=utf-8',
  'content-security-policy': contentSecurityPolicy,
  'referrer-policy': 'no-referrer',
} as const;

const style = `
:root { color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif; }
body { max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
code, pre { font-family: ui-monospace, monospace; font-size: 0.9em; }
summary { cursor: pointer; padding: 0.25rem 0; }
summary b { display: inline-block; min-width: 4.5rem; }
details details { margin-left: 1rem; }
pre { overflow-x: auto; padding: 0.75rem; border: 1px solid; border-radius: 4px; }
`;

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title>
<style>${style}</style>
</head>
<body>
<main>
${body}
</main>
</body>
</html>
`;
}

export const noConsolePage = page(
  'Cyborg',
  `<h1>Cyborg</h1>
<p>This server has no built console: run <code>npm run build:console</code> where it was started from, or use the
command line, <code>cyborg --help</code>, or the <a href="/v3/docs">v3 API</a>.</p>`,
);

/** The OpenAPI document for reading: one fold per operation and per schema. */
export function docsPage(): string {
  const { paths, components, info } = apiDocument();
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => operationFold(path, method, operation)),
  );
  const schemas = Object.entries(components.schemas).map(
    ([name, schema]) =>
      `<details id="${escapeHtml(name)}"><summary>${escapeHtml(name)}</summary>${json(schema)}</details>`,
  );
  return page(
    info.title,
    `<h1>${escapeHtml(info.title)}</h1>
<p>${escapeHtml(info.description)} The document itself: <a href="/v3/openapi.json">openapi.json</a>.</p>
<h2>Operations</h2>
${operations.join('\n')}
<h2>Schemas</h2>
${schemas.join('\n')}`,
  );
}

function operationFold(
  path: string,
  method: string,
  operation: { summary: string; description?: string },
): string {
  const { summary, description = '', ...rest } = operation;
  return `<details><summary><b>${method.toUpperCase()}</b> <code>${escapeHtml(path)}</code> ${escapeHtml(summary)}</summary>
<p>${escapeHtml(description)}</p>${json(rest)}</details>`;
}

function json(value: unknown): string {
  return `<pre>${escapeHtml(JSON.stringify(value, null, 2))}</pre>`;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
