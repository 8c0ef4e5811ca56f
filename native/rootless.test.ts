/** `nsrun rootless`, as whoever runs the tests: root may do what an ordinary user may. */
import { execFileSync, spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync, readlinkSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { isRoot, nsrunPath } from './fixture.js';

const refused = spawnSync(nsrunPath, ['rootless', '--', 'true'], { encoding: 'utf8' });

function rootless(...args: string[]): string {
  return execFileSync(nsrunPath, ['rootless', ...args], { encoding: 'utf8' }).trimEnd();
}

function startOf(pid: number): number {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19]);
}

/** A process in a user namespace of its own, until it is ended. */
async function inhabitant(program = nsrunPath, args: readonly string[] = []) {
  const child = spawn(program, [...args, 'rootless', '--', 'sh', '-c', 'echo; exec sleep 1000'], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  await once(child.stdout, 'data');
  const pid = child.pid!;
  return {
    name: `${pid}:${startOf(pid)}`,
    user: readlinkSync(`/proc/${pid}/ns/user`),
    async [Symbol.asyncDispose]() {
      child.kill('SIGKILL');
      await once(child, 'close');
    },
  };
}

const USER = ['readlink', '/proc/self/ns/user'];

describe.skipIf(refused.status !== 0)(`nsrun rootless ${refused.stderr}`, () => {
  it('becomes root of a namespace in which its user is the only one', () => {
    const ids = `${process.geteuid!()} ${process.getegid!()}`;
    const script = 'id -u; id -g; cat /proc/self/uid_map /proc/self/gid_map /proc/self/setgroups';
    const [uid, gid, uidMap, gidMap, setgroups] = rootless('--', 'sh', '-c', script).split('\n');
    expect([uid, gid, setgroups]).toEqual(['0', '0', 'deny']);
    expect([uidMap, gidMap].map((line) => line!.trim().split(/\s+/))).toEqual(
      ids.split(' ').map((id) => ['0', id, '1']),
    );
  });

  it('has a network of its own, the mounts and processes of the machine, and may make namespaces', () => {
    expect(rootless('--', 'cat', '/proc/net/dev').split('\n').slice(2)).toEqual([expect.stringMatching(/^ *lo:/)]);
    for (const kind of ['mnt', 'pid', 'uts', 'ipc'])
      expect(rootless('--', 'readlink', `/proc/self/ns/${kind}`)).toBe(readlinkSync(`/proc/self/ns/${kind}`));
    expect(rootless('--', 'unshare', '--net', '--mount', 'echo', 'made')).toBe('made');
  });

  it('joins the first candidate that lives, in a network namespace of its own', async () => {
    await using first = await inhabitant();
    await using second = await inhabitant();
    const [pid] = first.name.split(':');
    const ended = ['--join', '2147483647', '--join', `${pid}:1`];
    const own = ['--join', `${process.pid}:${startOf(process.pid)}`];
    const joins = [...ended, ...own, '--join', first.name, '--join', second.name];
    const [user, net] = rootless(...joins, '--', 'readlink', '/proc/self/ns/user', '/proc/self/ns/net').split('\n');
    expect(user).toBe(first.user);
    expect(user).not.toBe(second.user);
    expect(net).not.toBe(readlinkSync(`/proc/${pid}/ns/net`));
    expect(rootless('--join', first.name, '--', 'id', '-u')).toBe('0');
  });

  it('makes another where none is left', async () => {
    await using other = await inhabitant();
    const [pid] = other.name.split(':');
    const user = rootless('--join', `${pid}:1`, '--', ...USER);
    expect([other.user, readlinkSync('/proc/self/ns/user')]).not.toContain(user);
  });

  it.skipIf(!isRoot)("passes over another user's (only root can be another user)", async () => {
    const ids = ['--reuid=65534', '--regid=65534', '--clear-groups', nsrunPath];
    await using theirs = await inhabitant('setpriv', ids);
    expect(rootless('--join', theirs.name, '--', ...USER)).not.toBe(theirs.user);
  });

  it('ends as its command does, and says what it cannot do', () => {
    const status = (...args: string[]) => spawnSync(nsrunPath, ['rootless', ...args], { encoding: 'utf8' });
    expect(status('--', 'sh', '-c', 'exit 3').status).toBe(3);
    expect(status('--', 'no-such-command').status).toBe(127);
    expect(status('true')).toMatchObject({ status: 125, stderr: 'nsrun: rootless: -- COMMAND is needed\n' });
    expect(status('--join', 'x', '--', 'true').stderr).toBe("nsrun: rootless: 'x' is neither PID nor PID:START\n");
  });
});
