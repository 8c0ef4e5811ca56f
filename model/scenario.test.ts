import { describe, expect, it } from 'vitest';
import { nearest } from './names.js';
import { LINK_PROPERTIES, scenarioJsonSchema, splitEndpoint } from './scenario.js';

/** As much of a JSON Schema as these tests look at. */
interface Schema {
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly additionalProperties?: Schema | false;
  readonly oneOf?: readonly Schema[];
  readonly items?: Schema;
  readonly pattern?: string;
  readonly const?: unknown;
  readonly required?: readonly string[];
}

describe('the JSON Schema', () => {
  const schema = scenarioJsonSchema() as Schema;
  const link = schema.properties?.['links']?.items;

  it('allows the keys of the format and no others', () => {
    expect(Object.keys(schema.properties ?? {})).toEqual([
      'luthier',
      'name',
      'seed',
      'machines',
      'seal',
      'fec',
      'pool',
      'lans',
      'nodes',
      'links',
      'events',
    ]);
    expect(schema.additionalProperties).toBe(false);
    expect(schema.required).toEqual(['name', 'nodes']);
    expect(link?.additionalProperties).toBe(false);
  });

  it('tells kinds of nodes apart', () => {
    const nodes = schema.properties?.['nodes']?.additionalProperties;
    const kinds = nodes === false ? [] : (nodes?.oneOf ?? []);
    expect(kinds.map(({ properties }) => properties?.['kind']?.const)).toEqual([
      'switch',
      'host',
      'router',
      'jetway',
      'vxlan',
    ]);
  });

  it('has patterns for units, which an editor checks', () => {
    const pattern = new RegExp(link?.properties?.['rate']?.pattern ?? '');
    expect(['100mbit', '1.5gbit', '9bit'].every((text) => pattern.test(text))).toBe(true);
    expect(['100', '10mbps', '10 mbit'].some((text) => pattern.test(text))).toBe(false);
  });

  it('has no key that could be a misspelling of a required one, as a missing key is then blamed on it', () => {
    const objects = (part: unknown): Schema[] => {
      if (typeof part !== 'object' || part === null) return [];
      const inner = Object.values(part).flatMap(objects);
      return 'properties' in part ? [part as Schema, ...inner] : inner;
    };
    for (const { required = [], properties = {} } of objects(schema)) {
      for (const key of required) {
        const near = Object.keys(properties).filter((other) => other !== key && nearest(other, [key]) !== undefined);
        expect(near).toEqual([]);
      }
    }
  });

  it('describes every property of a link', () => {
    for (const property of LINK_PROPERTIES) expect(link?.properties).toHaveProperty(property);
  });
});

describe('an endpoint', () => {
  it('is a node, or a node and its port', () => {
    expect(splitEndpoint('h3')).toEqual({ node: 'h3' });
    expect(splitEndpoint('h3:eth0')).toEqual({ node: 'h3', port: 'eth0' });
  });
});
