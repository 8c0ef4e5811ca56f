import { describe, expect, it } from 'vitest';
import { StateError, UsageError } from '../model/errors.js';
import { resolveDestination, resolveHost, resolveNetwork, resolveNode, resolvePort } from './names.js';
import { networkState, sourceOf } from '../test/fixtures/network-state.js';

const none = sourceOf();
const one = sourceOf(networkState('lab'));
const two = sourceOf(networkState('lab'), networkState('lab-2'));

describe('a node', () => {
  it('needs no network while one runs', async () => {
    expect(await resolveNode(one, 'h1')).toEqual({ network: 'lab', node: 'h1' });
    expect(await resolveNode(one, 'lab/h1')).toEqual({ network: 'lab', node: 'h1' });
  });

  it('needs one while several run', async () => {
    expect(await resolveNode(two, 'lab-2/h1')).toEqual({ network: 'lab-2', node: 'h1' });
    await expect(resolveNode(two, 'h1')).rejects.toThrow(UsageError);
    await expect(resolveNode(two, 'h1')).rejects.toMatchObject({
      hint: expect.stringContaining('lab, lab-2') as string,
    });
  });

  it('cannot be found while nothing runs', async () => {
    await expect(resolveNode(none, 'h1')).rejects.toThrow(StateError);
  });

  it.each(['', '/', 'lab/', '/h1', 'a/b/c', 'h1:', ':eth0', 'lab/h1:eth0:1'])('is not %j', async (text) => {
    await expect(resolveNode(one, text)).rejects.toThrow(UsageError);
  });

  it('is not a port', async () => {
    await expect(resolveNode(one, 'h1:eth0')).rejects.toThrow('names a port');
  });
});

describe('a host', () => {
  it('is one that there is', async () => {
    expect(await resolveHost(one, 'r1')).toEqual({ network: 'lab', node: 'r1' });
    await expect(resolveHost(one, 'h9')).rejects.toThrow(UsageError);
    await expect(resolveHost(one, 's1')).rejects.toThrow('s1 is a switch');
    await expect(resolveHost(one, 'elsewhere/h1')).rejects.toThrow(StateError);
  });
});

describe('a destination', () => {
  it('is a host, a router, or what leads out', async () => {
    const vxlan = { name: 'rack', kind: 'vxlan', machines: ['local'], ports: [] } as const;
    const lab = networkState('lab');
    const agent = sourceOf({ ...lab, nodes: [...lab.nodes, vxlan] });
    expect(await resolveDestination(agent, 'h1')).toEqual({ network: 'lab', node: 'h1' });
    expect(await resolveDestination(agent, 'rack')).toEqual({ network: 'lab', node: 'rack' });
    await expect(resolveDestination(agent, 's1')).rejects.toThrow('s1 is a switch');
  });
});

describe('a port', () => {
  it('is named with its node', async () => {
    expect(await resolvePort(one, 'r1:eth1')).toEqual({ network: 'lab', node: 'r1', port: 'eth1' });
    expect(await resolvePort(two, 'lab-2/r1:eth1')).toEqual({ network: 'lab-2', node: 'r1', port: 'eth1' });
  });

  it('may be left out where the node has one', async () => {
    expect(await resolvePort(one, 'h1')).toEqual({ network: 'lab', node: 'h1', port: 'eth0' });
  });

  it('may not where it has several, or none', async () => {
    await expect(resolvePort(one, 'r1')).rejects.toMatchObject({ hint: 'name one: r1:eth0, r1:eth1' });
    await expect(resolvePort(one, 's1')).rejects.toThrow('s1 has no port');
  });

  it('of a misspelt node is answered with the nearest', async () => {
    await expect(resolvePort(one, 'h9')).rejects.toMatchObject({ hint: expect.stringContaining('h1') as string });
  });

  it('that is not there is wrong input', async () => {
    await expect(resolvePort(one, 'h9')).rejects.toThrow(UsageError);
    await expect(resolvePort(one, 'h9:eth0')).rejects.toThrow(UsageError);
    await expect(resolvePort(one, 'h1:eth7')).rejects.toThrow(UsageError);
  });
});

describe('a network', () => {
  it('is the one that was named, or the only one', async () => {
    expect(await resolveNetwork(one)).toBe('lab');
    expect(await resolveNetwork(two, 'lab-2')).toBe('lab-2');
  });

  it('that does not run is answered with the nearest that does', async () => {
    await expect(resolveNetwork(two, 'lap')).rejects.toMatchObject({ hint: expect.stringContaining('lab') as string });
  });
});
