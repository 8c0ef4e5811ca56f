/** What Luthier is to reach on the reference machine (bench/README.md): marked in table and chart, never enforced. */
import type { UnderlayName } from '../model/bench.js';

export interface Goal {
  readonly value: number;
  readonly sense: 'at least' | 'at most';
}

export type Measure = 'tcp' | 'cpu' | 'addedP50Us' | 'idleCores';

const GOALS: Readonly<Record<string, Partial<Record<Measure, Goal>>>> = {
  luthier: {
    tcp: { value: 1, sense: 'at least' },
    cpu: { value: 2, sense: 'at most' },
    addedP50Us: { value: 30, sense: 'at most' },
    idleCores: { value: 0.003, sense: 'at most' },
  },
  unsealed: { tcp: { value: 1, sense: 'at least' }, idleCores: { value: 0.003, sense: 'at most' } },
  sealed: { tcp: { value: 0.5, sense: 'at least' }, idleCores: { value: 0.003, sense: 'at most' } },
};

/** Undefined where there is none: for the kernel's arms, and where a network card would cut and nothing put together. */
export function goalOf(arm: string, measure: Measure, underlay?: UnderlayName): Goal | undefined {
  return underlay === 'cut' ? undefined : GOALS[arm]?.[measure];
}

export function meets(goal: Goal, value: number): boolean {
  return goal.sense === 'at least' ? value >= goal.value : value <= goal.value;
}
