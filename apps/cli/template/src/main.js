import { readFileSync } from 'node:fs';

import { defineDriver } from '@cyborg/driver-sdk/define-driver';
import { serve } from '@cyborg/driver-sdk/serve';

import { cardKind } from './card.js';

const manifest = JSON.parse(readFileSync(new URL('../manifest.json', import.meta.url), 'utf8'));
const { id, version, kinds } = manifest;

await serve(defineDriver({ id, version, kinds: { card: cardKind(kinds[0]) } }));
