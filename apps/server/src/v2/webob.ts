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
  if (accept !== undefined && /\*\/\*|text\/html/.test(accept)) return htmlText(error);
  if (accept !== undefined && accept.includes('application/json')) {
    return `{"code": ${status}, "title": "${titles[status]}", "description": ${JSON.stringify(detail)}}`;
  }
  return `${status} ${titles[status]}\n\n${plain(bodyOf(error))}`;
}

function htmlText(error: RoutingError): string {
  const title = `${error.status} ${titles[error.status]}`;
  const body = bodyOf({ ...error, detail: escapeHtml(error.detail) });
  return `<html>\n <head>\n  <title>${title}</title>\n </head>\n <body>\n  <h1>${title}</h1>\n  ${body}\n </body>\n</html>`;
}

function bodyOf({ status, method, detail }: RoutingError): string {
  if (status === 405) {
    return `The method ${method} is not allowed for this resource. <br /><br />\n${detail}`;
  }
  const explanation = status === 404 ? 'The resource could not be found.' : '';
  return `${explanation}<br /><br />\n${detail}\n\n`;
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
