/**
 * `up` of a changed file: every kind of change, one after another, in a network in which two hosts talk to each other all
 * the while; and changes that fail. The two are on a LAN of their own, which no step names:
 *
 *   alice ── s0 ── bob        h1, h2, … ── s1, …
 */
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { execArguments, execute } from '../../control/exec.js';
import { load } from '../../control/scenario/index.js';
import type { NetworkState } from '../../model/messages.js';
import type { RawEndpoint, RawLink, RawNode, RawScenario } from '../../model/scenario.js';
import { Conversation } from './conversation.js';
import { isRoot, QUICK } from './machine.js';
import { observe } from './observe.js';
import { Twins } from './twins.js';

const NAME = 'change';

/** A scenario that is edited. */
class Draft {
  seed = 1;
  machines: string[] | undefined;
  nodes: Record<string, Record<string, unknown>> = {
    s0: { kind: 'switch', subnet: '10.0.0.0/24', subnet6: 'fd00::/64' },
    alice: { kind: 'host', command: ['sleep', '1000'] },
    bob: { kind: 'host' },
    s1: { kind: 'switch', subnet: '10.1.0.0/24' },
    h1: { kind: 'host' },
    h2: { kind: 'host' },
  };
  links: Record<string, unknown>[] = [];

  constructor() {
    for (const [host, above] of ['alice s0', 'bob s0', 'h1 s1', 'h2 s1'].map((link) => link.split(' ')))
      this.link(host!, above!);
  }

  link(a: RawEndpoint, b: string, properties: Partial<RawLink> = {}): void {
    this.links.push({ endpoints: [a, b], ...properties });
  }

  /** The only link between two nodes. */
  linkOf(a: string, b: string): Record<string, unknown> {
    const nodeOf = (end: RawEndpoint): string => (typeof end === 'string' ? end : end.node);
    return this.links.find(({ endpoints }) => (endpoints as RawEndpoint[]).map(nodeOf).join() === `${a},${b}`)!;
  }

  remove(...names: string[]): void {
    this.nodes = Object.fromEntries(Object.entries(this.nodes).filter(([name]) => !names.includes(name)));
    this.links = this.links.filter((link) =>
      (link.endpoints as RawEndpoint[]).every((end) => !names.includes(typeof end === 'string' ? end : end.node)),
    );
  }

  get raw(): RawScenario {
    const { seed, machines, nodes, links } = this;
    return structuredClone({
      name: NAME,
      seed,
      ...(machines === undefined ? {} : { machines }),
      nodes: nodes as Record<string, RawNode>,
      links: links as unknown as RawLink[],
    });
  }
}

const STEPS: readonly (readonly [what: string, edit: (draft: Draft) => void])[] = [
  [
    'hosts added',
    (net) => {
      for (const name of ['h3', 'h4']) {
        net.nodes[name] = { kind: 'host', command: ['sleep', '2000'] };
        net.link(name, 's1');
      }
    },
  ],
  [
    'a switch and a router added',
    (net) => {
      net.nodes.s2 = { kind: 'switch', subnet: '10.2.0.0/24' };
      net.nodes.h5 = { kind: 'host' };
      net.nodes.r1 = { kind: 'router' };
      net.link('h5', 's2');
      net.link('r1', 's2');
      net.link('r1', 's1');
    },
  ],
  ['a host made a router', (net) => (net.nodes.h3!.kind = 'router')],
  ['a router made a host', (net) => (net.nodes.h3!.kind = 'host')],
  [
    'links added',
    (net) => {
      net.link('h1', 's2');
      net.link('h1', 'h2');
    },
  ],
  ['a link renamed', (net) => (net.linkOf('h1', 's2').name = 'cable')],
  ['a link moved to another switch', (net) => (net.linkOf('h2', 's1').endpoints = ['h2', 's2'])],
  ['links in another order, and so ports', (net) => net.links.reverse()],
  ['links removed', (net) => (net.links = net.links.filter((link) => link !== net.linkOf('h1', 'h2')))],
  [
    'subnets changed and added',
    (net) => Object.assign(net.nodes.s1!, { subnet: '10.3.0.0/24', subnet6: 'fd00:3::/64' }),
  ],
  [
    'an address pinned, a MAC changed, a gateway given up',
    (net) => {
      net.linkOf('h1', 's1').endpoints = [{ node: 'h1', address: '10.3.0.77/24' }, 's1'];
      net.linkOf('h4', 's1').endpoints = [{ node: 'h4', mac: '02:00:00:00:00:44' }, 's1'];
      net.nodes.h3!.gateway = 'none';
    },
  ],
  [
    'another address, another gateway, MTUs too small for IPv6 and larger',
    (net) => {
      net.linkOf('h1', 's1').endpoints = [{ node: 'h1', address: '10.3.0.78/24' }, 's1'];
      net.nodes.h3!.gateway = '10.3.0.200';
      net.linkOf('h5', 's2').mtu = 600;
      net.linkOf('r1', 's1').mtu = 9000;
    },
  ],
  [
    'MTUs as before, links down',
    (net) => {
      delete net.linkOf('h5', 's2').mtu;
      delete net.linkOf('r1', 's1').mtu;
      net.linkOf('h5', 's2').state = 'down';
    },
  ],
  [
    'commands added, changed and removed, links up again, another seed, a transparent switch',
    (net) => {
      net.nodes.h1!.command = ['sleep', '3000'];
      net.nodes.h3!.command = ['sleep', '4000'];
      delete net.nodes.h4!.command;
      delete net.linkOf('h5', 's2').state;
      net.seed = 7;
      net.nodes.s1!.transparent = true;
    },
  ],
  [
    'machines where there were none, an environment',
    (net) => {
      net.machines = ['a', 'b'];
      net.nodes.h2!.machine = 'b';
      net.nodes.h4!.machine = 'b';
      net.nodes.h3!.env = { WHICH: 'one' };
    },
  ],
  ['another machine for a host', (net) => (net.nodes.h1!.machine = 'b')],
  [
    'a machine added, a switch pinned',
    (net) => {
      net.machines = ['a', 'b', 'c'];
      net.nodes.h5!.machine = 'c';
      net.nodes.s1!.machine = 'b';
    },
  ],
  [
    'a machine removed',
    (net) => {
      net.machines = ['a', 'b'];
      delete net.nodes.h5!.machine;
    },
  ],
  [
    'no machines any more',
    (net) => {
      net.machines = undefined;
      for (const node of Object.values(net.nodes)) delete node.machine;
    },
  ],
  ['a switch, a router and hosts removed', (net) => net.remove('s2', 'r1', 'h5', 'h4')],
];

/**
 * In CI, where root and an ordinary user make all of these changes, each compares with a network from scratch after every
 * other: what a host has in the end does not depend on who has changed it.
 */
const isOurs = (index: number): boolean => process.env.CI === undefined || index % 2 === (isRoot ? 0 : 1);

let twins: Twins;

beforeAll(async () => {
  twins = await Twins.start();
});
afterAll(() => twins[Symbol.asyncDispose]());

/** Of a host's command: the only child of its init. */
function commandPid(init: number): string {
  return readFileSync(`/proc/${init}/task/${init}/children`, 'utf8').trim();
}

/** Two hosts that talk, and whatever may happen to them. */
class Bystanders implements AsyncDisposable {
  readonly #conversation: Conversation;
  readonly #monitors: readonly ChildProcess[];
  readonly #ended: Promise<unknown>;
  readonly #before: unknown;
  #changes = '';

  private constructor(conversation: Conversation, monitors: readonly ChildProcess[], before: unknown) {
    this.#conversation = conversation;
    this.#monitors = monitors;
    this.#before = before;
    this.#ended = Promise.all(monitors.map((monitor) => once(monitor, 'close')));
    for (const monitor of monitors) monitor.stdout!.on('data', (data: Buffer) => (this.#changes += data.toString()));
  }

  static async start(): Promise<Bystanders> {
    const monitors: ChildProcess[] = [];
    for (const name of ['alice', 'bob']) {
      const { file, args } = execArguments(await twins.agent.access(NAME, name), ['ip', 'monitor', 'link']);
      monitors.push(spawn(file, args, { stdio: ['ignore', 'pipe', 'ignore'] }));
    }
    const conversation = await Conversation.between(twins.agent, NAME, 'alice', 'bob');
    return new Bystanders(conversation, monitors, Bystanders.#identity(await twins.agent.network(NAME)));
  }

  /** What stays of the two: processes, addresses, MACs. */
  static #identity({ nodes }: NetworkState): unknown {
    return ['alice', 'bob'].map((name) => {
      const { pid, ports } = nodes.find((node) => node.name === name)!;
      const own = ports.map(({ name: port, mac, addresses }) => ({ port, mac, addresses }));
      return { name, pid, command: name === 'alice' ? commandPid(pid!) : undefined, own };
    });
  }

  async expectUndisturbed(what: string): Promise<void> {
    await this.#conversation.goesOn();
    expect(Bystanders.#identity(await twins.agent.network(NAME)), what).toEqual(this.#before);
    expect(this.#changes, what).toBe('');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#conversation.end();
    for (const monitor of this.#monitors) monitor.kill();
    await this.#ended;
  }
}

it('is what the file says after every kind of change, and disturbs nobody else', async () => {
  const draft = new Draft();
  await twins.up(draft.raw);
  {
    await using bystanders = await Bystanders.start();
    for (const [index, [what, edit]] of STEPS.entries()) {
      edit(draft);
      await twins.up(draft.raw);
      await bystanders.expectUndisturbed(what);
      if (isOurs(index)) await twins.expectSame(draft.raw, what);
    }
  }
  await twins.down(NAME);
}, 600_000);

it('is known to all at once where a silent host moves, or another has its address', async () => {
  const draft = new Draft();
  draft.machines = ['a', 'b', 'c'];
  draft.nodes.h2!.machine = 'b';
  // The tunnel to b stays when h2 leaves, and with it what was learned by it.
  draft.nodes.h3 = { kind: 'host', machine: 'b' };
  draft.link('h3', 's1');
  await twins.up(draft.raw);
  // What h1 has learned of an address it takes for right for 15 s at least, its switch what it has learned for 300 s.
  const ping = async (): Promise<number> => {
    const access = await twins.agent.access(NAME, 'h1');
    return (await execute(access, ['ping', '-c1', '-i0.1', '-w1', '10.1.0.2'], {})).code;
  };
  await expect.poll(ping).toBe(0);

  draft.nodes.h2!.machine = 'c';
  await twins.up(draft.raw);
  await expect.poll(ping).toBe(0);

  draft.remove('h2');
  draft.nodes.h4 = { kind: 'host', machine: 'b' };
  draft.link({ node: 'h4', address: '10.1.0.2/24' }, 's1');
  await twins.up(draft.raw);
  await expect.poll(ping).toBe(0);
  await twins.down(NAME);
});

it.runIf(isRoot)(
  'gives, changes and lifts limits of hosts that run (as root: only root may make cgroups)',
  async () => {
    const draft = new Draft();
    await twins.up(draft.raw);
    const init = (await twins.agent.network(NAME)).nodes.find(({ name }) => name === 'h1')!.pid!;
    const given = new Set<string>();
    const limits = async (): Promise<Record<string, string>> => {
      const { cgroups } = await twins.agent.access(NAME, 'h1');
      const read: Record<string, string> = {};
      for (const directory of cgroups) {
        given.add(directory);
        expect(readFileSync(join(directory, 'cgroup.procs'), 'utf8').split('\n')).toContain(String(init));
        for (const file of ['cpu.max', 'cpu.cfs_quota_us', 'memory.max', 'memory.limit_in_bytes'])
          if (existsSync(join(directory, file)))
            read[file.split('.')[0]!] = readFileSync(join(directory, file), 'utf8').trim().split(' ')[0]!;
      }
      return read;
    };
    const half = String(50_000);
    const size = String(64 * 2 ** 20);
    const both = { cpu: half, memory: size };
    for (const [settings, wanted] of [
      [{ cpu: 0.5, memory: '64MiB' }, both],
      [
        { cpu: 0.25, memory: '64MiB' },
        { ...both, cpu: '25000' },
      ],
      [{ memory: '64MiB' }, { memory: size }],
      [{ cpu: 0.5 }, { cpu: half }],
      [{}, {}],
    ] as const) {
      draft.nodes.h1 = { kind: 'host', ...settings };
      await twins.up(draft.raw);
      // In version 2 one group has both limits: `max` is none.
      const found = Object.entries(await limits()).filter(([, value]) => value !== 'max');
      expect(Object.fromEntries(found)).toEqual(wanted);
    }
    expect([...given].filter((directory) => existsSync(directory))).toEqual([]);
    await twins.down(NAME);
  },
);

// --- changes that fail -----------------------------------------------------------------------------------------------

/** Changes of many kinds at once. */
function another(): Draft {
  const net = new Draft();
  net.machines = ['a', 'b'];
  net.nodes.h2!.machine = 'b';
  net.nodes.s1!.subnet = '10.9.0.0/24';
  net.nodes.r1 = { kind: 'router' };
  net.link('r1', 's1');
  for (let i = 10; i < 20; i++) {
    net.nodes[`h${i}`] = { kind: 'host', machine: i % 2 === 0 ? 'a' : 'b' };
    net.link(`h${i}`, 's1');
  }
  net.remove('h1');
  return net;
}

/** Runs `fail`, which tries to change the network; returns what it was told. Nothing may have changed. */
async function expectTakenBack(fail: () => Promise<void>): Promise<string> {
  const before = await observe(twins.agent, NAME);
  await using bystanders = await Bystanders.start();
  const error = await fail().then(
    () => 'it was done',
    (cause: unknown) => String(cause),
  );
  await bystanders.expectUndisturbed(error);
  await expect.poll(() => observe(twins.agent, NAME), { timeout: 15_000, message: error }).toEqual(before);
  return error;
}

it('is taken back when a step fails, and says so', async () => {
  await twins.up(new Draft().raw);
  const error = await expectTakenBack(() => {
    const draft = another();
    draft.nodes.h10!.command = ['/no/such/program'];
    return twins.up(draft.raw);
  });
  expect(error).toMatch(/step \d+ of \d+ \(.*\) failed.*\/no\/such\/program.*and the network is as it was before/s);
  await twins.down(NAME);
});

it('is taken back when the keeper has no descriptors left', async () => {
  await twins.up(new Draft().raw);
  const { nodes } = await twins.agent.network(NAME);
  const init = nodes.find(({ name }) => name === 'alice')!.pid!;
  const keeper = Number(/PPid:\s+(\d+)/.exec(readFileSync(`/proc/${init}/status`, 'utf8'))![1]);
  const open = readdirSync(`/proc/${keeper}/fd`).length;
  const setLimit = (soft: number): void => {
    execFileSync('prlimit', ['--pid', String(keeper), `--nofile=${soft}:`]);
  };
  const before = Number(/Max open files\s+(\d+)/.exec(readFileSync(`/proc/${keeper}/limits`, 'utf8'))![1]);
  const error = await expectTakenBack(async () => {
    setLimit(open + 6);
    try {
      await twins.up(another().raw);
    } finally {
      setLimit(before);
    }
  });
  expect(error).toMatch(/step \d+ of \d+ \(.*\) failed.*and the network is as it was before/s);
  await twins.down(NAME);
});

it('is taken back when it is interrupted, at whatever step', async () => {
  await twins.up(new Draft().raw);
  const scenario = load(another().raw);
  const { steps } = await twins.agent.plan(scenario);
  const builds = steps.findIndex((step) => /^(?:remove|unplug|end) /.test(step));
  for (let at = 0; at < builds; at += 2) {
    const error = await expectTakenBack(async () => {
      const abort = new AbortController();
      await twins.agent.up(scenario, {
        ...QUICK,
        signal: abort.signal,
        onProgress: (progress) => {
          if (progress.type === 'step' && progress.status === 'start' && progress.index === at) abort.abort();
        },
      });
      // It was done before it could be interrupted.
      await twins.up(new Draft().raw);
    });
    expect(error).toMatch(/interrupted.*and the network is as it was before|it was done/s);
  }
  await twins.down(NAME);
});
