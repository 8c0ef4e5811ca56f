/**
 * Which cgroup hierarchies are mounted, and where (cgroups(7)). Read by whoever makes groups or looks at limits of those
 * that it is in.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface CgroupHierarchy {
  readonly version: 1 | 2;
  readonly directory: string;
  /** Major and minor number: mounts of the same one show the same hierarchy. */
  readonly device: string;
  /** The group that is seen at `directory`: in a container, often that of the container. */
  readonly top: string;
  /** Of version 1, its mount's other options are among them. */
  readonly controllers: readonly string[];
}

/** `root`: of the file system; a test has one of its own. */
export function readCgroupHierarchies(root = '/'): CgroupHierarchy[] {
  const mounts = readFileSync(join(root, 'proc/self/mountinfo'), 'utf8').trimEnd().split('\n');
  return mounts.flatMap((line): CgroupHierarchy[] => {
    // proc(5): ID, parent, device, root, mount point, …; after a lone hyphen: type, source, options.
    const [before = '', after = ''] = line.split(' - ');
    const [device = '', top, directory] = before.split(' ').slice(2).map(unescaped);
    const [type, , options = ''] = after.split(' ');
    if (top === undefined || directory === undefined) return [];
    if (type === 'cgroup') return [{ version: 1, directory, device, top, controllers: options.split(',') }];
    if (type !== 'cgroup2') return [];
    return [{ version: 2, directory, device, top, controllers: words(join(root, directory, 'cgroup.controllers')) }];
  });
}

/** Blanks in paths are written in octal. */
function unescaped(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, code: string) => String.fromCharCode(parseInt(code, 8)));
}

function words(file: string): string[] {
  return existsSync(file)
    ? readFileSync(file, 'utf8')
        .split(/\s+/)
        .filter((word) => word !== '')
    : [];
}
