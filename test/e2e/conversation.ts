/** A TCP connection between two hosts that is never silent for long, and what is told when it breaks. */
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';
import type { AgentClient } from '../../control/client.js';
import { execArguments } from '../../control/exec.js';
import { speaks } from './command.js';

const PORT = 4000;
/** Far more than a switch process takes to be there again, and TCP to send again. */
const SILENT_MS = 60_000;
const ECHO = `
const server = require('node:net').createServer((socket) => {
  server.close();
  socket.pipe(socket);
  socket.on('error', (cause) => { console.error(cause.message); process.exit(1); });
});
server.listen(${PORT}, () => console.log('listening'));`;

/** Sends a line, and the next one a moment after it has come back; ends when its standard input does. */
const TALK = `
const [, peer] = process.argv;
const socket = require('node:net').connect(${PORT}, peer);
let turn = 0;
let heard = '';
const say = () => socket.write(\`\${turn}\\n\`);
socket.on('connect', say);
socket.on('data', (data) => {
  heard += data;
  if (!heard.endsWith('\\n')) return;
  if (heard !== \`\${turn}\\n\`) { console.error('heard ' + heard); process.exit(1); }
  heard = '';
  turn++;
  console.log(turn);
  setTimeout(say, 20);
});
socket.on('error', (cause) => { console.error(cause.message); process.exit(1); });
socket.on('close', () => { console.error('closed'); process.exit(1); });
process.stdin.resume().on('end', () => process.exit(0));`;

export class Conversation {
  readonly #echo: ChildProcess;
  readonly #talk: ChildProcess;
  readonly #ended: Promise<unknown>;
  #errors = '';
  #wake: () => void = () => undefined;

  private constructor(echo: ChildProcess, talk: ChildProcess) {
    this.#echo = echo;
    this.#talk = talk;
    for (const child of [echo, talk]) {
      child.stderr!.setEncoding('utf8').on('data', (text: string) => (this.#errors += text));
      child.once('close', () => {
        this.#errors += 'it ended ';
        this.#wake();
      });
    }
    this.#ended = Promise.all([echo, talk].map((child) => once(child, 'close')));
    createInterface(talk.stdout!).on('line', () => {
      this.#wake();
    });
  }

  static async between(agent: AgentClient, network: string, from: string, to: string): Promise<Conversation> {
    const node = async (host: string, ...args: string[]): Promise<ChildProcess> => {
      const command = execArguments(await agent.access(network, host), [process.execPath, '-e', ...args]);
      return spawn(command.file, command.args, { stdio: 'pipe' });
    };
    const echo = await node(to, ECHO);
    await speaks(echo);
    const conversation = new Conversation(echo, await node(from, TALK, to));
    await conversation.goesOn();
    return conversation;
  }

  /** Three more turns, in whatever time they take. */
  async goesOn(): Promise<void> {
    const silent = setTimeout(() => {
      this.#errors += `nothing was heard for ${SILENT_MS / 1000} s `;
      this.#wake();
    }, SILENT_MS);
    for (let turn = 0; turn < 3 && this.#errors === ''; turn++)
      await new Promise<void>((resolve) => (this.#wake = resolve));
    clearTimeout(silent);
    if (this.#errors !== '') throw new Error(`the connection broke: ${this.#errors}`);
  }

  /** The other side ends with it, if the connection still is one. */
  async end(): Promise<void> {
    if (this.#errors === '') this.#talk.stdin!.end();
    else for (const child of [this.#echo, this.#talk]) child.kill();
    await this.#ended;
  }
}
