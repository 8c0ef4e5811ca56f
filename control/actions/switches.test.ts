import { describe, expect, it } from 'vitest';
import type { TunnelState } from '../../model/messages.js';
import type { LiveNetwork } from '../live.js';
import type { Target } from './record.js';
import { awaitSeals } from './switches.js';

/** A network whose switch processes answer so. */
function target(answers: Readonly<Record<string, readonly TunnelState[]>>): Target {
  const live = {
    switchOf: (machine: string) => ({ settledTunnels: () => Promise.resolve(answers[machine]) }),
    paths: { switchLog: (machine: string) => `/state/switch@${machine}.log` },
  };
  return { live: live as unknown as LiveNetwork, to: {} as Target['to'] };
}

const tunnel = (peer: string, state: TunnelState['state'], reason?: string): TunnelState => ({
  name: `udp:${peer}`,
  peer,
  state,
  ...(reason === undefined ? {} : { reason }),
});

describe('waiting for keys', () => {
  const pairs = [['a', 'b']] as const;

  it('ends when both ends of each tunnel have them', async () => {
    const answers = { a: [tunnel('c', 'failed'), tunnel('b', 'sealed')], b: [tunnel('a', 'sealed')] };
    await expect(awaitSeals(target(answers), { pairs })).resolves.toBeUndefined();
  });

  it('says which end of which tunnel has none, why, and where to look', async () => {
    const answers = { a: [tunnel('b', 'sealed')], b: [tunnel('a', 'failed', 'a does not answer')] };
    await expect(awaitSeals(target(answers), { pairs })).rejects.toMatchObject({
      code: 'E_SEAL',
      message: 'the tunnel from machine b to a is not sealed: a does not answer',
      hint: expect.stringContaining('/state/switch@b.log'),
    });
    const untold = { a: [tunnel('b', 'handshaking')], b: [] };
    await expect(awaitSeals(target(untold), { pairs })).rejects.toThrow('no keys were agreed on in time');
  });
});
