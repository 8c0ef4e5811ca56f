import { expect, it } from 'vitest';
import { RemoteError } from '../../model/errors.js';
import { startHint } from './hosts.js';

it('says of a command that does not start what the limit asks for, else whether its program is there', () => {
  const refused = (why: string, hint?: string): RemoteError =>
    new RemoteError('keeper', `the keeper refused 'run host:h1': ${why}`, hint === undefined ? {} : { hint });
  expect(startHint(refused('EAGAIN fork: Resource temporarily unavailable', 'end some'), 'ping')).toBe('end some');
  expect(startHint(refused('EAGAIN exec: Resource temporarily unavailable', 'end some'), 'ping')).toBe('end some');
  expect(startHint(refused('ENOENT exec: No such file or directory'), 'ping')).toContain('is ping installed?');
  expect(startHint(refused('ENOSPC open the log: No space left on device'), 'ping')).toBeUndefined();
});
