/** What an emulated link is to reach on the reference machine, quiet: marked in table and chart, never enforced. */
export const LINK_GOALS = {
  rttMeanUs: 30,
  rttP99Us: 150,
  rttP999Us: 300,
  /** Of a constant delay, one way. */
  sigmaUs: 30,
  /** 1 % and 0.3 %, either way. */
  tcpError: 0.01,
  udpError: 0.003,
  cpuRatio: 1.5,
  /** From a change's sending until the engine has applied it. */
  changeMs: 5,
  bytesPerLink: 1024,
} as const;
