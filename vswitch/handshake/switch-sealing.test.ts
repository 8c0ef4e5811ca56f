import { expect, it } from 'vitest';
import type { CommandName, Commands } from '../commands.js';
import type { EpochKeys, LaneKeys } from '../device/device.js';
import { sealing } from './switch-sealing.js';

const secrets = (count: number): Uint8Array[] => Array.from({ length: count }, (_, i) => new Uint8Array(44).fill(i));
const keysFor = (lanes: number): EpochKeys => {
  return { epoch: 7, algorithm: 'aes-256-gcm', send: secrets(lanes), receive: secrets(2) };
};

interface Told {
  readonly names: string[][];
  /** By engine. */
  readonly keys: LaneKeys[];
}

/** Engines that refuse keys or take them, and what each was told. */
function engines(refusals: readonly (string | undefined)[]): { told: Told; sealing: ReturnType<typeof sealing> } {
  const told: Told = { names: refusals.map(() => []), keys: [] };
  const senders = refusals.map((refusal, lane) => ({
    lane,
    thread: {
      call: <Name extends CommandName>(name: Name, given: Commands[Name][0]): Promise<Commands[Name][1]> => {
        told.names[lane]!.push(name);
        if (name === 'installKeys') told.keys[lane] = (given as Commands['installKeys'][0]).keys;
        if (name === 'installKeys' && refusal !== undefined) return Promise.reject(new Error(refusal));
        return Promise.resolve(undefined as Commands[Name][1]);
      },
    },
  }));
  const parts = { lanesOf: () => refusals.length, ofTunnels: senders[0]!.thread, sendersOf: () => senders };
  return { told, sealing: sealing(parts) };
}

it('gives keys to each engine that sends, and handshakes to the one that hears', async () => {
  const { told, sealing } = engines([undefined, undefined]);
  await sealing.installKeys('udp:b', keysFor(2));
  await sealing.useKeys('udp:b', 7);
  sealing.dropKeys('udp:b', 6);
  sealing.markHandshakes('udp:b', new Uint8Array(8));
  sealing.sendHandshake('udp:b', new Uint8Array(8), true);
  const keys = ['installKeys', 'useKeys', 'dropKeys'];
  expect(told.names).toEqual([[...keys, 'markHandshakes', 'sendHandshake'], keys]);
});

it('gives an engine the key of its own lane to seal with, and keys to open with only where it hears', async () => {
  const { told, sealing } = engines([undefined, undefined, undefined]);
  await sealing.installKeys('udp:b', keysFor(3));
  const own = secrets(3).map((send) => ({ epoch: 7, algorithm: 'aes-256-gcm', send, receive: [] as Uint8Array[] }));
  expect(told.keys).toEqual([{ ...own[0], receive: secrets(2) }, own[1], own[2]]);
});

it('leaves no engine with keys that another has refused', async () => {
  const { told, sealing } = engines([undefined, 'no room', undefined]);
  await expect(sealing.installKeys('udp:b', keysFor(3))).rejects.toThrow('no room');
  expect(told.names).toEqual(new Array(3).fill(['installKeys', 'dropKeys']));
});

it('leaves no engine with keys of an epoch that has none for another', async () => {
  const { told, sealing } = engines([undefined, undefined, undefined]);
  await expect(sealing.installKeys('udp:b', keysFor(2))).rejects.toThrow('epoch 7 brings no key for lane 2');
  expect(told.names).toEqual([['installKeys', 'dropKeys'], ['installKeys', 'dropKeys'], ['dropKeys']]);
});
