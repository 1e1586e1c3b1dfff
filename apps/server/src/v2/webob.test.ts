import { describe, it } from 'vitest';

import { webobText } from './webob.ts';

const detail = 'Version 2.4 was <requested>';

/** What WebOb 1.8 writes of its own exceptions. */
const written = [
  [
    { status: 404, method: 'GET', detail: '' },
    undefined,
    '404 Not Found\n\nThe resource could not be found.\n\n   ',
  ],
  [
    { status: 405, method: 'POST', detail: '' },
    undefined,
    '405 Method Not Allowed\n\nThe method POST is not allowed for this resource. \n\n ',
  ],
  [
    { status: 406, method: 'GET', detail: 'Version 2.4' },
    undefined,
    '406 Not Acceptable\n\nThe resource could not be generated that was acceptable to your browser (content of type ${HTTP_ACCEPT}. \n\n Version 2.4',
  ],
  [
    { status: 406, method: 'GET', detail },
    'application/json',
    '{"code": 406, "title": "Not Acceptable", "description": "Version 2.4 was <requested>"}',
  ],
  [
    { status: 406, method: 'GET', detail },
    'text/html',
    '<html>\n <head>\n  <title>406 Not Acceptable</title>\n </head>\n <body>\n  <h1>406 Not Acceptable</h1>\n  The resource could not be generated that was acceptable to your browser\n(content of type text/html. <br /><br />\nVersion 2.4 was &lt;requested&gt;\n </body>\n</html>',
  ],
  [
    { status: 404, method: 'GET', detail: '' },
    '*/*',
    '<html>\n <head>\n  <title>404 Not Found</title>\n </head>\n <body>\n  <h1>404 Not Found</h1>\n  The resource could not be found.<br /><br />\n\n\n\n </body>\n</html>',
  ],
] as const;

describe('an error of routing', () => {
  it.for(written)(
    'is written as WebOb does: %j accepting %s',
    ([error, accept, text], { expect }) => {
      expect(webobText(error, accept)).toBe(text);
    },
  );
});
