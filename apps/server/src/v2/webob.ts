/**
 * Errors of routing and of version negotiation, as upstream's WebOb writes them: by what the client accepts. The text
 * is then wrapped like every other error.
 */
const titles = {
  404: 'Not Found',
  405: 'Method Not Allowed',
  406: 'Not Acceptable',
} as const;

export type RoutingStatus = keyof typeof titles;

export interface RoutingError {
  readonly status: RoutingStatus;
  readonly method: string;
  readonly detail: string;
}

export function webobText(error: RoutingError, accept: string | undefined): string {
  const { status, detail } = error;
  if (accept !== undefined && /\*\/\*|text\/html/.test(accept)) return htmlText(error, accept);
  if (accept !== undefined && accept.includes('application/json')) {
    return `{"code": ${status}, "title": "${titles[status]}", "description": ${JSON.stringify(detail)}}`;
  }
  return `${status} ${titles[status]}\n\n${plain(bodyOf(error, accept ?? '${HTTP_ACCEPT}'))}`;
}

function htmlText(error: RoutingError, accept: string): string {
  const title = `${error.status} ${titles[error.status]}`;
  const body = bodyOf({ ...error, detail: escapeHtml(error.detail) }, escapeHtml(accept));
  return `<html>\n <head>\n  <title>${title}</title>\n </head>\n <body>\n  <h1>${title}</h1>\n  ${body}\n </body>\n</html>`;
}

/** WebOb's templates, with what it makes of a header that is not there. */
function bodyOf({ status, method, detail }: RoutingError, accept: string): string {
  switch (status) {
    case 404:
      return `The resource could not be found.<br /><br />\n${detail}\n\n`;
    case 405:
      return `The method ${method} is not allowed for this resource. <br /><br />\n${detail}`;
    case 406:
      return `The resource could not be generated that was acceptable to your browser\n(content of type ${accept}. <br /><br />\n${detail}`;
  }
}

/** WebOb's strip_tags. */
function plain(html: string): string {
  return html
    .replaceAll('\n', ' ')
    .replaceAll(/<br.*?>/gi, '\n')
    .replaceAll(/<.*?>/g, '');
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
