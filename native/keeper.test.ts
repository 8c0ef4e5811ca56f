import { execFileSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, readlinkSync, statSync, writeFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { native } from './binding.js';
import { hasEnded, isRoot, KeeperFixture, nsrunPath, PATIENCE_MS, processStatus, until } from './fixture.js';
import { KeeperClient } from './keeper.js';

const env = [`PATH=${process.env['PATH'] ?? ''}`];

/** Output of a command in a host. */
function inside(pid: number, ...argv: string[]): string {
  return execFileSync(nsrunPath, ['exec', String(pid), '--', ...argv], { encoding: 'utf8' });
}

/** One request as bytes, and the fields of its answer. */
function raw(fd: number, request: string, fds: readonly number[] = []): string[] {
  native.sendMessage(fd, Buffer.from(request), fds, PATIENCE_MS);
  return native.receiveMessage(fd, PATIENCE_MS).data.toString().split('\0');
}

describe('the keeper', () => {
  it('listens for its own user alone, and removes its socket when it ends', async () => {
    await using keeper = await KeeperFixture.start();
    expect(statSync(keeper.socket).mode & 0o777).toBe(0o600);
    expect(keeper.client.pid()).toBe(keeper.process.pid);
    expect(readlinkSync(`/proc/${keeper.client.pid()}/fd/1`)).toBe('/dev/null');
    keeper.client.exit();
    await keeper.ended();
    expect(keeper.process.exitCode).toBe(0);
    expect(existsSync(keeper.socket)).toBe(false);
  });

  it('ends on SIGTERM', async () => {
    await using keeper = await KeeperFixture.start();
    keeper.process.kill('SIGTERM');
    await keeper.ended();
    expect(keeper.process.exitCode).toBe(0);
  });

  it('gives out duplicates of what it holds, after whoever put it has closed it', async () => {
    await using keeper = await KeeperFixture.start();
    const event = native.eventfd();
    keeper.client.put('a/event', event);
    native.close(event);
    const [first, second] = [keeper.client.get('a/event'), keeper.client.get('a/event')];
    expect(native.eventfdSignal(first)).toBe(0);
    expect(native.eventfdDrain(second)).toBe(1);
    native.close(first);
    native.close(second);
    keeper.client.drop('a/event');
    expect(() => keeper.client.get('a/event')).toThrow(/ENOENT nothing is kept under the name a\/event/);
    expect(() => keeper.client.drop('a/event')).toThrow(/ENOENT/);
  });

  it('replaces a descriptor, and lists names in order', async () => {
    await using keeper = await KeeperFixture.start();
    const [first, second] = [native.eventfd(), native.eventfd()];
    native.eventfdSignal(second);
    for (const name of ['b', 'a/2', 'c', 'a/10', 'a']) keeper.client.put(name, first);
    keeper.client.put('b', second);
    const held = keeper.client.get('b');
    expect(native.eventfdDrain(held)).toBe(1);
    expect(keeper.client.list()).toEqual(['a', 'a/10', 'a/2', 'b', 'c']);
    for (const fd of [first, second, held]) native.close(fd);
  });

  it('lists more names than one message holds', async () => {
    await using keeper = await KeeperFixture.start();
    const event = native.eventfd();
    const names = Array.from({ length: 700 }, (_, i) => `${String(i).padStart(4, '0')}${'x'.repeat(251)}`);
    for (const name of names) keeper.client.put(name, event);
    native.close(event);
    expect(keeper.client.list()).toEqual(names);
  });

  it('restricts a connection to a prefix for good', async () => {
    await using keeper = await KeeperFixture.start();
    const event = native.eventfd();
    for (const name of ['a/tap', 'ab/tap', 'b/tap']) keeper.client.put(name, event);
    const switchSide = keeper.connect();
    switchSide.restrict('a/');
    expect(switchSide.list()).toEqual(['a/tap']);
    native.close(switchSide.get('a/tap'));
    expect(() => switchSide.get('ab/tap')).toThrow(/EACCES/);
    expect(() => switchSide.get('nothing')).toThrow(/EACCES/);
    for (const refused of [
      () => switchSide.put('a/tap', event),
      () => switchSide.drop('a/tap'),
      () => switchSide.restrict('b/'),
      () => switchSide.host('h', 'h', '/tmp'),
      () => switchSide.hosts(),
      () => switchSide.stop('h'),
      () => switchSide.pid(),
      () => switchSide.exit(),
    ]) {
      expect(refused).toThrow(/EPERM this connection may only get and list/);
    }
    switchSide.close();
    native.close(event);
    expect(keeper.client.list()).toEqual(['a/tap', 'ab/tap', 'b/tap']);
  });

  it('refuses what is malformed and goes on', async () => {
    await using keeper = await KeeperFixture.start();
    const fd = native.seqpacketConnect(keeper.socket);
    const event = native.eventfd();
    raw(fd, 'pid');
    const before = readdirSync(`/proc/${keeper.process.pid!}/fd`).length;
    expect(raw(fd, 'nonsense')).toEqual(['err', 'EINVAL', 'no such verb']);
    expect(raw(fd, '\0')).toEqual(['err', 'EINVAL', 'no such verb']);
    expect(raw(fd, 'get')).toEqual(['err', 'EINVAL', 'get does not take 0 arguments']);
    expect(raw(fd, 'get\0a\0b')).toEqual(['err', 'EINVAL', 'get does not take 2 arguments']);
    expect(raw(fd, 'put\0a')).toEqual(['err', 'EINVAL', 'put takes one descriptor']);
    expect(raw(fd, 'put\0a', [event, event])).toEqual(['err', 'EINVAL', 'more than one descriptor']);
    expect(raw(fd, 'get\0a', [event])).toEqual(['err', 'EINVAL', 'get takes no descriptor']);
    expect(raw(fd, 'put\0', [event])).toEqual(['err', 'EINVAL', 'a name has 1 to 255 bytes']);
    expect(raw(fd, `put\0${'n'.repeat(256)}`, [event])).toEqual(['err', 'EINVAL', 'a name has 1 to 255 bytes']);
    expect(raw(fd, `put\0${'n'.repeat(255)}`, [event])).toEqual(['ok']);
    expect(raw(fd, 'host\0h\0h\0relative')).toEqual(['err', 'EINVAL', 'not an absolute path: relative']);
    expect(raw(fd, `host\0h\0${'h'.repeat(65)}\0/tmp`)[1]).toBe('EINVAL');
    expect(raw(fd, 'run\0h\0/\0/l\0/e\x002\0true')).toEqual(['err', 'EINVAL', 'n is not the length of ARGV']);
    expect(raw(fd, 'run\0h\0/\0/l\0/e\x001x\0true')).toEqual(['err', 'EINVAL', 'n is not the length of ARGV']);
    expect(raw(fd, 'run\0h\0/\0/l\0/e\x001\0true\0env')).toEqual(['err', 'EINVAL', "ENV has an entry without '='"]);
    expect(raw(fd, 'run\0h\0/\0/l\0/e\x001\0true\0A=')).toEqual(['err', 'ENOENT', 'there is no host h']);
    expect(raw(fd, 'list')).toEqual(['ok', 'n'.repeat(255)]);
    // Every descriptor that came with a refused request was closed.
    expect(readdirSync(`/proc/${keeper.process.pid!}/fd`)).toHaveLength(before + 1);
    native.close(event);
    native.close(fd);
  });

  it('serves others while one client does not read its answers', async () => {
    await using keeper = await KeeperFixture.start();
    const event = native.eventfd();
    for (let i = 0; i < 600; i++) keeper.client.put(`${i}${'x'.repeat(250)}`, event);
    native.close(event);
    const deaf = native.seqpacketConnect(keeper.socket);
    for (let i = 0; i < 8; i++) native.sendMessage(deaf, Buffer.from('list'), [], PATIENCE_MS);
    expect(keeper.client.list()).toHaveLength(600);
    native.close(deaf);
    expect(keeper.client.list()).toHaveLength(600);
  });

  it('says so when nobody listens, and when a field cannot be sent', async () => {
    await using keeper = await KeeperFixture.start();
    expect(() => KeeperClient.connect(keeper.path('nobody'))).toThrow(
      /cannot reach the keeper at .*ENOENT|No such file/,
    );
    expect(() => keeper.client.get('a\0b')).toThrow(/NUL/);
    expect(() => keeper.client.get('x'.repeat(200_000))).toThrow(/did not answer/);
  });
});

describe.skipIf(!isRoot)('a host', () => {
  it('has its own name, hosts file, processes, interfaces, and sees the cgroups', async () => {
    await using keeper = await KeeperFixture.start();
    const cgroups = execFileSync('sh', ['-c', 'ls /sys/fs/cgroup'], { encoding: 'utf8' });
    const pid = keeper.host('h1');
    expect(inside(pid, 'hostname')).toBe('h1\n');
    expect(inside(pid, 'cat', '/etc/hosts')).toBe(readFileSync(keeper.path('hosts'), 'utf8'));
    expect(inside(pid, 'ls', '/sys/class/net')).toBe('lo\n');
    expect(inside(pid, 'ls', '/sys/fs/cgroup')).toBe(cgroups);
    expect(inside(pid, 'ip', '-br', 'link')).toMatch(/^lo\s+UNKNOWN/);
    expect(inside(pid, 'readlink', '/proc/1/ns/net')).toBe(`${readlinkSync(`/proc/${pid}/ns/net`)}\n`);
    expect(inside(pid, 'sh', '-c', 'cat /proc/1/comm')).toBe('luthier-host\n');
    if (existsSync('/etc/hostname')) expect(inside(pid, 'cat', '/etc/hostname')).toBe('from-the-file\n');
    expect(keeper.client.hosts()).toEqual([{ name: 'h1', pid }]);
    expect(() => keeper.host('h1')).toThrow(/EEXIST there is a host h1/);
  });

  it('holds no descriptor of the keeper', async () => {
    await using keeper = await KeeperFixture.start();
    const event = native.eventfd();
    keeper.client.put('event', event);
    native.close(event);
    const pid = keeper.host('h1');
    const held = () => execFileSync('sh', ['-c', `readlink /proc/${pid}/fd/*`], { encoding: 'utf8' });
    // It lets go of the keeper's process, and begins to collect children, when it hears that it is kept.
    await until(() => held().includes('signalfd'));
    expect(held().replace(/\d+/g, 'N').trim().split('\n').sort()).toEqual([
      '/dev/null',
      '/dev/null',
      '/dev/null',
      'anon_inode:[signalfd]',
      // Both ends of its connection with the keeper.
      'socket:[N]',
      'socket:[N]',
    ]);
  });

  it('says which step of its making failed, and leaves nothing', async () => {
    await using keeper = await KeeperFixture.start();
    expect(() => keeper.client.host('h1', 'h1', keeper.path('nowhere'))).toThrow(
      /ENOENT .*nowhere\/hosts: No such file/,
    );
    expect(keeper.client.hosts()).toEqual([]);
    expect(keeper.host('h1')).toBeGreaterThan(0);
  });

  it('runs a command with exactly its environment, appends to its log, and writes how it ended', async () => {
    await using keeper = await KeeperFixture.start();
    keeper.host('h1');
    const [log, exit] = [keeper.path('log'), keeper.path('exit')];
    writeFileSync(log, 'before\n');
    const command = { env: ['A=1', ...env], cwd: keeper.directory, log, exit };
    keeper.client.run('h1', {
      ...command,
      argv: ['sh', '-c', 'env | grep -v ^PWD | sort; pwd; cat; echo err >&2; exit 3'],
    });
    await until(() => existsSync(exit));
    expect(readFileSync(exit, 'utf8')).toBe('exited 3');
    expect(readFileSync(log, 'utf8').split('\n')).toEqual(['before', 'A=1', env[0], keeper.directory, 'err', '']);
    // The file of the earlier run is gone as soon as the next one has started.
    const pid = keeper.client.run('h1', { ...command, argv: ['sleep', '1000'] });
    expect(existsSync(exit)).toBe(false);
    expect(readFileSync(`/proc/${pid}/cmdline`, 'utf8')).toBe('sleep\x001000\0');
    process.kill(pid, 'SIGUSR1');
    await until(() => existsSync(exit));
    expect(readFileSync(exit, 'utf8')).toBe('signalled 10');
  });

  it('says why a command cannot be started', async () => {
    await using keeper = await KeeperFixture.start();
    keeper.host('h1');
    const command = { argv: ['true'], env, cwd: '/', log: keeper.path('log'), exit: keeper.path('exit') };
    const run = (change: Partial<typeof command>) => () => keeper.client.run('h1', { ...command, ...change });
    expect(run({ argv: ['no-such-command'] })).toThrow(/ENOENT exec: No such file/);
    expect(run({ argv: ['/etc/passwd'] })).toThrow(/EACCES exec: Permission denied/);
    expect(run({ cwd: '/no/such/folder' })).toThrow(/ENOENT chdir/);
    expect(run({ log: '/no/such/folder/log' })).toThrow(/ENOENT open the log/);
    expect(existsSync(command.exit)).toBe(false);
    expect(run({})()).toBeGreaterThan(0);
  });

  it('is made beside others, and the first that cannot be made ends it', async () => {
    await using keeper = await KeeperFixture.start();
    const request = (name: string, directory = keeper.directory) => ({ name, hostname: name, directory });
    const names = Array.from({ length: 30 }, (_, i) => `h${i}`);
    const made = new Map<string, number>();
    await keeper.client.makeHosts(
      names.map((name) => request(name)),
      (index, pid) => made.set(names[index]!, pid),
    );
    const hosts = () => new Map(keeper.client.hosts().map(({ name, pid }) => [name, pid]));
    expect(new Set(made.keys())).toEqual(new Set(names));
    expect(hosts()).toEqual(made);
    expect(inside(made.get('h7')!, 'hostname')).toBe('h7\n');
    await keeper.client.makeHosts([], () => expect.unreachable());
    // One in the middle fails: no host is there that `made` was not told of.
    const more = names.map((name, i) => request(`more-${name}`, i === 4 ? keeper.path('nowhere') : keeper.directory));
    await expect(keeper.client.makeHosts(more, (index, pid) => made.set(more[index]!.name, pid))).rejects.toThrow(
      /ENOENT .*nowhere\/hosts: No such file/,
    );
    expect(hosts()).toEqual(made);
  });

  it('collects orphans', async () => {
    await using keeper = await KeeperFixture.start();
    const init = keeper.host('h1');
    inside(init, 'sh', '-c', 'sleep 0.01 & sleep 0.02 &');
    await until(() => readFileSync(`/proc/${init}/task/${init}/children`, 'utf8') === '');
  });

  it('ends with all of its processes; several at once', async () => {
    await using keeper = await KeeperFixture.start();
    const names = Array.from({ length: 20 }, (_, i) => `h${i}`);
    const inits = names.map((name) => keeper.host(name));
    const sleeper = keeper.client.run('h3', {
      argv: ['sleep', '1000'],
      env,
      cwd: '/',
      log: '/dev/null',
      exit: keeper.path('exit'),
    });
    expect(() => keeper.client.stop('h1', 'nobody')).toThrow(/ENOENT there is no host nobody/);
    expect(inits.some(hasEnded)).toBe(false);
    keeper.client.stop('h0', 'h1', 'h1');
    keeper.client.stop(...names.slice(2));
    expect([...inits, sleeper].every(hasEnded)).toBe(true);
    expect(keeper.client.hosts()).toEqual([]);
  });

  // An init that was just cloned has copies of the connections that the keeper closes meanwhile.
  it('starts while other clients come and go, and while other hosts end', async () => {
    await using keeper = await KeeperFixture.start();
    const client = native.seqpacketConnect(keeper.socket);
    keeper.host('other');
    for (let round = 0; round < 25; round++) {
      const others = Array.from({ length: 8 }, () => native.seqpacketConnect(keeper.socket));
      for (const other of others) raw(other, 'pid');
      native.sendMessage(client, Buffer.from(`host\0h${round}\0h\0${keeper.directory}`), [], PATIENCE_MS);
      for (const other of others) native.close(other);
      process.kill(keeper.client.hosts().find(({ name }) => name === 'other')!.pid, 'SIGKILL');
      expect(native.receiveMessage(client, PATIENCE_MS).data.toString()).toMatch(/^ok\0/);
      await until(() => !keeper.client.hosts().some(({ name }) => name === 'other'));
      keeper.host('other');
    }
    native.close(client);
    expect(keeper.client.hosts()).toHaveLength(26);
    expect(keeper.process.exitCode ?? keeper.process.signalCode).toBeNull();
  });

  it('is noticed when its init is killed by somebody else', async () => {
    await using keeper = await KeeperFixture.start();
    const init = keeper.host('h1');
    process.kill(init, 'SIGKILL');
    await until(() => keeper.client.hosts().length === 0);
    expect(keeper.host('h1')).not.toBe(init);
  });

  it('lives on, and goes on collecting, when the keeper is killed', async () => {
    await using keeper = await KeeperFixture.start();
    const init = keeper.host('h1');
    const exit = keeper.path('exit');
    const command = { env, cwd: '/', log: '/dev/null', exit };
    const sleeper = keeper.client.run('h1', { ...command, argv: ['sleep', '1000'] });
    keeper.process.kill('SIGKILL');
    await keeper.ended();
    process.kill(sleeper, 'SIGTERM');
    await until(() => existsSync(exit));
    expect(readFileSync(exit, 'utf8')).toBe('signalled 15');
    expect(inside(init, 'hostname')).toBe('h1\n');
    process.kill(init, 'SIGKILL');
    await until(() => hasEnded(init));
  });

  it('ends with the keeper', async () => {
    await using keeper = await KeeperFixture.start();
    const inits = [keeper.host('h1'), keeper.host('h2')];
    expect(processStatus(inits[0]!, 'Name')).toBe('luthier-host');
    keeper.client.exit();
    expect(inits.every(hasEnded)).toBe(true);
    await keeper.ended();
  });
});
