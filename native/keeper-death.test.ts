/** The keeper is killed while it makes a host: nothing may live on that nobody was told of. */
import { readdirSync, readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { native } from './binding.js';
import { isRoot, KeeperFixture, PATIENCE_MS, until } from './fixture.js';

const ROUNDS = 20;

/** Inits of hosts of this name: ps shows them as `keeper NAME`, and before they are named as their keeper. */
function processesOf(...words: readonly string[]): string[] {
  return readdirSync('/proc')
    .filter((entry) => /^\d+$/.test(entry))
    .filter((pid) => {
      try {
        const argv = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        return words.some((word) => argv.includes(word));
      } catch {
        return false; // it ended while we looked
      }
    });
}

it.skipIf(!isRoot)('leaves no host behind that its client was not told of', async () => {
  for (let round = 0; round < ROUNDS; round++) {
    await using keeper = await KeeperFixture.start();
    const name = `unborn-${process.pid}-${round}`;
    const client = native.seqpacketConnect(keeper.socket);
    native.sendMessage(client, Buffer.from(['host', name, name, keeper.directory].join('\0')), [], PATIENCE_MS);
    // The moment that the init exists: it has its namespaces still to furnish, and the keeper has not answered.
    const { pid } = keeper.process;
    while (readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8') === '');
    keeper.process.kill('SIGKILL');
    await keeper.ended();
    let told: number | undefined;
    try {
      told = Number(native.receiveMessage(client, 200).data.toString().split('\0')[1]);
    } catch {
      // The keeper had not answered.
    }
    native.close(client);
    // A host that the client knows of outlives its keeper, and is the client's to end.
    if (told !== undefined) process.kill(told, 'SIGKILL');
    await until(() => processesOf(name, keeper.socket).length === 0);
    expect(processesOf(name, keeper.socket)).toEqual([]);
  }
});
