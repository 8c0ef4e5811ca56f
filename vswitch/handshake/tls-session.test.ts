/** Two ends of the real exchange in this process, joined by an array of bytes in each direction. */
import { once } from 'node:events';
import { EventEmitter } from 'node:events';
import { describe, expect, it } from 'vitest';
import { makeIdentity } from '../../control/certificate.js';
import type { Terms } from './hello.js';
import type { EpochKeys } from '../device/device.js';
import type { Role, Session } from './session.js';
import { tlsSessions, type Credentials } from './tls-session.js';

const [A, B, STRANGER] = [makeIdentity('a'), makeIdentity('b'), makeIdentity('b')];

const credentials: Record<Role, Credentials> = {
  initiator: { ...A, peerCertificate: B.certificate },
  responder: { ...B, peerCertificate: A.certificate },
};
const terms: Record<Role, Terms> = {
  initiator: { wireVersion: 1, networkNumber: 7, machine: 'a', peer: 'b', lanes: 1, aesIsFast: true },
  responder: { wireVersion: 1, networkNumber: 7, machine: 'b', peer: 'a', lanes: 1, aesIsFast: true },
};

interface Given {
  readonly credentials?: Partial<Record<Role, Partial<Credentials>>>;
  readonly terms?: Partial<Record<Role, Partial<Terms>>>;
  /** What becomes of bytes on their way. */
  readonly change?: (bytes: Uint8Array, from: Role) => Uint8Array;
}

interface Result {
  readonly keys: Partial<Record<Role, EpochKeys>>;
  readonly confirmed: Role[];
  readonly failed: Partial<Record<Role, string>>;
  /** All that was said, both ways. */
  readonly wire: Buffer;
}

/** Runs until both ends are confirmed, or one has failed and the other as well or not. */
async function exchange(given: Given = {}): Promise<Result> {
  const result: Result & { wire: Buffer } = { keys: {}, confirmed: [], failed: {}, wire: Buffer.alloc(0) };
  const sessions: Partial<Record<Role, Session>> = {};
  const over = new EventEmitter();
  const start = (role: Role): Session => {
    const other: Role = role === 'initiator' ? 'responder' : 'initiator';
    const begin = tlsSessions(
      { ...credentials[role], ...given.credentials?.[role] },
      { ...terms[role], ...given.terms?.[role] },
    );
    return begin(role, {
      write: (bytes) => {
        result.wire = Buffer.concat([result.wire, bytes]);
        const arriving = given.change?.(Uint8Array.from(bytes), role) ?? Uint8Array.from(bytes);
        setImmediate(() => sessions[other]!.receive(arriving));
      },
      authenticated: (keys) => {
        result.keys[role] = keys;
        setImmediate(() => sessions[role]!.confirm());
      },
      confirmed: () => {
        result.confirmed.push(role);
        if (result.confirmed.length === 2) over.emit('over');
      },
      failed: (reason) => {
        result.failed[role] = reason;
        // As the packets under it would tell the other end.
        setImmediate(() => {
          sessions[other]!.close();
          over.emit('over');
        });
      },
    });
  };
  const ended = once(over, 'over');
  sessions.initiator = start('initiator');
  sessions.responder = start('responder');
  await ended;
  for (const session of Object.values(sessions)) session.close();
  return result;
}

describe('the exchange of keys by TLS', () => {
  it('gives both ends the same keys, another for each direction', async () => {
    const { keys, confirmed, failed, wire } = await exchange();
    expect(failed).toEqual({});
    expect([...confirmed].sort()).toEqual(['initiator', 'responder']);
    const { initiator, responder } = keys as Record<Role, EpochKeys>;
    expect(initiator.epoch).toBe(responder.epoch);
    expect(initiator.epoch).toBeGreaterThan(0);
    expect(initiator.algorithm).toBe('aes-256-gcm');
    expect(initiator.send).toHaveLength(1);
    expect(initiator.send[0]).toHaveLength(44);
    expect(Buffer.compare(initiator.send[0]!, responder.receive[0]!)).toBe(0);
    expect(Buffer.compare(responder.send[0]!, initiator.receive[0]!)).toBe(0);
    expect(Buffer.compare(initiator.send[0]!, initiator.receive[0]!)).not.toBe(0);
    // A handshake of a few datagrams; neither certificate nor machine is readable in it.
    expect(wire.byteLength).toBeLessThan(4_000);
    expect(wire.includes(Buffer.from(A.certificate.split('\n')[1]!, 'base64'))).toBe(false);
    expect(wire.includes('"from"')).toBe(false);
  });

  it('gives other keys each time', async () => {
    const [one, two] = [await exchange(), await exchange()];
    expect(one.keys.initiator!.epoch).not.toBe(two.keys.initiator!.epoch);
    expect(Buffer.compare(one.keys.initiator!.send[0]!, two.keys.initiator!.send[0]!)).not.toBe(0);
  });

  it('agrees on the algorithm that both can do fast, and on the lanes of each', async () => {
    const { keys } = await exchange({ terms: { initiator: { lanes: 3 }, responder: { aesIsFast: false } } });
    expect(keys.initiator).toMatchObject({ algorithm: 'chacha20-poly1305' });
    expect(keys.responder).toMatchObject({ algorithm: 'chacha20-poly1305' });
    expect(keys.initiator!.send).toHaveLength(3);
    expect(keys.responder!.receive.map((key) => Buffer.from(key).toString('hex'))).toEqual(
      keys.initiator!.send.map((key) => Buffer.from(key).toString('hex')),
    );
    expect(keys.initiator!.receive).toHaveLength(1);
    // Each lane seals with another key than all others.
    const secrets = [...keys.initiator!.send, ...keys.initiator!.receive].map((key) =>
      Buffer.from(key.subarray(0, 32)),
    );
    expect(new Set(secrets.map((key) => key.toString('hex'))).size).toBe(4);
  });

  it('fails where the responder is not the one that is expected', async () => {
    const { keys, failed } = await exchange({ credentials: { responder: STRANGER } });
    expect(failed.initiator).toBe('b showed another certificate than the one that this machine has of it');
    expect(keys).toEqual({});
  });

  it('fails where the initiator is not the one that is expected', async () => {
    const { keys, failed } = await exchange({ credentials: { initiator: STRANGER } });
    expect(failed.responder).toBe('a showed another certificate than the one that this machine has of it');
    expect(keys).toEqual({});
  });

  it.each([
    [{ initiator: { wireVersion: 2 } }, 'a speaks version 2 of the wire format, this machine 1'],
    [{ initiator: { networkNumber: 8 } }, 'a belongs to the network of number 8, this machine to 7'],
    [{ initiator: { machine: 'c' } }, 'the tunnel from b to a is one from b to c at its other end'],
  ])('fails where the ends do not mean the same: %j', async (changed, reason) => {
    const { keys, failed } = await exchange({ terms: changed });
    expect(failed.responder).toBe(reason);
    expect(keys).toEqual({});
  });

  it('fails at any byte that is changed on the way', async () => {
    for (const [by, at] of [
      ['initiator', 20],
      ['initiator', 150],
      ['responder', 60],
      ['responder', 300],
      ['responder', 700],
    ] as const) {
      let seen = 0;
      const { keys, failed } = await exchange({
        change: (bytes, from) => {
          if (from !== by) return bytes;
          const index = at - seen;
          seen += bytes.byteLength;
          if (index >= 0 && index < bytes.byteLength) bytes[index]! ^= 0x10;
          return bytes;
        },
      });
      expect(Object.keys(failed).length, `${by}, byte ${at}`).toBeGreaterThan(0);
      expect(keys).toEqual({});
    }
  });

  it('refuses credentials that are none before anything is sent', () => {
    expect(() => tlsSessions({ ...credentials.initiator, privateKey: B.privateKey }, terms.initiator)).toThrow(/key/);
    expect(() => tlsSessions({ ...credentials.initiator, peerCertificate: 'nonsense' }, terms.initiator)).toThrow();
  });
});
