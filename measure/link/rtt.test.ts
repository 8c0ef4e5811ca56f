import { expect, it } from 'vitest';
import type { TimedTrips } from './pings.js';
import { delayReport } from './rtt.js';

it('has the error to the reference’s mean and twice the delay', () => {
  const trips = (us: readonly number[]): TimedTrips => ({
    sent: us.length + 1,
    us,
    oneWayUs: us.map((value) => value / 2),
    interfaceUs: us.map((value) => value - 7),
  });
  const { reference, error, referenceError, plainError, emulated, uncompensatedError } = delayReport(1e6, 0.01, {
    reference: trips([90, 100, 110]),
    plain: trips([150, 150]),
    emulated: trips([2100, 2140, 2090]),
    uncompensated: trips([2108, 2112]),
  });
  expect(reference).toMatchObject({ sent: 4, received: 3, meanUs: 100, p50Us: 100, oneWayMeanUs: 50 });
  const there = { interfaceMeanUs: 10, interfaceP50Us: 10, interfaceP99Us: 40 };
  expect(error).toEqual({ meanUs: 10, oneWayMeanUs: 5, p50Us: 10, p99Us: 40, p999Us: 40, ...there });
  const none = { interfaceMeanUs: 0, interfaceP50Us: 10, interfaceP99Us: 10 };
  expect(referenceError).toEqual({ meanUs: 0, oneWayMeanUs: 0, p50Us: 10, p99Us: 10, p999Us: 10, ...none });
  expect(plainError.meanUs).toBe(50);
  expect(uncompensatedError).toMatchObject({ meanUs: 10, oneWayMeanUs: 5 });
  expect(emulated.meanUs).toBe(2110);
});
