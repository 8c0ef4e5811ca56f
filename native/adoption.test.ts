/** The keeper is killed: another one takes its hosts over, with all that runs in them. */
import { existsSync, readFileSync, rmSync, statSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { native } from './binding.js';
import { commandLine, hasEnded, isRoot, KeeperFixture, PATIENCE_MS, processStatus, startOf, until } from './fixture.js';

const env = [`PATH=${process.env['PATH'] ?? ''}`];

const command = (keeper: KeeperFixture, id: string, ...argv: string[]) => ({
  ...{ argv, env, cwd: keeper.directory, log: keeper.path(`${id}.log`), exit: keeper.path(id) },
});

/** Echoes a byte over one TCP connection for ever, and writes another dot for each. */
const TALK = `
  const net = require('node:net');
  const server = net.createServer((peer) => peer.pipe(peer)).listen(0, '127.0.0.1', () => {
    const client = net.connect(server.address().port, '127.0.0.1');
    client.on('close', () => process.exit(1));
    client.on('data', () => setTimeout(() => (process.stdout.write('.'), client.write('x')), 1));
    client.write('x');
  });
`;

describe.skipIf(!isRoot)('adoption', () => {
  it('goes on where the keeper that was killed left off', async () => {
    await using keeper = await KeeperFixture.start();
    const pids = new Map(['h1', 'h2', 'h3'].map((name) => [name, keeper.host(name)]));
    const talker = keeper.client.run('h1', command(keeper, 'talk', process.execPath, '-e', TALK));
    const sleeper = keeper.client.run('h2', command(keeper, 'sleep', 'sleep', '1000'));
    const said = () => statSync(keeper.path('talk.log')).size;
    await until(() => said() > 3);
    for (let round = 0; round < 3; round++) {
      await keeper.kill();
      const before = said();
      await until(() => said() > before); // its connection lives without a keeper
      await keeper.startAnother();
      expect(keeper.client.hosts()).toEqual([]);
      for (const [name, pid] of pids) keeper.client.adopt(name, { pid, start: startOf(pid) });
      expect(new Map(keeper.client.hosts().map(({ name, pid }) => [name, pid]))).toEqual(pids);
      const pid = keeper.client.run('h3', command(keeper, `run${round}`, 'sleep', `100${round}`));
      expect(commandLine(pid)).toBe(`sleep 100${round}`);
      expect(keeper.client.commands('h1')).toEqual([keeper.path('talk')]);
      const again = said();
      await until(() => said() > again);
      expect(hasEnded(talker)).toBe(false);
    }
    await keeper.client.end('h2', keeper.path('sleep'), 20_000);
    expect(hasEnded(sleeper)).toBe(true);
    expect(readFileSync(keeper.path('sleep'), 'utf8')).toBe('signalled 15');
    keeper.client.stop('h1', 'h2');
    expect(['h1', 'h2'].every((name) => hasEnded(pids.get(name)!))).toBe(true);
    expect(hasEnded(talker)).toBe(true);
    expect(keeper.client.hosts()).toEqual([{ name: 'h3', pid: pids.get('h3') }]);
    keeper.client.exit();
    await keeper.ended();
    expect(hasEnded(pids.get('h3')!)).toBe(true);
  });

  it('writes down how commands ended that no keeper watched', async () => {
    await using keeper = await KeeperFixture.start();
    const init = keeper.host('h1');
    const sleeper = keeper.client.run('h1', command(keeper, 'exit', 'sleep', '1000'));
    await keeper.kill();
    process.kill(sleeper, 'SIGUSR1');
    await until(() => existsSync(keeper.path('exit')));
    expect(readFileSync(keeper.path('exit'), 'utf8')).toBe('signalled 10');
    await keeper.startAnother();
    keeper.client.adopt('h1', { pid: init, start: startOf(init) });
    // Its warden ends after it has written that down.
    await until(() => keeper.client.commands('h1').length === 0);
  });

  it('gives a host to one keeper alone', async () => {
    await using keeper = await KeeperFixture.start();
    await using other = await KeeperFixture.start();
    const init = keeper.host('h1');
    const id = { pid: init, start: startOf(init) };
    expect(() => other.client.adopt('h1', id)).toThrow(/EBUSY another keeper has it/);
    expect(() => keeper.client.adopt('h1', id)).toThrow(/EEXIST there is a host h1/);
    expect(() => keeper.client.adopt('h2', id)).toThrow(/EEXIST process \d+ is host h1/);
    expect(other.client.hosts()).toEqual([]);
    await keeper.kill();
    other.client.adopt('h1', id);
    await keeper.startAnother();
    expect(() => keeper.client.adopt('h1', id)).toThrow(/EBUSY another keeper has it/);
    other.client.stop('h1');
    expect(hasEnded(init)).toBe(true);
  });

  it('takes nothing but the init that is meant', async () => {
    await using keeper = await KeeperFixture.start();
    const init = keeper.host('h1');
    const start = startOf(init);
    await keeper.kill();
    await keeper.startAnother();
    const adopt = (pid: number, at: number) => () => keeper.client.adopt('h1', { pid, start: at });
    expect(adopt(init, start + 1)).toThrow(/ESRCH/);
    expect(adopt(2147483647, 1)).toThrow(/ESRCH/);
    expect(adopt(init, Number.NaN)).toThrow(/EINVAL not PID:START/);
    // Some process of the machine, be it that it holds no such descriptor, or another one.
    expect(adopt(process.pid, startOf(process.pid))).toThrow(/EBADF|ENOTSOCK it is not the init of a host/);
    expect(keeper.client.hosts()).toEqual([]);
    process.kill(init, 'SIGKILL');
    await until(() => hasEnded(init));
    expect(adopt(init, start)).toThrow(/ESRCH/);
  });

  it('notices the end of a host that it did not make', async () => {
    await using keeper = await KeeperFixture.start();
    const init = keeper.host('h1');
    await keeper.kill();
    await keeper.startAnother();
    keeper.client.adopt('h1', { pid: init, start: startOf(init) });
    process.kill(init, 'SIGKILL');
    await until(() => keeper.client.hosts().length === 0);
    expect(keeper.host('h1')).toBeGreaterThan(0);
  });

  // What was under way when the keeper was killed must not be taken for answers to what the next one asks.
  it('follows a keeper that was killed at any moment', async () => {
    const moments = fc.array(fc.record({ delayMs: fc.nat(4), verb: fc.constantFrom('run', 'end', 'commands') }), {
      minLength: 3,
      maxLength: 6,
    });
    for (const rounds of fc.sample(moments, { numRuns: 4, seed: 20 })) {
      await using keeper = await KeeperFixture.start();
      const init = keeper.host('h1');
      for (const [round, { delayMs, verb }] of rounds.entries()) {
        const client = native.seqpacketConnect(keeper.socket);
        const fields = {
          run: ['run', 'h1', '/', '/dev/null', keeper.path('lost'), '2', 'sleep', '9999', ...env],
          end: ['end', 'h1', keeper.path('lost'), '10'],
          commands: ['commands', 'h1'],
        }[verb];
        native.sendMessage(client, Buffer.from(fields.join('\0')), [], PATIENCE_MS);
        await sleep(delayMs);
        await keeper.kill();
        native.close(client);
        await keeper.startAnother();
        keeper.client.adopt('h1', { pid: init, start: startOf(init) });
        const exit = keeper.path(`mine${round}`);
        const pid = keeper.client.run('h1', command(keeper, `mine${round}`, 'sleep', `10${round}`));
        expect(commandLine(pid)).toBe(`sleep 10${round}`);
        expect(processStatus(pid, 'NSpid')?.split('\t')).toHaveLength(
          (processStatus(init, 'NSpid')?.split('\t') ?? []).length,
        );
        expect(keeper.client.commands('h1')).toContain(exit);
        await keeper.client.end('h1', exit, 0);
        expect(hasEnded(pid)).toBe(true);
        expect(readFileSync(exit, 'utf8')).toBe('signalled 9');
        rmSync(exit);
      }
      keeper.client.stop('h1');
      expect(hasEnded(init)).toBe(true);
    }
  });
});
