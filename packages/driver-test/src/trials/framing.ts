/** Bytes: what the kernel's pipes and other people's libraries make of messages. */
import fc from 'fast-check';
import type { Conversation } from '../conversation.ts';
import { demand } from '../failures.ts';
import { encodeFrame } from '../frames.ts';
import type { Trial } from '../kit.ts';

/** A request that every driver answers at once: what is not installed needs no uninstalling. */
const harmless = { backend: 'driver-test/nobody', dry_run: true } as const;
/** Two characters of two bytes, one of three, one of four. */
const manyBytes = 'driver-test/ñø→𝄞';
const splitRuns = 10;
/** Long enough for a reader to see the pieces apart, most of the time. */
const pauseMs = 2;

function request(conversation: Conversation, method: string, params: unknown): [number, Buffer] {
  const id = conversation.nextId();
  return [id, encodeFrame({ jsonrpc: '2.0', id, method, params })];
}

export async function demandAlive(conversation: Conversation): Promise<void> {
  await conversation.attempt('uninstall', harmless);
}

export const framing: readonly Trial[] = [
  {
    clause: 'D-FRAME-1',
    run: async (kit) => {
      await demandAlive(await kit.calm()); // and every message of every trial is looked at
    },
  },
  {
    clause: 'D-FRAME-2',
    needs: ['D-FRAME-3'],
    run: async (kit) => {
      const conversation = await kit.calm();
      const send = async (cuts: readonly number[]): Promise<void> => {
        const three = [manyBytes, 'b', 'c'].map((backend) =>
          request(conversation, 'uninstall', { backend, dry_run: true }),
        );
        const asked = three.map(([id]) => conversation.expect(id));
        const bytes = Buffer.concat(three.map(([, frame]) => frame));
        const at = [...new Set(cuts.map((cut) => cut % bytes.length))].toSorted((a, b) => a - b);
        for (const [index, from] of [0, ...at].entries()) {
          conversation.sendBytes(bytes.subarray(from, at[index] ?? bytes.length));
          await kit.clock.sleep(pauseMs);
        }
        const pieces = `three requests in pieces cut at ${at.join(', ') || 'nothing'}`;
        for (const one of asked) await conversation.answerOf(one, pieces);
      };
      await send([]); // all in one
      await send([5, 16, 18, 20, 21]); // within and around a header's end
      await fc.assert(fc.asyncProperty(fc.array(fc.nat(400), { maxLength: 8 }), send), {
        numRuns: splitRuns,
        seed: kit.seed,
        endOnFailure: true,
      });
    },
  },
  {
    clause: 'D-FRAME-3',
    run: async (kit) => {
      const conversation = await kit.calm();
      await conversation.attempt('uninstall', { backend: manyBytes, dry_run: true });
      await demandAlive(conversation);
    },
  },
  {
    clause: 'D-FRAME-4',
    run: async (kit) => {
      const conversation = await kit.calm();
      const body = (id: number): object => ({
        jsonrpc: '2.0',
        id,
        method: 'uninstall',
        params: harmless,
      });
      const more = 'Content-Type: application/vscode-jsonrpc; charset=utf-8\r\n';
      const first = conversation.nextId();
      const asked = conversation.expect(first);
      conversation.sendBytes(encodeFrame(body(first), more));
      await conversation.answerOf(asked, 'a request with a Content-Type');
      const second = conversation.nextId();
      const lower = conversation.expect(second);
      const text = encodeFrame(body(second)).toString('utf8');
      conversation.sendBytes(Buffer.from(text.replace('Content-Length', 'content-length')));
      await conversation.answerOf(lower, 'a request with a lower-case header');
    },
  },
  {
    clause: 'D-FRAME-5',
    needs: ['D-FRAME-2', 'D-RPC-2'],
    run: async (kit) => {
      const conversation = await kit.calm();
      const padding = 'x'.repeat(7 * 1024 * 1024);
      const answer = await conversation.attempt('driver-test/unknown', { padding });
      demand('error' in answer, () => 'an unknown request of 7 MiB was not refused');
      await demandAlive(conversation);
    },
  },
];
