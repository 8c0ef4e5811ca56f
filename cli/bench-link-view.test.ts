import { expect, it } from 'vitest';
import { linkBenchReport } from '../test/fixtures/link-bench-report.js';
import { renderLinkReport } from './bench-link-view.js';

const text = renderLinkReport(linkBenchReport);

it('marks what meets a goal and what does not, of emulated links alone', () => {
  expect(text).toMatch(/^ *1 ms +kernel bridge +100 +-12 +20 +151 +300 +5 +15 +80 +-6 +31 +1 of 3$/m);
  expect(text).toMatch(/^ *1 ms +switch, emulated +100 +-12 ✓ +20 +151 ✗ +300 ✓ +5 +15 +80 +-6 +31 ✗ +1 of 3$/m);
  expect(text).toMatch(/^ *1 ms +without compensation +100 +31 +20 +151 +300 +5 +15 +80 +-6 +31 +1 of 3$/m);
  expect(text).toContain('compensation: a link leaves 9.0 µs out of its delay');
  expect(text).toContain('sees it 0 µs late, p99 12, p99.9 900');
});

it('has errors of rates with their sign, and says when a sender did not fill the link', () => {
  expect(text).toMatch(/^ +1 +auto +3\.0 +0\.956 +0\.955 +−0\.10 % ✓$/m);
  expect(text).toMatch(/^ +1000 +wire .* −6\.00 % ✗$/m);
  expect(text).toMatch(/^ +1 +62 +1\.2 +1\.004 +\+0\.40 % ✗ +\+0\.00 %$/m);
  expect(text).toMatch(/^ +1000 .*\+0\.40 % \(sender too slow\)/m);
});

it('has the distribution, the cost, the change and the memory', () => {
  expect(text).toMatch(/^uniform .* 0\.333 ✓ +0\.940$/m);
  expect(text).toMatch(/^ratio +1\.25 ✓ +2\.00$/m);
  expect(text).toContain('p99 6.00 ms ✗, at most 7.00 ms (10); is answered in: p50 2.00, p99 8.00 ms');
  expect(text).toContain('takes 512 B ✓');
});
