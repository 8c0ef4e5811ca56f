import { spawn, spawnSync, type ChildProcess, type StdioOptions } from 'node:child_process';
import { once } from 'node:events';
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  writeFileSync,
} from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import type { Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { commandLine, hasEnded, isRoot, KeeperFixture, nsrunPath, processStatus, startOf, until } from './fixture.js';

interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

function nsrun(args: readonly string[], input = '', cwd = '/'): Result {
  return spawnSync(nsrunPath, args, { encoding: 'utf8', input, cwd });
}

/** The first child of a process, once it has one. */
function childOf(pid: number): Promise<number> {
  return until(() => Number(readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').split(' ')[0]) || undefined);
}

describe('nsrun', () => {
  it('explains itself', () => {
    expect(nsrun([])).toMatchObject({ status: 125, stderr: expect.stringMatching(/^usage: nsrun exec/) as string });
    expect(nsrun(['fly'])).toMatchObject({ status: 125 });
    for (const process of [
      'self',
      '',
      '0',
      '-1',
      '+1',
      '1x',
      '1:',
      '1:x',
      '1:-5',
      '1:5 ',
      '2147483648',
      `1:${2n ** 64n}`,
    ])
      expect(nsrun(['exec', process, '--', 'true'])).toMatchObject({
        status: 125,
        stderr: `nsrun: exec: '${process}' is neither PID nor PID:START\n`,
      });
    expect(nsrun(['exec', '1', 'true']).stderr).toBe('nsrun: exec: PID[:START] -- COMMAND is needed\n');
    expect(nsrun(['exec', '--speed', '1', '1', '--', 'true']).stderr).toBe('nsrun: exec: no option --speed\n');
    expect(nsrun(['confine', '--uid', '1', '--', 'x']).stderr).toMatch(/--uid, --gid, --app, --exe and -- are needed/);
  });
});

describe.skipIf(!isRoot)('nsrun exec', () => {
  it('returns the status of the command, 128+n for a signal, 125 to 127 when there is none', async () => {
    await using keeper = await KeeperFixture.start();
    const pid = String(keeper.host('h1'));
    const status = (...command: string[]) => nsrun(['exec', pid, '--', ...command]).status;
    expect(status('true')).toBe(0);
    expect(status('sh', '-c', 'exit 3')).toBe(3);
    expect(status('sh', '-c', 'kill -TERM $$')).toBe(128 + constants.signals.SIGTERM);
    expect(status('sh', '-c', 'kill -KILL $$')).toBe(128 + constants.signals.SIGKILL);
    expect(status('no-such-command')).toBe(127);
    expect(status('/etc/passwd')).toBe(126);
    expect(nsrun(['exec', '2147483647', '--', 'true'])).toMatchObject({
      status: 125,
      stderr: 'nsrun: process 2147483647: No such process\n',
    });
  });

  it('takes no later process for the one that is meant', async () => {
    await using keeper = await KeeperFixture.start();
    const pid = keeper.host('h1');
    const start = startOf(pid);
    const exec = (process: string) => nsrun(['exec', process, '--', 'hostname']);
    expect(exec(`${pid}:${start}`)).toMatchObject({ status: 0, stdout: 'h1\n' });
    for (const other of [start + 1, start - 1, 0])
      expect(exec(`${pid}:${other}`)).toMatchObject({
        status: 125,
        stdout: '',
        stderr: `nsrun: process ${pid}:${other}: No such process\n`,
      });
    // As the number of an init that has ended may belong to a process of the machine.
    expect(exec(String(process.pid))).toMatchObject({
      status: 125,
      stdout: '',
      stderr: `nsrun: process ${process.pid} is in our own network namespace: it belongs to no host\n`,
    });
  });

  it('passes standard streams and the environment through, and keeps the working directory', async () => {
    await using keeper = await KeeperFixture.start();
    const pid = String(keeper.host('h1'));
    const script = 'hostname; pwd; cat; echo error >&2';
    const result = nsrun(['exec', pid, '--', 'sh', '-c', script], 'input\n', keeper.directory);
    expect(result).toMatchObject({ stdout: `h1\n${keeper.directory}\ninput\n`, stderr: 'error\n' });
    expect(nsrun(['exec', '--cwd', '/etc', pid, '--', 'pwd']).stdout).toBe('/etc\n');
    expect(nsrun(['exec', '--cwd', '/no/such', pid, '--', 'pwd'])).toMatchObject({ status: 125, stdout: '' });
  });

  it('puts the command into the cgroups', async () => {
    await using keeper = await KeeperFixture.start();
    const pid = String(keeper.host('h1'));
    const v1 = readFileSync('/proc/mounts', 'utf8').match(/^\S+ (\S+) cgroup \S*\bpids\b/m)?.[1];
    const root = v1 ?? readFileSync('/proc/mounts', 'utf8').match(/^\S+ (\S+) cgroup2 /m)?.[1];
    expect(root, 'a machine without cgroups').toBeDefined();
    const group = join(root!, `luthier-test-${process.pid}`);
    mkdirSync(group);
    try {
      const result = nsrun(['exec', '--cgroup', group, pid, '--', 'cat', '/proc/self/cgroup']);
      expect(result.stdout).toContain(`/luthier-test-${process.pid}\n`);
    } finally {
      spawnSync('rmdir', [group]);
    }
    expect(existsSync(group)).toBe(false);
    expect(nsrun(['exec', '--cgroup', group, pid, '--', 'true']).stderr).toMatch(/cgroup.procs: No such file/);
  });

  it('passes signals on', async () => {
    await using keeper = await KeeperFixture.start();
    const pid = keeper.host('h1');
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP', 'SIGQUIT', 'SIGUSR1', 'SIGUSR2', 'SIGWINCH'] as const) {
      const name = signal.slice(3);
      const script = `trap 'echo got ${name}; exit 7' ${name}; echo ready; while :; do sleep 0.01; done`;
      const child = spawn(nsrunPath, ['exec', String(pid), '--', 'sh', '-c', script]);
      let output = '';
      child.stdout.on('data', (data: Buffer) => (output += data.toString()));
      await until(() => output === 'ready\n');
      child.kill(signal);
      expect(await once(child, 'close')).toEqual([7, null]);
      expect(output).toBe(`ready\ngot ${name}\n`);
    }
  });

  it('stops with its command, and goes on with it', async () => {
    await using keeper = await KeeperFixture.start();
    const child = spawn(nsrunPath, ['exec', String(keeper.host('h1')), '--', 'sleep', '1000'], { detached: true });
    const command = await childOf(child.pid!);
    await until(() => commandLine(command) === 'sleep 1000');
    const states = () => [child.pid!, command].map((pid) => processStatus(pid, 'State')?.[0]).join('');
    process.kill(command, 'SIGSTOP');
    await until(() => states() === 'TT');
    child.kill('SIGCONT');
    await until(() => states() === 'SS');
    child.kill('SIGTERM');
    expect(await once(child, 'close')).toEqual([128 + constants.signals.SIGTERM, null]);
  });

  it.skipIf(!existsSync('/usr/bin/script'))('lets a terminal interrupt the command, once', async () => {
    await using keeper = await KeeperFixture.start();
    const inner = 'trap "echo got INT" INT; echo ready; until read -r line; do :; done; exit 9';
    // script(1) gives the command a terminal and passes on what is typed. Its $SHELL must not stay in between: dash
    // would, and the interrupt would end it.
    const command = `exec ${nsrunPath} exec ${keeper.host('h1')} -- sh -c '${inner}'`;
    const terminal = spawn('/usr/bin/script', ['-qec', command, '/dev/null']);
    let output = '';
    terminal.stdout.on('data', (data: Buffer) => (output += data.toString()));
    await until(() => output.includes('ready'));
    terminal.stdin.write('\x03');
    await until(() => output.includes('got INT'));
    terminal.stdin.write('a line\n');
    expect(await once(terminal, 'close')).toEqual([9, null]);
    expect(output.match(/got INT/g)).toHaveLength(1);
  });

  it('takes its command with it when it is killed', async () => {
    await using keeper = await KeeperFixture.start();
    const child = spawn(nsrunPath, ['exec', String(keeper.host('h1')), '--', 'sleep', '1000']);
    const command = await childOf(child.pid!);
    await until(() => commandLine(command) === 'sleep 1000');
    child.kill('SIGKILL');
    await until(() => hasEnded(command));
  });
});

describe.skipIf(!isRoot)('nsrun batch', () => {
  it('configures several namespaces in order', async () => {
    await using keeper = await KeeperFixture.start();
    const [h1, h2] = [keeper.host('h1'), keeper.host('h2')];
    const result = nsrun(
      ['batch'],
      `# a pair between two hosts
@${h1}
link add eth0 type veth peer name eth0 netns ${h2}

  addr add 10.0.0.1/24 dev eth0
sysctl net/ipv4/conf/eth0/arp_ignore 1
sysctl net/ipv4/ping_group_range 0 7
link set dev eth0 up
@${h2}
addr add 10.0.0.2/24 dev eth0
link set dev eth0 up
`,
    );
    expect(result).toMatchObject({ status: 0, stderr: '' });
    const read = (file: string) => nsrun(['exec', String(h1), '--', 'cat', file]).stdout;
    expect(read('/proc/sys/net/ipv4/conf/eth0/arp_ignore')).toBe('1\n');
    expect(read('/proc/sys/net/ipv4/ping_group_range')).toBe('0\t7\n');
    expect(nsrun(['exec', String(h2), '--', 'ip', '-br', 'addr']).stdout).toMatch(/^eth0@\S+ .* 10.0.0.2\/24/m);
    // Nothing passes until the kernel has noticed that there is carrier.
    await until(() => nsrun(['exec', String(h1), '--', 'ping', '-c1', '-W5', '10.0.0.2']).status === 0);
  });

  it('says which line failed and why, and does nothing after it', async () => {
    await using keeper = await KeeperFixture.start();
    const pid = keeper.host('h1');
    const batch = (...lines: string[]) => nsrun(['batch'], lines.join('\n'));
    expect(
      batch('# first', `@${pid}`, 'link add br0 type bridge', '', 'link add br0 type bridge', 'link del dev br0'),
    ).toMatchObject({
      status: 1,
      stderr: `section @${pid}: line 5: link add br0 type bridge: RTNETLINK answers: File exists\n`,
    });
    expect(nsrun(['exec', String(pid), '--', 'ip', '-br', 'link']).stdout).toMatch(/^br0 /m);
    expect(batch(`@${pid}`, 'link set dev nothing up').stderr).toBe(
      `section @${pid}: line 2: link set dev nothing up: Cannot find device "nothing"\n`,
    );
    expect(batch(`@${pid}`, 'sysctl net/ipv4/no_such 1', 'link del dev br0').stderr).toBe(
      `section @${pid}: line 2: sysctl net/ipv4/no_such 1: No such file or directory\n`,
    );
    expect(batch(`@${pid}`, 'sysctl net/ipv4/ip_forward').stderr).toMatch(/line 2: .*: PATH and VALUE are needed/);
    expect(batch(`@${pid}`, 'sysctl net/../../self/oom_adj 1').stderr).toMatch(/not a path below \/proc\/sys/);
    expect(batch('@2147483647').stderr).toBe('section @2147483647: line 1: @2147483647: No such process\n');
    expect(batch('@h1').stderr).toBe('section @h1: line 1: @h1: not @self, @PID or @PID:START\n');
    expect(nsrun(['exec', String(pid), '--', 'ip', '-br', 'link']).stdout).toMatch(/^br0 /m);
  });

  it('takes no later process for the one that is meant', async () => {
    await using keeper = await KeeperFixture.start();
    const pid = keeper.host('h1');
    const batch = (process: string) => nsrun(['batch'], `@${process}\nlink add br0 type bridge\nlink del dev br0`);
    expect(batch(`${pid}:${startOf(pid)}`)).toMatchObject({ status: 0, stderr: '' });
    const other = `${pid}:${startOf(pid) + 1}`;
    expect(batch(other)).toMatchObject({
      status: 1,
      stderr: `section @${other}: line 1: @${other}: No such process\n`,
    });
  });

  it('goes on after a line that may fail', async () => {
    await using keeper = await KeeperFixture.start();
    const pid = keeper.host('h1');
    const batch = (...lines: string[]) => nsrun(['batch'], [`@${pid}`, ...lines].join('\n'));
    const links = () => nsrun(['exec', String(pid), '--', 'ls', '/sys/class/net']).stdout;
    expect(
      batch(
        '-link del dev nothing',
        '- addr del 10.0.0.1/24 dev lo',
        '-route del 10.1.0.0/16 via 10.0.0.2 dev lo',
        '-link add br0 type bridge',
        'link add br1 type bridge',
        '-sysctl net/ipv4/no_such 1',
        '-sysctl net/ipv4/ip_forward 1',
        '-link del dev br1',
        'link add br2 type bridge',
      ),
    ).toMatchObject({ status: 0, stdout: '', stderr: '' });
    expect(links()).toBe('br0\nbr2\nlo\n');
    expect(nsrun(['exec', String(pid), '--', 'cat', '/proc/sys/net/ipv4/ip_forward']).stdout).toBe('1\n');
    // One that must succeed still ends it.
    expect(batch('-link del dev br2', 'link del dev br2', '-link del dev br0')).toMatchObject({
      status: 1,
      stderr: `section @${pid}: line 3: link del dev br2: Cannot find device "br2"\n`,
    });
    expect(links()).toBe('br0\nlo\n');
  });

  it('takes a line that ip cannot parse for a mistake, wherever it stands', async () => {
    await using keeper = await KeeperFixture.start();
    const section = `@${keeper.host('h1')}`;
    const batch = (...lines: string[]) => nsrun(['batch'], [section, ...lines].join('\n'));
    const said = 'Error: argument "many" is wrong: Invalid "mtu" value';
    expect(batch('-link del dev nothing', '-link set dev lo mtu many', '-link del dev lo')).toMatchObject({
      status: 1,
      stderr: `section ${section}: lines 2 to 4: ${said}\n`,
    });
    expect(batch('link set dev lo up', 'link set dev lo mtu many').stderr).toBe(
      `section ${section}: lines 2 to 3: ${said}\n`,
    );
    expect(batch('-link set dev lo mtu many').stderr).toBe(
      `section ${section}: line 2: -link set dev lo mtu many: ${said}\n`,
    );
    const withoutIp = spawnSync(nsrunPath, ['batch'], {
      input: '-link set dev lo up\n',
      env: { PATH: '/no/such' },
      encoding: 'utf8',
    });
    expect(withoutIp).toMatchObject({ status: 125, stderr: 'nsrun: ip: No such file or directory\n' });
  });

  it('replaces addresses and routes, and says nothing when they are there', async () => {
    await using keeper = await KeeperFixture.start();
    const pid = keeper.host('h1');
    const script = [
      `@${pid}`,
      'addr replace 10.0.0.1/24 dev eth0',
      'addr replace fd00::1/64 dev eth0 nodad',
      'link set dev eth0 up',
      'route replace default via 10.0.0.2 dev eth0',
      'route replace 10.1.0.0/16 via 10.0.0.2 dev eth0',
      'route replace default via fd00::2 dev eth0',
      'route replace fd01::/64 via fd00::2 dev eth0',
    ].join('\n');
    nsrun(['batch'], `@${pid}\nlink add eth0 type veth peer name eth1\nlink set dev eth1 up\n`);
    // Without link-local addresses and flags, which come and go with the carrier.
    const state = () =>
      nsrun(['exec', String(pid), '--', 'sh', '-c', 'ip -o addr show dev eth0 scope global; ip route; ip -6 route'])
        .stdout.match(/inet6? \S+|\S+ via \S+/g)
        ?.sort();
    const expected = (v4: string, v6: string) =>
      [`10.1.0.0/16 via ${v4}`, `default via ${v4}`, `default via ${v6}`, `fd01::/64 via ${v6}`].concat(
        'inet 10.0.0.1/24',
        'inet6 fd00::1/64',
      );
    expect(nsrun(['batch'], script)).toMatchObject({ status: 0, stderr: '' });
    expect(state()).toEqual(expected('10.0.0.2', 'fd00::2'));
    expect(nsrun(['batch'], script)).toMatchObject({ status: 0, stderr: '' });
    expect(state()).toEqual(expected('10.0.0.2', 'fd00::2'));
    // Another way replaces the one there was, and is not added to it.
    nsrun(['batch'], script.replaceAll('via 10.0.0.2', 'via 10.0.0.3').replaceAll('via fd00::2', 'via fd00::3'));
    expect(state()).toEqual(expected('10.0.0.3', 'fd00::3'));
  });

  it('announces the addresses of an interface to those who have others for them', async () => {
    await using keeper = await KeeperFixture.start();
    const [h1, h2] = [keeper.host('h1'), keeper.host('h2')];
    const mac = '02:00:00:00:00:01';
    const onLink = ['10.0.0.1', '10.0.0.3', 'fd00::1', 'fe80::ff:fe00:1'];
    const batch = (...lines: string[]) => nsrun(['batch'], lines.join('\n'));
    const made = batch(
      `@${h1}`,
      `link add eth0 address ${mac} type veth peer name eth0 netns ${h2}`,
      'sysctl net/ipv6/conf/eth0/accept_dad 0',
      'sysctl net/ipv6/conf/eth0/forwarding 1',
      // It asks nobody whether they are still there: that would tell them its MAC, five seconds after they were heard.
      'sysctl net/ipv6/neigh/eth0/delay_first_probe_time 60',
      'addr add 10.0.0.1/24 dev eth0',
      'addr add 10.0.0.3/24 dev eth0',
      'addr add fd00::1/64 dev eth0 nodad',
      'link set dev eth0 up',
      `@${h2}`,
      'sysctl net/ipv6/conf/eth0/accept_dad 0',
      'addr add 10.0.0.2/24 dev eth0',
      'addr add fd00::2/64 dev eth0 nodad',
      'link set dev eth0 up',
    );
    expect(made).toMatchObject({ status: 0, stderr: '' });
    // IPv6 hears no group until the kernel has noticed that there is carrier.
    const all = ['ping', '-L', '-c1', '-W1', 'ff02::1%eth0'];
    await until(() => nsrun(['exec', String(h1), '--', ...all]).status === 0);
    const stale = onLink.map((dst) => `neigh replace ${dst} lladdr 02:00:00:00:00:99 dev eth0 nud reachable`);
    expect(batch(`@${h2}`, ...stale)).toMatchObject({ status: 0, stderr: '' });
    interface Neighbour {
      readonly dst: string;
      readonly lladdr: string;
      readonly router?: null;
    }
    const neighbours = (): unknown =>
      (JSON.parse(nsrun(['exec', String(h2), '--', 'ip', '-j', 'neigh']).stdout) as Neighbour[])
        .map(({ dst, lladdr, router }) => ({ dst, lladdr, router: router === null }))
        .sort((a, b) => (a.dst < b.dst ? -1 : 1));
    expect(batch(`@${h1}`, 'announce eth0')).toMatchObject({ status: 0, stdout: '', stderr: '' });
    // The link-local address cannot have changed its MAC, and there are others for the switches to learn.
    const expected = onLink.map((dst) => ({
      dst,
      lladdr: dst.startsWith('fe80') ? '02:00:00:00:00:99' : mac,
      router: dst === 'fd00::1',
    }));
    await expect.poll(neighbours).toEqual(expected);
    // Where it is the only one, it is announced, now by a host.
    expect(
      batch(`@${h1}`, 'sysctl net/ipv6/conf/eth0/forwarding 0', 'addr flush dev eth0 scope global', 'announce eth0'),
    ).toMatchObject({ status: 0, stdout: '', stderr: '' });
    const last = expected.map((neighbour) => ({ ...neighbour, lladdr: mac }));
    await expect.poll(neighbours).toEqual(last);

    expect(batch(`@${h1}`, 'announce nothing').stderr).toBe(
      `section @${h1}: line 2: announce nothing: No such device\n`,
    );
    expect(batch(`@${h1}`, '-announce nothing', '-announce a-name-that-is-too-long')).toMatchObject({
      status: 0,
      stderr: '',
    });
  });

  it('leaves out the section of a process that is gone, where it may', async () => {
    await using keeper = await KeeperFixture.start();
    const host = keeper.host('h1');
    const batch = (...lines: string[]) => nsrun(['batch'], lines.join('\n'));
    // It has that pid, and did not start then.
    const made = batch(
      `-@${host}:1`,
      'link add br0 type bridge',
      'sysctl no/such 1',
      `-@${host}`,
      'link add br1 type bridge',
    );
    expect(made).toMatchObject({ status: 0, stderr: '' });
    expect(nsrun(['exec', String(host), '--', 'ls', '/sys/class/net']).stdout).toBe('br1\nlo\n');
    expect(batch(`@${host}:1`, 'link add br0 type bridge').stderr).toMatch(
      /^section @\d+:1: line 1: .*No such process/,
    );
    expect(batch('-@x').stderr).toMatch(/not @self, @PID or @PID:START/);
  });

  it('comes back to its own namespace for @self', async () => {
    await using keeper = await KeeperFixture.start();
    const [outer, inner] = [keeper.host('outer'), keeper.host('inner')];
    const lines = [`@${inner}`, 'link add br0 type bridge', '@self', 'link add br1 type bridge'];
    expect(nsrun(['exec', String(outer), '--', nsrunPath, 'batch'], lines.join('\n')).stderr).toMatch(
      /No such process/, // pids are those of the host's own /proc
    );
    const own = ['link add br1 type bridge', '@1', '@self', 'link add br2 type bridge'].join('\n');
    expect(nsrun(['exec', String(outer), '--', nsrunPath, 'batch'], own)).toMatchObject({ status: 0, stderr: '' });
    expect(nsrun(['exec', String(outer), '--', 'ls', '/sys/class/net']).stdout).toBe('br1\nbr2\nlo\n');
  });
});

describe.skipIf(!isRoot)('nsrun confine', () => {
  /** A script of its own in a folder that only root can reach, as a package below a home may be. */
  function application(keeper: KeeperFixture, script: string): string {
    const closed = keeper.path('closed');
    const directory = join(closed, 'app');
    mkdirSync(directory, { recursive: true });
    writeFileSync(join(directory, 'main.cjs'), script);
    chmodSync(closed, 0o700);
    chmodSync(directory, 0o755);
    return directory;
  }

  /** Settings of node's own may name files that are not in the view. */
  const env = Object.fromEntries(Object.entries(process.env).filter(([name]) => !/^(NODE|npm)_/.test(name)));

  function confineArgs(app: string, ids: readonly [number, number], exe: string, extra: readonly string[]): string[] {
    const identity = ['--uid', String(ids[0]), '--gid', String(ids[1])];
    return ['confine', ...identity, '--app', app, '--exe', exe, ...extra, '--', '/tmp/app/main.cjs'];
  }

  function confined(app: string, extra: readonly string[], stdio: StdioOptions = 'pipe'): ChildProcess {
    return spawn(nsrunPath, confineArgs(app, [64321, 64322], process.execPath, extra), { stdio, env });
  }

  async function output(child: ChildProcess): Promise<string> {
    let text = '';
    child.stdout!.on('data', (data: Buffer) => (text += data.toString()));
    child.stderr!.on('data', (data: Buffer) => (text += data.toString()));
    await once(child, 'close');
    return text;
  }

  it('leaves a process no user, group, capability, or way to one', async () => {
    await using keeper = await KeeperFixture.start();
    const app = application(keeper, `console.log('running'); process.stdin.resume();`);
    const child = confined(app, []);
    await once(child.stdout!, 'data');
    const status = (key: string) => processStatus(child.pid!, key);
    expect(status('Uid')).toBe('64321\t64321\t64321\t64321');
    expect(status('Gid')).toBe('64322\t64322\t64322\t64322');
    expect(status('Groups')?.trim()).toBe('');
    for (const set of ['CapInh', 'CapPrm', 'CapEff', 'CapBnd', 'CapAmb']) expect(status(set)).toBe('0000000000000000');
    expect(status('NoNewPrivs')).toBe('1');
    expect(status('Umask')).toBe('0077');
    child.stdin!.end();
    await once(child, 'close');
  });

  it('leaves it no network and nothing to write', async () => {
    await using keeper = await KeeperFixture.start();
    const app = application(
      keeper,
      `const fs = require('node:fs');
       const attempt = (path) => { try { fs.writeFileSync(path, ''); return 'written'; } catch (error) { return error.code; } };
       console.log(JSON.stringify({
         exe: process.execPath, script: __filename, cwd: process.cwd(), net: Object.keys(require('node:os').networkInterfaces()),
         writes: ['/x', '/tmp/x', '/tmp/app/x', '/usr/x', '/proc/self/oom_score_adj', '/dev/x', '/dev/null'].map(attempt),
       }));`,
    );
    const denied = expect.stringMatching(/^(EROFS|EACCES)$/) as string;
    expect(JSON.parse(await output(confined(app, [])))).toEqual({
      exe: '/tmp/node',
      script: '/tmp/app/main.cjs',
      cwd: '/',
      net: [],
      writes: [denied, denied, 'EROFS', denied, 'EROFS', denied, 'written'],
    });
    // What the view needed was never made on the machine.
    expect(existsSync('/tmp/app')).toBe(false);
  });

  /** Prints what there is to be seen, and that a thread works in it. */
  const LOOK = `
    const fs = require('node:fs');
    const { Worker } = require('node:worker_threads');
    const list = (path) => { try { return fs.readdirSync(path).sort(); } catch (error) { return error.code; } };
    const worker = new Worker('require("node:worker_threads").parentPort.postMessage(7)', { eval: true });
    worker.once('message', (thread) => console.log(JSON.stringify({
      pid: process.pid, thread, root: list('/'), tmp: list('/tmp'), dev: list('/dev'), proc: list('/proc'), lib: list('/tmp/lib'),
      etc: fs.readdirSync('/etc', { recursive: true, withFileTypes: true }).filter((e) => !e.isDirectory()).map((e) => e.name).sort(),
      mounts: fs.readFileSync('/proc/self/mountinfo', 'utf8').trim().split('\\n').filter((line) => !/ ro[, ]/.test(line)),
      memory: process.memoryUsage().rss > 0,
    })));`;
  const present = (...paths: string[]) =>
    paths.filter((path) => existsSync(path)).map((path) => path.split('/').at(-1));
  const view = (pid: number) => ({
    pid,
    thread: 7,
    root: [
      ...present('/bin'),
      'dev',
      'etc',
      ...present('/lib', '/lib64', '/nix'),
      'proc',
      ...present('/sbin'),
      'tmp',
      'usr',
    ],
    tmp: ['app', 'node'],
    dev: ['null', 'random', 'urandom', 'zero'],
    proc: [String(pid), 'self'],
    lib: 'ENOENT',
    etc: present('/etc/ld.so.cache', '/etc/ssl/openssl.cnf'),
    mounts: [],
    memory: true,
  });

  it('shows it its code, programs and libraries, and its own process', async () => {
    await using keeper = await KeeperFixture.start();
    const child = confined(application(keeper, LOOK), []);
    expect(JSON.parse(await output(child))).toEqual(view(child.pid!));
  });

  const ordinary = ['--reuid=65534', '--regid=65534', '--clear-groups', '--inh-caps=-all', '--bounding-set=-all'];
  const rootless = [...ordinary, 'unshare', '--user', '--map-root-user', '--net', '--mount'];
  // Some machines let root alone make user namespaces.
  const rootlessWorks = isRoot && spawnSync('setpriv', [...rootless, 'true']).status === 0;

  it.skipIf(!rootlessWorks)('does the same in a user namespace with a single user', async () => {
    await using keeper = await KeeperFixture.start();
    const app = application(keeper, LOOK);
    // An ordinary user must be able to reach all three, which the checkout and node may not let it.
    for (const directory of [keeper.directory, keeper.path('closed')]) chmodSync(directory, 0o755);
    const [nsrunCopy, exe] = [keeper.path('nsrun'), keeper.path('node')];
    copyFileSync(nsrunPath, nsrunCopy);
    copyFileSync(process.execPath, exe);
    const child = spawn('setpriv', [...rootless, nsrunCopy, ...confineArgs(app, [0, 0], exe, [])], { env });
    expect(JSON.parse(await output(child))).toEqual(view(child.pid!));
  });

  it('becomes a program of a home that nobody else may enter, with the libraries beside it', async () => {
    await using keeper = await KeeperFixture.start();
    const app = application(keeper, LOOK);
    const installation = keeper.path('closed/node');
    mkdirSync(join(installation, 'bin'), { recursive: true });
    mkdirSync(join(installation, 'lib/node_modules'), { recursive: true });
    const exe = join(installation, 'bin/node');
    copyFileSync(process.execPath, exe);
    chmodSync(installation, 0o700);
    const start = () => spawn(nsrunPath, confineArgs(app, [64321, 64322], exe, []), { env });
    const plain = start();
    expect(JSON.parse(await output(plain))).toEqual(view(plain.pid!));
    writeFileSync(join(installation, 'lib/libnode.so.115'), '');
    const shared = start();
    expect(JSON.parse(await output(shared))).toEqual({
      ...view(shared.pid!),
      tmp: ['app', 'lib', 'node'],
      lib: ['libnode.so.115', 'node_modules'],
    });
  });

  it('reaches no other process of a user that it shares, and makes none', async () => {
    await using keeper = await KeeperFixture.start();
    const waits = application(keeper, `console.log(process.pid); setInterval(() => {}, 1e6);`);
    const shared = (app: string) => spawn(nsrunPath, confineArgs(app, [0, 0], process.execPath, []), { env });
    const other = shared(waits);
    await once(other.stdout, 'data');
    const script = `
      const { spawnSync } = require('node:child_process');
      const os = require('node:os');
      const attempt = (call) => { try { call(); return 'done'; } catch (error) { return error.code; } };
      const other = ${other.pid!};
      console.log(JSON.stringify({
        kill: attempt(() => process.kill(other, 'SIGKILL')),
        priority: attempt(() => os.setPriority(other, 19)),
        spawn: spawnSync('/bin/true').error?.code,
        itself: attempt(() => process.kill(process.pid, 0)),
      }));`;
    const child = shared(application(keeper, script));
    expect(JSON.parse(await output(child))).toEqual({
      kill: 'EPERM',
      priority: 'ERR_SYSTEM_ERROR',
      spawn: 'EPERM',
      itself: 'done',
    });
    const ended = once(other, 'close');
    expect(processStatus(other.pid!, 'Seccomp')).toBe('2');
    other.kill('SIGKILL');
    expect(await ended).toEqual([null, 'SIGKILL']);
  });

  it('can be ended by signals', async () => {
    await using keeper = await KeeperFixture.start();
    const app = application(
      keeper,
      `process.on('SIGTERM', () => process.exit(7)); console.log('x'); setInterval(() => {}, 1e6);`,
    );
    for (const [signal, end] of [
      ['SIGTERM', [7, null]],
      ['SIGKILL', [null, 'SIGKILL']],
    ] as const) {
      const child = confined(app, []);
      await once(child.stdout!, 'data');
      expect(readFileSync(`/proc/${child.pid!}/comm`, 'utf8')).not.toBe('nsrun\n');
      const ended = once(child, 'close');
      child.kill(signal);
      expect(await ended).toEqual(end);
    }
  });

  it('keeps the descriptors that are named and no others', async () => {
    await using keeper = await KeeperFixture.start();
    const app = application(
      keeper,
      `const fs = require('node:fs');
       const kept = [3, 4, 5, 6].filter((fd) => { try { return fs.readlinkSync('/proc/self/fd/' + fd).endsWith('hosts'); } catch { return false; } });
       console.log(kept.join());`,
    );
    const fd = openSync(keeper.path('hosts'), 'r');
    const child = confined(app, ['--keep', '6', '--keep', '4'], ['pipe', 'pipe', 'pipe', fd, fd, fd, fd]);
    closeSync(fd);
    expect(await output(child)).toBe('4,6\n');
    expect(await output(confined(app, ['--keep', '99']))).toBe('nsrun: --keep 99: Bad file descriptor\n');
  });

  it('starts when it is told to, and not where whoever should tell it has ended', async () => {
    await using keeper = await KeeperFixture.start();
    const app = application(keeper, "console.log('started')");
    const start = (): { output: Promise<string>; word: Writable } => {
      const child = confined(app, ['--await', '3'], ['pipe', 'pipe', 'pipe', 'pipe']);
      return { output: output(child), word: child.stdio[3] as Writable };
    };
    const told = start();
    told.word.end('.');
    expect(await told.output).toBe('started\n');
    const forgotten = start();
    forgotten.word.destroy();
    expect(await forgotten.output).toBe('nsrun: --await: it ended before a byte came\n');
  });

  it('says so when the user could not read the application', async () => {
    await using keeper = await KeeperFixture.start();
    const app = application(keeper, '');
    chmodSync(app, 0o700);
    expect(await output(confined(app, []))).toMatch(/user 64321 may not read .*closed\/app \(chmod -R go\+rX/);
    expect(await output(confined(join(app, 'nowhere'), []))).toMatch(/closed\/app\/nowhere: No such file/);
  });
});
