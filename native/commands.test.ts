/** Commands of a host: each is ended with all that descends from it, and with nothing else. */
import { spawn } from 'node:child_process';
import { existsSync, readFileSync, readdirSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { native } from './binding.js';
import { hasEnded, isRoot, KeeperFixture, nsrunPath, PATIENCE_MS, processStatus, until } from './fixture.js';

const env = [`PATH=${process.env['PATH'] ?? ''}`];

/** Starts a shell script as a command of a host, and waits until it has said `ready`. */
async function start(keeper: KeeperFixture, name: string, script: string, id = `${name}.exit`): Promise<number> {
  const log = keeper.path(`${id}.log`);
  const exit = keeper.path(id);
  const pid = keeper.client.run(name, { argv: ['sh', '-c', script], env, cwd: keeper.directory, log, exit });
  await until(() => readFileSync(log, 'utf8').includes('ready'));
  return pid;
}

/** Processes whose pid namespace is that of the host, without its init. */
function processesOf(init: number): number[] {
  const own = processStatus(init, 'NSpid')?.split('\t').length;
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => pid > 0 && pid !== init && processStatus(pid, 'NSpid')?.split('\t').length === own)
    .filter((pid) => !hasEnded(pid) && ancestors(pid).includes(init));
}

function ancestors(pid: number): number[] {
  const parent = Number(processStatus(pid, 'PPid') ?? 0);
  return parent === 0 ? [] : [parent, ...ancestors(parent)];
}

describe.skipIf(!isRoot)('ending a command', () => {
  it('lets it end by itself within the grace, and answers when it is gone', async () => {
    await using keeper = await KeeperFixture.start();
    const init = keeper.host('h1');
    const exit = keeper.path('h1.exit');
    const pid = await start(keeper, 'h1', 'trap "exit 7" TERM; echo ready; while :; do sleep 0.01; done');
    expect(keeper.client.commands('h1')).toEqual([exit]);
    await keeper.client.end('h1', exit, 20_000);
    expect(hasEnded(pid)).toBe(true);
    expect(readFileSync(exit, 'utf8')).toBe('exited 7');
    expect(keeper.client.commands('h1')).toEqual([]);
    expect(processesOf(init)).toEqual([]);
    // The host goes on, and the next command with it.
    await start(keeper, 'h1', 'echo ready; sleep 1000');
    expect(existsSync(exit)).toBe(false);
    expect(keeper.client.commands('h1')).toEqual([exit]);
  });

  it('takes along whatever descends from it, and nothing else', async () => {
    await using keeper = await KeeperFixture.start();
    const init = keeper.host('h1');
    const other = await start(keeper, 'h1', 'echo ready; exec sleep 1000', 'other');
    const visitor = spawn(nsrunPath, ['exec', String(init), '--', 'sh', '-c', 'sleep 2000 & echo ready; wait']);
    let said = '';
    visitor.stdout.on('data', (data: Buffer) => (said += data.toString()));
    await until(() => said !== '');
    // In its group; in a session of its own; without a parent; stopped; deaf to SIGTERM.
    const deaf = 'sh -c "trap : TERM; while :; do sleep 0.01; done"';
    const stopped = 'sh -c "kill -STOP \\$\\$; exit"';
    await start(
      keeper,
      'h1',
      `sleep 1001 & setsid sleep 1002 & (setsid setsid sleep 1003 &) ; ${stopped} & ${deaf} & echo ready; wait`,
      'many',
    );
    await until(() => processesOf(init).some((pid) => processStatus(pid, 'State')?.startsWith('T')));
    await keeper.client.end('h1', keeper.path('many'), 30);
    const left = processesOf(init);
    expect(left).toContain(other);
    // It and its warden.
    expect(left).toHaveLength(2);
    expect(visitor.exitCode).toBeNull();
    expect(keeper.client.commands('h1')).toEqual([keeper.path('other')]);
    visitor.kill('SIGKILL');
  });

  it('kills at once without a grace', async () => {
    await using keeper = await KeeperFixture.start();
    keeper.host('h1');
    const pid = await start(keeper, 'h1', 'trap "exit 7" TERM; echo ready; while :; do sleep 0.01; done');
    await keeper.client.end('h1', keeper.path('h1.exit'), 0);
    expect(hasEnded(pid)).toBe(true);
    expect(readFileSync(keeper.path('h1.exit'), 'utf8')).toBe('signalled 9');
  });

  it('ends the daemons that a command left behind', async () => {
    await using keeper = await KeeperFixture.start();
    const init = keeper.host('h1');
    const exit = keeper.path('h1.exit');
    await start(keeper, 'h1', 'setsid sleep 1000 & echo ready; exit 3');
    await until(() => existsSync(exit));
    expect(readFileSync(exit, 'utf8')).toBe('exited 3');
    expect(keeper.client.commands('h1')).toEqual([exit]);
    await keeper.client.end('h1', exit, 20_000);
    expect(processesOf(init)).toEqual([]);
    expect(keeper.client.commands('h1')).toEqual([]);
    expect(readFileSync(exit, 'utf8')).toBe('exited 3');
  });

  it('has nothing to do where there is no such command', async () => {
    await using keeper = await KeeperFixture.start();
    keeper.host('h1');
    await keeper.client.end('h1', keeper.path('never'), 1000);
    await start(keeper, 'h1', 'echo ready');
    await until(() => keeper.client.commands('h1').length === 0);
    await keeper.client.end('h1', keeper.path('h1.exit'), 1000);
    await expect(keeper.client.end('h2', '/exit', 0)).rejects.toThrow(/ENOENT there is no host h2/);
    await expect(keeper.client.end('h1', 'exit', 0)).rejects.toThrow(/EINVAL EXIT must be an absolute path/);
    for (const grace of [-1, 0.5, 60_001])
      await expect(keeper.client.end('h1', '/exit', grace)).rejects.toThrow(/EINVAL GRACE/);
  });

  it('of several at once waits for the slowest, while other hosts are served', async () => {
    await using keeper = await KeeperFixture.start();
    const names = ['h1', 'h2', 'h3'];
    for (const name of names) keeper.host(name);
    const ignore = 'trap "" TERM; echo ready; while :; do sleep 0.01; done';
    const pids = await Promise.all(names.map((name) => start(keeper, name, ignore)));
    keeper.host('free');
    const ended = names.map((name) => keeper.client.end(name, keeper.path(`${name}.exit`), 100));
    // Its own requests wait for the end; others' do not.
    expect(keeper.client.commands('free')).toEqual([]);
    expect(keeper.client.hosts()).toHaveLength(4);
    await Promise.all(ended);
    expect(pids.every(hasEnded)).toBe(true);
    expect(names.flatMap((name) => keeper.client.commands(name))).toEqual([]);
  });

  it('goes on when the keeper is killed meanwhile', async () => {
    await using keeper = await KeeperFixture.start();
    const init = keeper.host('h1');
    const pid = await start(keeper, 'h1', 'trap "" TERM; echo ready; while :; do sleep 0.01; done');
    const client = native.seqpacketConnect(keeper.socket);
    native.sendMessage(client, Buffer.from('pid'), [], PATIENCE_MS);
    native.receiveMessage(client, PATIENCE_MS);
    native.sendMessage(client, Buffer.from(['end', 'h1', keeper.path('h1.exit'), '50'].join('\0')), [], PATIENCE_MS);
    expect(keeper.client.hosts()).toHaveLength(1); // the request before has been passed on
    await keeper.kill();
    native.close(client);
    await until(() => hasEnded(pid));
    await until(() => processesOf(init).length === 0);
    expect(hasEnded(init)).toBe(false);
    process.kill(init, 'SIGKILL');
  });

  it('is not disturbed by signals that the host sends to everybody', async () => {
    await using keeper = await KeeperFixture.start();
    keeper.host('h1');
    const pid = await start(keeper, 'h1', 'trap : HUP INT TERM USR1; echo ready; while :; do sleep 0.01; done');
    await start(keeper, 'h1', 'trap : TERM; kill -TERM -1; kill -34 -1; echo ready', 'rude');
    await until(() => existsSync(keeper.path('rude')));
    await until(() => hasEnded(pid)); // by signal 34, whose default it kept
    await keeper.client.end('h1', keeper.path('rude'), 0);
    await until(() => keeper.client.commands('h1').length === 0);
    expect(readFileSync(keeper.path('h1.exit'), 'utf8')).toBe('signalled 34');
  });

  it('is written down when its warden is killed, and then it is gone too', async () => {
    await using keeper = await KeeperFixture.start();
    keeper.host('h1');
    const pid = await start(keeper, 'h1', 'echo ready; exec sleep 1000');
    const [warden] = ancestors(pid);
    expect(processStatus(warden!, 'Name')).toBe('luthier-command');
    process.kill(warden!, 'SIGKILL');
    await until(() => existsSync(keeper.path('h1.exit')));
    await until(() => hasEnded(pid));
    expect(keeper.client.commands('h1')).toEqual([]);
  });
});
