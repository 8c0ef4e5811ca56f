/**
 * Golden captures of a switch: what comes in by each port (`NAME.in.pcap`), what must go out of it (`NAME.out.pcap`), in
 * `test/golden/switch/CASE`, to the nanosecond and the byte. Regenerated, inputs and outputs, by
 *
 *   GOLDEN=update npx vitest run vswitch/golden.test.ts
 */
import { type LinkProperties, NO_INPUTS } from '../model/emulation.js';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { ManualClock } from '../model/clock.js';
import type { BridgeConfig, SwitchConfig } from '../model/messages.js';
import { Arena, FrameBatch } from './arena.js';
import { PcapDevice } from './device/pcap.js';
import { Engine } from './engine.js';

const DIRECTORY = join(import.meta.dirname, '../test/golden/switch');
const UPDATE = process.env['GOLDEN'] === 'update';
const PORTS = ['a', 'b', 'c'] as const;
type PortName = (typeof PORTS)[number];

/** One frame that comes in: when, where, and its fields. */
type Input = readonly [ms: number, port: PortName, to: string, from: string, type: string, payload: string];

interface GoldenCase {
  readonly name: string;
  readonly bridge: Partial<BridgeConfig>;
  readonly down?: PortName;
  readonly input: readonly Input[];
}

const A = '02:00:00:00:00:0a';
const B = '02:00:00:00:00:0b';
const C = '02:00:00:00:00:0c';
const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const ARP_A_FOR_B = '0001080006040001 02000000000a 0a000001 000000000000 0a000002';
const ARP_B_TO_A = '0001080006040002 02000000000b 0a000002 02000000000a 0a000001';
const UDP_A_TO_B = '4500001e000040004011 26cd 0a000001 0a000002 8000 0009 000a 0000 6869';
const BPDU = '424203 0000 00 00 00 8000020000000001 00000000 8000020000000001 8001 0000 1400 0200 0f00';
const LLDP = '020704 02000000000a 040207 31 0602 0078 0000';

const CASES: readonly GoldenCase[] = [
  {
    name: 'learning',
    bridge: {},
    input: [
      [1, 'a', BROADCAST, A, '0806', ARP_A_FOR_B],
      [2, 'b', A, B, '0806', ARP_B_TO_A],
      [3, 'a', B, A, '0800', UDP_A_TO_B],
      [4, 'a', C, A, '0800', UDP_A_TO_B],
      [5, 'c', BROADCAST, A, '0806', ARP_A_FOR_B],
      [6, 'b', A, B, '0806', ARP_B_TO_A],
      [7, 'c', A, C, '0800', UDP_A_TO_B],
      [8, 'a', '01:00:5e:00:00:fb', A, '0800', UDP_A_TO_B],
      [9, 'a', B, A, '8100', `0064 0800 ${UDP_A_TO_B}`],
    ],
  },
  {
    name: 'reserved-groups',
    bridge: {},
    input: [
      [1, 'a', '01:80:c2:00:00:00', A, '0026', BPDU],
      [2, 'a', '01:80:c2:00:00:0e', A, '88cc', LLDP],
      [3, 'a', '01:80:c2:00:00:10', A, '88b5', '00'],
    ],
  },
  {
    name: 'transparent',
    bridge: { transparent: true },
    input: [
      [1, 'a', '01:80:c2:00:00:00', A, '0026', BPDU],
      [2, 'a', '01:80:c2:00:00:0e', A, '88cc', LLDP],
    ],
  },
  {
    name: 'ageing',
    bridge: { ageingSeconds: 10 },
    input: [
      [1, 'a', BROADCAST, A, '0806', ARP_A_FOR_B],
      [10_000, 'b', A, B, '0806', ARP_B_TO_A],
      [10_001, 'b', A, B, '0806', ARP_B_TO_A],
    ],
  },
  {
    name: 'link-down',
    bridge: {},
    down: 'b',
    input: [
      [1, 'a', BROADCAST, A, '0806', ARP_A_FOR_B],
      [2, 'b', A, B, '0806', ARP_B_TO_A],
      [3, 'a', B, A, '0800', UDP_A_TO_B],
    ],
  },
];

describe.each(CASES)('golden capture $name', (golden) => {
  it('comes out of each port as it did', () => {
    const golds = join(DIRECTORY, golden.name);
    if (UPDATE) writeInputs(golden, golds);
    const out = UPDATE ? golds : mkdtempSync(join(tmpdir(), 'luthier-golden-'));
    try {
      play(golden, golds, out);
      for (const port of PORTS) {
        const file = `${port}.out.pcap`;
        expect(readFileSync(join(out, file)).toString('hex'), file).toBe(
          readFileSync(join(golds, file)).toString('hex'),
        );
      }
    } finally {
      if (!UPDATE) rmSync(out, { recursive: true });
    }
  });
});

/** Runs the switch on a clock that jumps from frame to frame. */
function play({ bridge, down }: GoldenCase, inputs: string, outputs: string): void {
  const clock = new ManualClock();
  const arena = new Arena(new Uint8Array(2 ** 20));
  const engine = new Engine({ arena, clock });
  const devices: PcapDevice[] = [];
  const config: SwitchConfig = {
    network: 'golden',
    networkNumber: 1,
    seed: 1,
    inputs: NO_INPUTS,
    machine: 'local',
    bridges: [{ name: 's', transparent: false, ageingSeconds: 300, fdbLimit: 64, ...bridge }],
    devices: PORTS.map((name) => ({ kind: 'tap', name, mtuBytes: 1500, vnetHdr: false })),
    links: PORTS.map((tap) => {
      const way: LinkProperties = { state: tap === down ? 'down' : 'up' };
      return { name: tap, ends: [{ tap }, { bridge: 's' }], forward: way, reverse: way };
    }),
  };
  engine.apply(config, ({ name }, context) => {
    const input = join(inputs, `${name}.in.pcap`);
    const device = new PcapDevice(context, {
      ...(existsSync(input) ? { input } : {}),
      output: join(outputs, `${name}.out.pcap`),
    });
    devices.push(device);
    return device;
  });
  for (;;) {
    while (engine.breath() > 0);
    const nextNs = Math.min(...devices.map((device) => device.nextNs));
    if (nextNs === Infinity) break;
    clock.advance(nextNs - clock.nowNs());
  }
  engine.close();
  expect(arena.freeSlots).toBe(arena.slotCount);
}

function writeInputs({ input }: GoldenCase, directory: string): void {
  mkdirSync(directory, { recursive: true });
  for (const port of PORTS) {
    const frames = input.filter(([, at]) => at === port);
    if (frames.length === 0) continue;
    const clock = new ManualClock();
    const arena = new Arena(new Uint8Array(2 ** 16));
    const context = { arena, clock, drops: { drop: () => undefined }, index: 0 };
    const device = new PcapDevice(context, { output: join(directory, `${port}.in.pcap`) });
    for (const [ms, , to, from, type, payload] of frames) {
      clock.advance(ms * 1e6 - clock.nowNs());
      const batch = new FrameBatch(1);
      batch.push(arena.write(frameOf(to, from, type, payload)), 0);
      device.txBatch(batch, 0);
    }
    device.close();
  }
}

/** Padded to the 60 bytes that a wire asks for. */
function frameOf(...fields: readonly string[]): Uint8Array {
  const bytes = Buffer.from(fields.join('').replace(/[ :]/g, ''), 'hex');
  return Uint8Array.from({ length: Math.max(60, bytes.byteLength) }, (_, i) => bytes[i] ?? 0);
}
