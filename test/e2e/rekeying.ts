/** Keys of tunnels that are replaced each second: by an order to the switches alone, the agent and the scenario know nothing of it. */
import { journalFiles, readJournal } from '../../control/journal.js';
import { NetworkPaths, type Paths } from '../../control/paths.js';
import { SwitchClient } from '../../control/switch-process.js';
import { switchConfigs } from '../../control/wiring.js';

/** Of the one network that there is. Its tunnels begin anew. */
export async function replaceKeysEachSecond(paths: Paths): Promise<void> {
  const [journal] = journalFiles(paths);
  const { number, network } = readJournal(journal!)!.header;
  const own = new NetworkPaths(paths, number);
  for (const { name, id } of network.machines) {
    const config = switchConfigs(network, number).get(name)!;
    const devices = config.devices.map((device) =>
      device.kind === 'udp' ? { ...device, keyLimits: { rekeySeconds: 1 } } : device,
    );
    await new SwitchClient(own.switchSocket(id), name).configure({ ...config, devices });
  }
}
