/** Program images and firmware, and writing them into cards. */
import Type, { type Static } from 'typebox';

import {
  DryRunSchema,
  IdempotencyHeaders,
  UuidSchema,
  closed,
  dryRunQuery,
  problems,
} from '../common.ts';
import { v3Routes } from '../routes.ts';
import { OperationSchema } from './operations.ts';

const Sha256Schema = Type.String({
  pattern: '^[0-9a-f]{64}$',
  description: 'What the image must have, in hexadecimal; with another one nothing is written.',
});

export const ProgramUploadSchema = Type.Object({
  id: UuidSchema,
  name: Type.String(),
  sha256: Type.String(),
  size_bytes: Type.Integer(),
});
export type ProgramUpload = Static<typeof ProgramUploadSchema>;

export const programOperations = {
  uploadProgram: {
    ...v3Routes.uploadProgram,
    action: 'accelerator:program',
    schema: {
      summary: 'Upload a program image or firmware',
      description:
        'The body is the image itself (`application/octet-stream`), up to 256 MiB. The same bytes are kept once, for an hour after their last use.',
      querystring: Type.Object(
        {
          name: Type.Optional(
            Type.String({ minLength: 1, maxLength: 255, pattern: '^[^\\u0000-\\u001f]+$' }),
          ),
          sha256: Type.Optional(Sha256Schema),
          ...dryRunQuery,
        },
        closed,
      ),
      headers: IdempotencyHeaders,
      body: Type.Unsafe<AsyncIterable<Uint8Array>>({
        contentMediaType: 'application/octet-stream',
      }),
      response: { 200: DryRunSchema, 201: ProgramUploadSchema, ...problems },
    },
  },
  programAccelerator: {
    ...v3Routes.programAccelerator,
    action: 'accelerator:program',
    schema: {
      summary: 'Have the driver write a program image or firmware into the card of an accelerator',
      description:
        'Every accelerator of the card is out until it is written; refused (`in-use`) while somebody holds one of them. ' +
        'When the writing fails they are withheld, with the reason, until another image was written.',
      params: Type.Object({ id: UuidSchema }, closed),
      querystring: Type.Object(dryRunQuery, closed),
      headers: IdempotencyHeaders,
      body: Type.Object(
        {
          image_id: Type.Optional(
            Type.String({ ...UuidSchema, description: 'Of an image in Glance.' }),
          ),
          upload_id: Type.Optional(
            Type.String({ ...UuidSchema, description: 'Of an image that was uploaded.' }),
          ),
          sha256: Type.Optional(Sha256Schema),
        },
        closed,
      ),
      response: { 200: DryRunSchema, 202: OperationSchema, ...problems },
    },
  },
} as const;
