import { describe, expect, it } from 'vitest';
import { ScenarioError, UnsupportedError } from '../model/errors.js';
import { loadText } from './scenario/index.js';
import { refuseUnsupported } from './unsupported.js';
import { refuseNarrowUnderlay } from './vxlan-underlay.js';

const text = (link: string, head = ''): string => `name: x
${head}
nodes:
  s1: { kind: switch }
  vx: { kind: vxlan, vni: 1, remote: [192.0.2.7, 192.0.2.8], device: eth9 }
links:
  - { endpoints: [vx, s1]${link} }
`;
const refusal = (link: string, mtus: readonly number[], head = ''): ScenarioError | undefined => {
  const asked: unknown[] = [];
  try {
    refuseNarrowUnderlay(loadText(text(link, head), 'x.yaml'), (options) => {
      asked.push(options.connect.address, options.device);
      return mtus[asked.length / 2 - 1]!;
    });
  } catch (error) {
    if (error instanceof ScenarioError) return error;
    throw error;
  }
  expect(asked).toEqual(head === '' ? ['192.0.2.7', 'eth9', '192.0.2.8', 'eth9'] : []);
  return undefined;
};

describe('the way to the other ends of a VXLAN', () => {
  it('has room for what it takes, or is not known', () => {
    expect(refusal('', [1500, 1500])).toBeUndefined();
    expect(refusal(', mtu: 8950', [9000, 65536])).toBeUndefined();
    expect(refusal('', [0, 0])).toBeUndefined();
  });

  it('is refused where one is too narrow, with the place', () => {
    const error = refusal(', mtu: 1450', [1500, 1499])!;
    expect(error.message).toContain('the way to 192.0.2.8 has an MTU of 1499, of which VXLAN leaves 1449');
    expect(error.hint).toContain('"mtu: 1449"');
    expect(error.position).toEqual({ file: 'x.yaml', line: 7, column: 33 });
    expect(refusal('', [1400, 1500])!.position).toMatchObject({ line: 7 });
  });

  it('between machines that are played is that of their underlay', () => {
    expect(refusal(', mtu: 8950', [1500, 1500], 'machines: [a, b]')).toBeUndefined();
    const scenario = loadText(text(', mtu: 1451', 'machines: [a, b]'), 'x.yaml');
    expect(() => {
      refuseUnsupported(scenario);
    }).toThrow(UnsupportedError);
    refuseUnsupported(loadText(text(', mtu: 1450', 'machines: [a, b]'), 'x.yaml'));
  });
});
