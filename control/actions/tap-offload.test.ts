import { describe, expect, it } from 'vitest';
import { TapOffload, type TapOptions } from '../../native/binding.js';
import { openTapWithOffloads } from './tap-offload.js';

const { csum, tso4, tso6, uso4, uso6 } = TapOffload;
const USO = uso4 | uso6;
const TSO = tso4 | tso6;

function refusal(syscall: string, errno: string): Error {
  return Object.assign(new Error(`${syscall}: ${errno}`), { syscall, errno });
}

/** As a kernel that knows these offloads opens TAPs; and what it was asked for. */
function kernel(known: number): { asked: TapOptions[]; open: (options: TapOptions) => number } {
  const asked: TapOptions[] = [];
  const open = (options: TapOptions): number => {
    asked.push(options);
    if ((options.offload! & ~known) !== 0) throw refusal('TUNSETOFFLOAD', 'EINVAL');
    return 42;
  };
  return { asked, open };
}

describe('the offloads of a TAP', () => {
  it.each([
    ['all', csum | TSO | USO, [csum | TSO | USO]],
    ['without USO', csum | TSO, [csum | TSO | USO, csum | TSO]],
    ['without segmentation', csum, [csum | TSO | USO, csum | TSO, csum]],
    ['none', 0, [csum | TSO | USO, csum | TSO, csum, 0]],
  ])('are those that the kernel knows: %s', (_, known, offloads) => {
    const { asked, open } = kernel(known);
    expect(openTapWithOffloads({ name: 'eth0', persist: true }, open)).toBe(42);
    expect(asked).toEqual(offloads.map((offload) => ({ name: 'eth0', persist: true, vnetHdr: true, offload })));
  });

  it.each([refusal('TUNSETIFF', 'EINVAL'), refusal('TUNSETOFFLOAD', 'EBADFD')])(
    'are not what other errors are about: $message',
    (error) => {
      let calls = 0;
      const open = (): number => {
        calls++;
        throw error;
      };
      expect(() => openTapWithOffloads({ name: 'eth0' }, open)).toThrow(error);
      expect(calls).toBe(1);
    },
  );

  it('may be refused altogether', () => {
    const open = (): number => {
      throw refusal('TUNSETOFFLOAD', 'EINVAL');
    };
    expect(() => openTapWithOffloads({ name: 'eth0' }, open)).toThrow('TUNSETOFFLOAD: EINVAL');
  });
});
