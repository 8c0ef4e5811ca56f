import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import type { Lan, Link, Port } from '../model/network.js';
import { byNumber, Routing } from './routes.js';
import type { Forwarder } from './routes.js';

/**
 * Routers on LANs, one port for each pair, numbered in the order given: LAN n is 10.0.n.0/24, and fd00:n::/64 unless it
 * is v4 only; the port of router r has the address .r of it.
 */
function network(memberships: readonly (readonly [router: number, lan: number])[], v4Only: readonly number[] = []) {
  const numbers = (index: 0 | 1): number[] =>
    [...new Set(memberships.map((pair) => pair[index]))].sort((a, b) => a - b);
  const lans = numbers(1).map((n): Lan => ({
    name: `lan${n}`,
    subnet: `10.0.${n}.0/24`,
    ...(v4Only.includes(n) ? {} : { subnet6: `fd00:${n}::/64` }),
    switches: [`lan${n}`],
  }));
  const ports = new Map<number, Port[]>(numbers(0).map((router) => [router, []]));
  const links = memberships.map(([router, lan], i): Link => {
    const own = ports.get(router)!;
    const name = `eth${own.length}`;
    own.push({
      name,
      mac: '02:00:00:00:00:01',
      addresses: [`10.0.${lan}.${router}/24`, ...(v4Only.includes(lan) ? [] : [`fd00:${lan}::${router}/64`])],
      mtuBytes: 1500,
      link: `link${i}`,
      lan: `lan${lan}`,
    });
    const ends = [{ node: `r${router}`, port: name }, { node: `lan${lan}` }] as const;
    return { name: `link${i}`, id: i + 1, ends, forward: { state: 'up' }, reverse: { state: 'up' } };
  });
  const routers = [...ports].map(([n, own]): Forwarder => ({ name: `r${n}`, ports: own }));
  return { routers, lans, links, routing: new Routing(routers, lans, links) };
}

const v4Routes = (routing: Routing, router: string): string[] =>
  routing
    .routesOf(router)
    .filter(({ destination }) => !destination.includes(':'))
    .map(({ destination, via, port }) => `${destination} ${via} ${port}`);

describe('routes', () => {
  it('lead along a chain of routers, both ways, in both families', () => {
    // lan1 -- r1 -- lan2 -- r2 -- lan3 -- r3 -- lan4
    const { routing } = network([
      [1, 1],
      [1, 2],
      [2, 2],
      [2, 3],
      [3, 3],
      [3, 4],
    ]);
    expect(routing.routesOf('r1')).toEqual([
      { destination: '10.0.3.0/24', via: '10.0.2.2', port: 'eth1' },
      { destination: '10.0.4.0/24', via: '10.0.2.2', port: 'eth1' },
      { destination: 'fd00:3::/64', via: 'fd00:2::2', port: 'eth1' },
      { destination: 'fd00:4::/64', via: 'fd00:2::2', port: 'eth1' },
    ]);
    expect(v4Routes(routing, 'r3')).toEqual(['10.0.1.0/24 10.0.3.2 eth0', '10.0.2.0/24 10.0.3.2 eth0']);
  });

  it('take the way over the fewest routers', () => {
    // A ring of five LANs: from r1, lan3 is nearer over r2, lan4 over r5.
    const { routing } = network([
      [1, 1],
      [2, 1],
      [2, 2],
      [3, 2],
      [3, 3],
      [4, 3],
      [4, 4],
      [5, 4],
      [5, 5],
      [1, 5],
    ]);
    expect(v4Routes(routing, 'r1')).toEqual([
      '10.0.2.0/24 10.0.1.2 eth0',
      '10.0.3.0/24 10.0.1.2 eth0',
      '10.0.4.0/24 10.0.5.5 eth1',
    ]);
  });

  it('of equals take the lowest port, then the first router in the order of links', () => {
    // r3 and r2 are both on lan1 and lan2: r3 is linked to lan1 first.
    const { routing } = network([
      [1, 1],
      [3, 1],
      [2, 1],
      [2, 2],
      [3, 2],
    ]);
    expect(v4Routes(routing, 'r1')).toEqual(['10.0.2.0/24 10.0.1.3 eth0']);
    expect(routing.firstRouter('lan1', 4)).toBe('10.0.1.1');
    expect(routing.firstRouter('lan2', 6)).toBe('fd00:2::2');
  });

  it('of a family go only where that family goes', () => {
    const { routing } = network(
      [
        [1, 1],
        [1, 2],
        [2, 2],
        [2, 3],
      ],
      [2],
    );
    expect(routing.routesOf('r1')).toEqual([{ destination: '10.0.3.0/24', via: '10.0.2.2', port: 'eth1' }]);
    expect(routing.firstRouter('lan2', 6)).toBeUndefined();
  });

  it('are none to what cannot be reached', () => {
    const { routing } = network([
      [1, 1],
      [2, 2],
    ]);
    expect(routing.routesOf('r1')).toEqual([]);
    expect(routing.firstRouter('nowhere', 4)).toBeUndefined();
  });

  it('bring every packet to every LAN that is connected, each hop one router nearer', () => {
    const pair = fc.tuple(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 6 }));
    const memberships = fc.uniqueArray(pair, { minLength: 1, selector: ([router, lan]) => router * 10 + lan });
    fc.assert(
      fc.property(memberships, (given) => {
        const { routers, lans, routing } = network(given);
        const onLan = (router: string, lan: string): boolean =>
          given.some(([r, l]) => `r${r}` === router && `lan${l}` === lan);
        for (const lan of lans) {
          const distance = distances(given, lan.name);
          for (const { name } of routers) {
            const route = routing.routesOf(name).find(({ destination }) => destination === lan.subnet);
            if (onLan(name, lan.name) || !distance.has(name)) {
              expect(route).toBeUndefined();
              continue;
            }
            const [, , link, host] = (route?.via ?? '').split('.');
            expect(onLan(name, `lan${link}`)).toBe(true);
            expect(distance.get(`r${host}`)).toBe(distance.get(name)! - 1);
          }
        }
      }),
    );
  });
});

/** Routers to how many LANs they are away from `lan`: relaxed until nothing changes, to be compared with a search. */
function distances(memberships: readonly (readonly [number, number])[], lan: string): ReadonlyMap<string, number> {
  const routers = new Map<string, number>();
  const lans = new Map([[lan, 0]]);
  for (let changed = true; changed;) {
    changed = false;
    for (const [r, l] of memberships) {
      const [router, name] = [`r${r}`, `lan${l}`];
      const viaLan = (lans.get(name) ?? Infinity) + 1;
      if (viaLan < (routers.get(router) ?? Infinity)) {
        routers.set(router, viaLan);
        changed = true;
      }
      const viaRouter = routers.get(router) ?? Infinity;
      if (viaRouter < (lans.get(name) ?? Infinity)) {
        lans.set(name, viaRouter);
        changed = true;
      }
    }
  }
  return routers;
}

it('ports are in the order of their numbers', () => {
  expect([{ name: 'eth10' }, { name: 'eth2' }, { name: 'eth0' }].sort(byNumber).map(({ name }) => name)).toEqual([
    'eth0',
    'eth2',
    'eth10',
  ]);
});
