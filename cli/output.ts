/**
 * What the commands print: text, JSON, tables, quantities. No command writes to standard output by other means, except
 * `capture`, whose output is not text.
 */
import { relative } from 'node:path';
import { getSystemErrorMap } from 'node:util';
import Table from 'cli-table3';
import pc from 'picocolors';
import { SyscallError } from '../model/errors.js';

/** For standard output: none where it is no terminal, whatever CI systems set in the environment. */
export const colors = pc.createColors(process.stdout.isTTY ? pc.isColorSupported : false);

export function print(text = ''): void {
  process.stdout.write(`${text}\n`);
}

/** One object, with `"luthier": 1` in it: the version of its shape. */
export function printJson(facts: object): void {
  process.stdout.write(`${JSON.stringify(facts, undefined, 2)}\n`);
}

/** Milliseconds for `--json`: to a tenth. */
export function jsonMs(ms: number): number {
  return Math.round(ms * 10) / 10;
}

/** Resolves when the stream has taken the bytes; rejects with a SyscallError that names `what` was to be written. */
export function writeTo(out: NodeJS.WritableStream, bytes: Uint8Array, what: string): Promise<void> {
  return new Promise((resolve, reject) => {
    out.write(bytes, (error?: Error | null) => {
      if (error) reject(writeError(what, error));
      else resolve();
    });
  });
}

/** `cannot write two.pcapng: no space left on device` */
export function writeError(what: string, cause: unknown): SyscallError {
  const { syscall = 'write', code = '?', errno, message } = cause as NodeJS.ErrnoException;
  const reason = getSystemErrorMap().get(errno ?? 0)?.[1] ?? message;
  return new SyscallError(syscall, code, `cannot write ${what}: ${reason}`, { cause });
}

export const STANDARD_OUTPUT = 'standard output';

/** A file as one would type it from here: shorter than its absolute path where it is in this folder. */
export function shownPath(file: string): string {
  const near = relative(process.cwd(), file);
  return near.startsWith('../') ? file : near;
}

/** A column's title; one that starts with `>` is right-aligned. */
export type Column = string;

const NO_BORDER = {
  top: '',
  'top-mid': '',
  'top-left': '',
  'top-right': '',
  bottom: '',
  'bottom-mid': '',
  'bottom-left': '',
  'bottom-right': '',
  left: '',
  'left-mid': '',
  mid: '',
  'mid-mid': '',
  right: '',
  'right-mid': '',
  middle: '',
};

/** Columns apart by two spaces, no borders; a cell may have several lines. */
export function table(columns: readonly Column[], rows: readonly (readonly string[])[]): string {
  const out = new Table({
    head: columns.map((column) => colors.dim(column.replace(/^>/, ''))),
    colAligns: columns.map((column) => (column.startsWith('>') ? 'right' : 'left')),
    chars: NO_BORDER,
    style: { head: [], border: [], 'padding-left': 0, 'padding-right': 2, compact: true },
  });
  for (const row of rows) out.push([...row]);
  return out
    .toString()
    .split('\n')
    .map((line) => line.trimEnd())
    .join('\n');
}

/** `1 host`, `2 hosts`, `2 switches`. */
export function counted(count: number, noun: string): string {
  if (count === 1) return `1 ${noun}`;
  return `${count} ${noun}${noun.endsWith('ch') ? 'es' : 's'}`;
}

/** Binary units, three digits: `512 B`, `1.46 KiB`, `64 MiB`. */
export function bytes(value: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let index = 0;
  while (value >= 1024 && index < units.length - 1) {
    value /= 1024;
    index++;
  }
  return `${index === 0 ? value : Number(value.toPrecision(value >= 1000 ? 4 : 3))} ${units[index]}`;
}

/** `38 s`, `5 min`, `2 h 10 min`, `3 d 4 h`. */
export function duration(seconds: number): string {
  const whole = Math.floor(seconds);
  if (whole < 60) return `${whole} s`;
  const minutes = Math.floor(whole / 60);
  if (minutes < 60) return `${minutes} min`;
  const hours = Math.floor(minutes / 60);
  if (hours < 24) return `${hours} h ${minutes % 60} min`;
  return `${Math.floor(hours / 24)} d ${hours % 24} h`;
}
