import { expect, it } from 'vitest';
import { UsageError } from '../model/errors.js';
import { pathsFrom } from './paths.js';

it.each([
  [0, {}, '/run/luthier', '/var/lib/luthier'],
  [0, { HOME: '/root', XDG_RUNTIME_DIR: '/run/user/0' }, '/run/luthier', '/var/lib/luthier'],
  [7, { HOME: '/home/u' }, '/tmp/luthier-7', '/home/u/.local/state/luthier'],
  [7, { HOME: '/home/u', XDG_RUNTIME_DIR: '/run/user/7' }, '/run/user/7/luthier', '/home/u/.local/state/luthier'],
  [7, { XDG_STATE_HOME: '/s', XDG_RUNTIME_DIR: '' }, '/tmp/luthier-7', '/s/luthier'],
  [7, { LUTHIER_RUNTIME_DIR: '/r', LUTHIER_STATE_DIR: '/s' }, '/r', '/s'],
])('of uid %i with %j', (uid, env, runtime, state) => {
  expect(pathsFrom(env, uid)).toEqual({ runtime, state });
});

it.each([
  [{ LUTHIER_RUNTIME_DIR: 'run', LUTHIER_STATE_DIR: '/s' }, /not an absolute path/],
  [{ LUTHIER_RUNTIME_DIR: `/${'r'.repeat(100)}`, LUTHIER_STATE_DIR: '/s' }, /longer than 80 bytes/],
  [{}, /HOME is not set/],
])('refuses %j', (env, why) => {
  expect(() => pathsFrom(env, 7)).toThrow(UsageError);
  expect(() => pathsFrom(env, 7)).toThrow(why);
});
