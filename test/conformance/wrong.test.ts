/** Each wrong driver fails on the clause that it breaks, and on no other: the kit sees what it should. */
import { globSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readPackage } from '@cyborg/driver-host/catalogue';
import { clauses, type ClauseId } from '@cyborg/driver-test/clauses';
import { textOf } from '@cyborg/driver-test/report';
import { afterAll, describe, it } from 'vitest';
import { kitTimeoutMs, runKit } from './run-kit.ts';

const folder = join(import.meta.dirname, 'wrong-drivers');
const clauseIds = Object.keys(clauses).filter((id): id is ClauseId => id in clauses);
const caught: string[] = [];

describe.concurrent(
  'a wrong driver fails on its clause and on no other',
  { timeout: kitTimeoutMs },
  () => {
    it('is there for each clause', ({ expect }) => {
      const files = globSync('D-*.ts', { cwd: folder }).map((file) => basename(file, '.ts'));
      expect(new Set(files)).toEqual(new Set(clauseIds));
    });

    it.for(clauseIds)('%s', async (clause, { expect }) => {
      const main = join(folder, `${clause}.ts`);
      const report = await runKit({ ...(await readPackage(folder)), main }, [clause]);
      const failed = report.clauses.filter(({ outcome }) => outcome === 'failed');
      const names = failed.map((one) => one.clause);
      expect(names, `${readFileSync(main, 'utf8')}\n${textOf(report)}`).toEqual([clause]);
      caught.push(clause);
    });

    it('one whose discover fails by itself fails once, with what it wrote to stderr', async ({
      expect,
    }) => {
      const main = join(folder, 'raises.ts');
      const others = ['D-INIT-3', 'D-INIT-4', 'D-ASK-1', 'D-NOTE-1', 'D-LIM-1'] as const;
      const report = await runKit({ ...(await readPackage(folder)), main }, others);
      const failed = report.clauses.filter(({ outcome }) => outcome === 'failed');
      expect(failed.map((one) => one.clause)).toEqual(['D-DISC-1']);
      expect(failed[0]?.detail).toMatch(/no such attribute[^]*Trace of src\/cards, line 7/);
      const why = report.clauses.filter(({ outcome }) => outcome === 'not-run');
      expect(new Set(why.map(({ detail }) => detail))).toEqual(new Set(['needs D-DISC-1']));
      expect(why).toHaveLength(others.length);
    });

    it('one with names that Placement does not take fails on D-DISC-1', async ({ expect }) => {
      const main = join(folder, 'names.ts');
      const report = await runKit({ ...(await readPackage(folder)), main }, ['D-DISC-1']);
      const failed = report.clauses.filter(({ outcome }) => outcome === 'failed');
      expect(failed.map((one) => one.clause)).toEqual(['D-DISC-1']);
      expect(failed[0]?.detail).toMatch(/backend .*resource_class is "XEON_PHI"; .*CUSTOM_/);
    });
  },
);

afterAll(() => {
  const count = `${caught.length} of ${clauseIds.length}`;
  process.stdout.write(`conformance: ${count} wrong drivers fail, each on its clause alone\n`);
});
