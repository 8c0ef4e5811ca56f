import { describe, expect, it } from 'vitest';
import { limitHint } from './keeper.js';

describe('what to do where the keeper met a limit', () => {
  it.each([
    ['EAGAIN', 'clone: Resource temporarily unavailable', /no more processes/],
    ['EAGAIN', 'fork: Resource temporarily unavailable', /no more processes/],
    ['EAGAIN', 'exec: Resource temporarily unavailable', /no more processes/],
    ['ENOSPC', 'clone: No space left on device', /no more namespaces/],
    ['EMFILE', 'pipe: Too many open files', /ulimit -Hn/],
    ['ENOMEM', 'clone: Cannot allocate memory', /not enough memory/],
  ])('%s %s', (errno, text, hint) => {
    expect(limitHint(errno, text)).toMatch(hint);
  });

  it.each([
    ['EAGAIN', 'the init of host host:clone takes no requests'],
    ['ENOSPC', '16384 descriptors are held, and no more can be'],
    ['ENOSPC', 'open the log: No space left on device'],
    ['ENOENT', 'exec: No such file or directory'],
  ])('is not said of %s %s', (errno, text) => {
    expect(limitHint(errno, text)).toBeUndefined();
  });
});
