/** What Luthier is to reach on the reference machine (bench/README.md): marked in table and chart, never enforced. */
import type { ComparisonReport, UnderlayName } from '../model/bench.js';

export interface Goal {
  readonly value: number;
  readonly sense: 'at least' | 'at most';
}

export type Measure = 'tcp' | 'cpu' | 'addedP50Us' | 'idleCores' | 'udp';

const GOALS: Readonly<Record<string, Partial<Record<Measure, Goal>>>> = {
  luthier: {
    tcp: { value: 1, sense: 'at least' },
    udp: { value: 0.8, sense: 'at least' },
    cpu: { value: 2, sense: 'at most' },
    addedP50Us: { value: 30, sense: 'at most' },
    idleCores: { value: 0.003, sense: 'at most' },
  },
  unsealed: { tcp: { value: 1, sense: 'at least' }, idleCores: { value: 0.003, sense: 'at most' } },
  sealed: { tcp: { value: 0.5, sense: 'at least' }, idleCores: { value: 0.003, sense: 'at most' } },
};

/** Rates of Luthier's arms as multiples of others': of a peer, or of the best of several. */
const BESIDE: readonly (Pick<ComparisonReport, 'arm' | 'others'> & {
  readonly measure: 'tcp' | 'udp';
  readonly goal: Goal;
})[] = [
  { arm: 'luthier', others: ['ovs'], measure: 'udp', goal: { value: 2, sense: 'at least' } },
  { arm: 'sealed', others: ['n2n', 'tinc', 'wireguard-go'], measure: 'tcp', goal: { value: 6, sense: 'at least' } },
];

/** Of TCP, with one stream. Undefined where there is none, or where not all of the others were measured. */
export function goalBeside({ arm, others }: ComparisonReport, measure: 'tcp' | 'udp'): Goal | undefined {
  return BESIDE.find((one) => one.arm === arm && one.measure === measure && one.others.join() === others.join())?.goal;
}

/** Undefined where there is none: for the kernel's arms, and where a network card would cut and nothing put together. */
export function goalOf(arm: string, measure: Measure, underlay?: UnderlayName): Goal | undefined {
  return underlay === 'cut' ? undefined : GOALS[arm]?.[measure];
}

export function meets(goal: Goal, value: number): boolean {
  return goal.sense === 'at least' ? value >= goal.value : value <= goal.value;
}
