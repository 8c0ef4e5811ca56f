/**
 * Every error that Luthier throws. Each carries a stable `code` (scripts match on it, never on the text), and says what
 * failed, where, why, and in `hint` what to do about it. `cli/` maps them to exit statuses: `ScenarioError` and
 * `UsageError` are 2 (the input is wrong), everything else is 1.
 *
 * The data path does not use these: it counts a `DropReason` instead (`vswitch/drops.ts`).
 */

export interface ErrorOptions {
  /** What the user can do about it: one sentence, a command where there is one. */
  readonly hint?: string;
  readonly cause?: unknown;
}

export class LuthierError extends Error {
  readonly code: string;
  readonly hint: string | undefined;

  constructor(code: string, message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = new.target.name;
    this.code = code;
    this.hint = options.hint;
  }
}

/** A place in a file: lines and columns count from 1, as editors do. */
export interface SourcePosition {
  readonly file: string;
  readonly line: number;
  readonly column: number;
}

/** The scenario is wrong. The message does not repeat the position: `cli/` prints `file:line:column: message`. */
export class ScenarioError extends LuthierError {
  readonly position: SourcePosition;

  constructor(position: SourcePosition, message: string, options: ErrorOptions = {}) {
    super('E_SCENARIO', message, options);
    this.position = position;
  }
}

/** The scenario is right, but asks for something that this version does not do yet. Exit status 1. */
export class UnsupportedError extends LuthierError {
  readonly position: SourcePosition;

  constructor(position: SourcePosition, message: string, options: ErrorOptions = {}) {
    super('E_UNSUPPORTED', message, options);
    this.position = position;
  }
}

/** A command line, or an argument of the API, that cannot be understood. Exit status 2. */
export class UsageError extends LuthierError {
  constructor(message: string, options: ErrorOptions = {}) {
    super('E_USAGE', message, options);
  }
}

/** A system call failed. `errno` is the symbolic name, `ENOENT`. */
export class SyscallError extends LuthierError {
  readonly syscall: string;
  readonly errno: string;

  constructor(syscall: string, errno: string, message: string, options: ErrorOptions = {}) {
    super('E_SYSCALL', message, options);
    this.syscall = syscall;
    this.errno = errno;
  }
}

/** A right is missing: `capability` names it as capabilities(7) does, or the device node that could not be opened. */
export class PrivilegeError extends LuthierError {
  readonly capability: string;

  constructor(capability: string, message: string, options: ErrorOptions = {}) {
    super('E_PRIVILEGE', message, options);
    this.capability = capability;
  }
}

/** What was asked does not fit what is there: no such network, already running, a process that is gone. */
export class StateError extends LuthierError {
  constructor(message: string, options: ErrorOptions = {}) {
    super('E_STATE', message, options);
  }
}

/** The machine has not what a network needs; nothing was made of it. */
export class CapacityError extends LuthierError {
  constructor(message: string, options: ErrorOptions = {}) {
    super('E_CAPACITY', message, options);
  }
}

/** Another process of ours (agent, switch, keeper) answered with an error, or did not answer. */
export class RemoteError extends LuthierError {
  readonly remote: string;

  constructor(remote: string, message: string, options: ErrorOptions = {}) {
    super('E_REMOTE', message, options);
    this.remote = remote;
  }
}
