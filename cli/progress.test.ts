import { expect, it } from 'vitest';
import { LineView } from './progress.js';

it('tells each step in a line when it ends, and the way back as a plan of its own', () => {
  const lines: string[] = [];
  const view = new LineView((line) => lines.push(line));
  view.report({ type: 'plan', steps: ['create hosts', 'start switches'] });
  view.report({ type: 'step', index: 0, title: 'create hosts', status: 'start' });
  view.report({ type: 'step', index: 0, title: 'create hosts', status: 'done', ms: 12.4, detail: '4 of them' });
  view.report({ type: 'step', index: 1, title: 'start switches', status: 'start' });
  view.report({ type: 'plan', steps: ['end the hosts'] });
  view.report({ type: 'step', index: 0, title: 'end the hosts', status: 'start' });
  view.report({ type: 'step', index: 0, title: 'end the hosts', status: 'undone', ms: 5 });
  expect(lines).toEqual([
    '[1/2] create hosts (4 of them, 12 ms)\n',
    'it failed: undoing what was made\n',
    '[1/1] end the hosts (5 ms)\n',
  ]);
});

it('tells a notice with what mends it, beside the steps', () => {
  const lines: string[] = [];
  const view = new LineView((line) => lines.push(line));
  view.report({ type: 'notice', message: 'buffers are small', hint: 'sysctl -w net.core.rmem_max=8388608' });
  view.report({ type: 'plan', steps: ['create hosts'] });
  view.report({ type: 'step', index: 0, title: 'create hosts', status: 'done', ms: 3 });
  view.report({ type: 'notice', message: 'no real-time priority' });
  expect(lines).toEqual([
    'note: buffers are small\n  sysctl -w net.core.rmem_max=8388608\n',
    '[1/1] create hosts (3 ms)\n',
    'note: no real-time priority\n',
  ]);
});
