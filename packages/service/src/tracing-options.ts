/** Where traces go: the same options for server and agent. */
import type { OptionSchema } from './option-schema.ts';

export const tracingOptions = {
  traceEndpoint: {
    type: 'string',
    placeholder: 'URL',
    help: 'collector of traces that speaks OTLP over HTTP, such as http://127.0.0.1:4318; unless given, nothing is sent',
    refuse: (value) =>
      /^https?:\/\/[^/]/.test(value) && URL.canParse(value)
        ? undefined
        : 'an http:// or https:// URL, such as http://127.0.0.1:4318',
  },
  traceFile: {
    type: 'path',
    placeholder: 'FILE',
    help: 'file to append spans to, a JSON object a line; at 64 MiB it becomes FILE.1, which is then replaced',
  },
  tracePercent: {
    type: 'integer',
    min: 1,
    max: 100,
    default: 100,
    help: 'share of the traces that begin here; one that a caller began is recorded as the caller decided',
  },
} as const satisfies OptionSchema;
