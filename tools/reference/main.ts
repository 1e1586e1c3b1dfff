/** `npm run generate`, its second half: the reference pages that are made from the code. A test says when one is behind. */
import { writeFileSync } from 'node:fs';

import { pages } from './pages.ts';

for (const { file, text } of await pages()) {
  writeFileSync(file, text);
  console.error(`wrote ${file}`);
}
