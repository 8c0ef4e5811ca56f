/** What the README of a scenario shows is run as it stands there. That of two-lans has a test of its own. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Bench, isRoot, ROOT, run } from './machine.js';

// The other end of its VXLAN is in this machine's network, which only root may change.
describe.runIf(isRoot)('the scenario vxlan', () => {
  let bench: Bench;
  const readme = readFileSync(join(ROOT, 'scenarios/vxlan/README.md'), 'utf8');
  const [otherEnd, way, end] = [...readme.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, block]) => block!);
  const bash = (script: string): ReturnType<typeof run> =>
    run('bash', ['-euo', 'pipefail', '-c', script], {
      cwd: ROOT,
      env: { ...bench.env, PATH: `${join(ROOT, 'bin')}:${process.env.PATH ?? ''}` },
    });

  beforeAll(async () => {
    // The first namespace that `ip` names on a machine makes /run/netns a mount, which stays.
    const first = `luthier-${process.pid}`;
    for (const change of ['add', 'delete'])
      expect(await run('ip', ['netns', change, first])).toMatchObject({ code: 0 });
    bench = new Bench();
  });
  // Whatever happened; where all went well it is gone already.
  afterAll(async () => {
    await bash('ip link delete to-rack 2>/dev/null || true; ip netns delete rack 2>/dev/null || true');
    await bench[Symbol.asyncDispose]();
  });

  it('is as its README says', async () => {
    expect(await bash(otherEnd!)).toMatchObject({ code: 0 });
    const tried = await bash(way!);
    expect(tried.code, tried.stderr).toBe(0);
    expect(tried.stdout.match(/3 received/g)).toHaveLength(2);
    expect(tried.stdout).toMatch(/switch s1 +has learned 1 addresses behind rack--s1/);
    expect(tried.stdout).toMatch(/rack to 198\.51\.100\.7 +leaves for UDP port 4789 with VNI 100\nh1 reaches rack/);
    expect(tried.stdout).toMatch(/rack +vxlan .* VNI 100 /);
    const min = /min\/avg\/max\/mdev = ([\d.]+)/.exec(tried.stdout)![1];
    expect(Number(min)).toBeGreaterThanOrEqual(10);
  });

  it('says in a trace where there is no way to the other end, or it would be too narrow', async () => {
    expect(await bash('ip link set dev to-rack mtu 1400')).toMatchObject({ code: 0 });
    expect(await bench.ok('trace', 'h2', 'rack')).toContain('packets of more than 1350 bytes are dropped');
    expect(await bash('ip route replace unreachable 198.51.100.7/32')).toMatchObject({ code: 0 });
    const lost = await bench.luthier('trace', 'h2', 'rack');
    expect(await bash('ip route delete unreachable 198.51.100.7/32')).toMatchObject({ code: 0 });
    expect(lost).toMatchObject({ code: 1 });
    expect(lost.stdout).toMatch(/rack to 198\.51\.100\.7 +machine local has no route to it\nh2 does not reach rack/);
    expect(await bench.luthier('trace', 'rack', 'h2')).toMatchObject({ code: 2 });
    expect((await bench.luthier('simulate', join(ROOT, 'scenarios/vxlan/scenario.yaml'))).stderr).toContain(
      'the VXLAN rack leads out of the network',
    );
  });

  it('is taken down as its README says', async () => {
    expect(await bash(end!)).toMatchObject({ code: 0 });
  });
});
