import { describe, expect, it } from 'vitest';
import { MemoryCalls } from './memory-calls.js';
import { EMULATED_LINKS, PLAIN_LINKS, WarmUpNetwork, warmUp } from './warmup.js';

/** Stands for the addon, with the descriptor that nobody has. */
function calls(): MemoryCalls {
  const memory = new MemoryCalls(() => 0);
  memory.tapRead = memory.tapWrite = memory.udpRead = memory.udpWrite = () => -9;
  return memory;
}

describe('the warm-up', () => {
  it('ends after its rounds when time stands still', () => {
    let rounds = 0;
    const addon = calls();
    addon.tapRead = () => {
      rounds++;
      return -9;
    };
    warmUp(addon, () => 0);
    expect(rounds).toBe(150);
  });

  it.each([
    ['plain', PLAIN_LINKS, 1],
    // With jitter, each of its fourteen segments by itself.
    ['emulated', EMULATED_LINKS, 14],
  ])('plays frames that all arrive, over the tunnel too, on %s links', (_, ways, superFrames) => {
    const network = new WarmUpNetwork(ways);
    network.round(0);
    const learned = network.telemetry.port(1).txPackets;
    for (let n = 1; n <= 10; n++) network.round(n);
    expect(network.telemetry.dropsByReason()).toEqual({});
    // In each round, six for the port alone and the broadcasts of the three others; in the eighth, a super-frame.
    expect(network.telemetry.port(1).txPackets - learned).toBe(10 * 9 + superFrames);
    for (let port = 0; port < 4; port++) expect(network.telemetry.port(port).txPackets).toBeGreaterThanOrEqual(90);
    expect(network.telemetry.port(4).txPackets).toBeGreaterThan(0);
    network.close();
  });

  it('ends when its time is over', () => {
    let nowNs = 0;
    const addon = calls();
    let rounds = 0;
    addon.tapRead = () => {
      rounds++;
      nowNs += 40e6;
      return -9;
    };
    warmUp(addon, () => nowNs);
    expect(rounds).toBe(3);
  });
});
