/** The dgram device where it differs from `udp`: what waits between two `rxBatch`. */
import { createSocket } from 'node:dgram';
import { once } from 'node:events';
import { expect, it } from 'vitest';
import { NETWORK, TestSender, plainFrame, testContext } from '../../test/tunnel/fixture.js';
import { FrameBatch } from '../arena.js';
import { DgramDevice } from './dgram.js';

it('keeps 512 datagrams until they are asked for, and counts those beyond', async () => {
  const peer = createSocket('udp4');
  peer.bind(0, '127.0.0.1');
  await once(peer, 'listening');
  const context = testContext();
  const bind = { address: '127.0.0.1', port: 0 };
  const device = await DgramDevice.open(context, { bind, networkNumber: NETWORK, pathMtuBytes: 1500 });
  await device.connect({ address: '127.0.0.1', port: peer.address().port });
  const [datagram] = new TestSender().send([plainFrame(60)]);
  for (let sent = 0; context.drops.reasons.length < 8; sent++) {
    expect(sent).toBeLessThan(10_000);
    peer.send(datagram!, device.endpoint.port, '127.0.0.1');
    await new Promise((resolve) => setImmediate(resolve));
  }
  expect(new Set(context.drops.reasons)).toEqual(new Set(['queueFull']));
  let frames = 0;
  const batch = new FrameBatch(device.batchSize);
  while (device.rxBatch(batch) > 0) {
    for (let i = 0; i < batch.count; i++) context.arena.release(batch.ids[i]!);
    frames += batch.count;
    batch.count = 0;
  }
  expect(frames).toBe(512);
  peer.close();
  device.close();
  expect(context.arena.freeSlots).toBe(context.arena.slotCount);
});

it('is open until it is closed, and then takes and gives nothing', async () => {
  const context = testContext();
  const bind = { address: '::1', port: 0 };
  const device = await DgramDevice.open(context, { bind, networkNumber: NETWORK, pathMtuBytes: 1280 });
  expect(device.endpoint.address).toBe('::1');
  device.close();
  device.close();
  const batch = new FrameBatch(4);
  batch.push(context.arena.write(new Uint8Array(60)), 1);
  expect(device.txBatch(batch, 0)).toBe(0);
  expect(device.rxBatch(new FrameBatch(4))).toBe(0);
});
