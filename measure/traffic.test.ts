import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { requirePrograms } from './programs.js';
import { parsePings } from './traffic.js';

it('reads what ping prints: answers, losses and long times', () => {
  const text = `PING 10.0.0.2 (10.0.0.2) 56(84) bytes of data.
64 bytes from 10.0.0.2: icmp_seq=1 ttl=64 time=0.045 ms
64 bytes from 10.0.0.2: icmp_seq=2 ttl=64 time=12.3 ms
64 bytes from 10.0.0.2: icmp_seq=4 ttl=64 time=1024 ms

--- 10.0.0.2 ping statistics ---
4 packets transmitted, 3 received, 25% packet loss, time 30ms
rtt min/avg/max/mdev = 0.045/12.3/1024/0.1 ms
`;
  expect(parsePings(text)).toEqual({ sent: 4, us: [45, 12_300, 1_024_000] });
  expect(() => parsePings('ping: connect: Network is unreachable')).toThrow(/Network is unreachable/);
});

it('says what is missing and how to install it', () => {
  const folder = mkdtempSync(join(tmpdir(), 'luthier-programs-'));
  mkdirSync(join(folder, 'bin'));
  writeFileSync(join(folder, 'bin/iperf3'), '', { mode: 0o755 });
  writeFileSync(join(folder, 'bin/ping'), '', { mode: 0o644 });
  try {
    expect(() => requirePrograms(['iperf3'], `/no/such:${folder}/bin`)).not.toThrow();
    expect(() => requirePrograms(['iperf3', 'ping', 'ethtool'], `${folder}/bin`)).toThrow(
      expect.objectContaining({
        code: 'E_STATE',
        message: expect.stringContaining('ping and ethtool') as string,
        hint: 'install what is missing: apt-get install iputils-ping ethtool',
      }),
    );
  } finally {
    rmSync(folder, { recursive: true });
  }
});
