/** Programs that do nothing but compute, as many as a measurement wants to have beside it. */
import { spawn } from 'node:child_process';
import { once } from 'node:events';

export async function besideBusyLoops<Result>(count: number, measure: () => Promise<Result>): Promise<Result> {
  const loops = Array.from({ length: count }, () => {
    const child = spawn(process.execPath, ['-e', 'for (;;);'], { stdio: 'ignore' });
    return { child, ended: once(child, 'exit') };
  });
  try {
    return await measure();
  } finally {
    for (const { child } of loops) child.kill('SIGKILL');
    await Promise.all(loops.map(({ ended }) => ended));
  }
}
