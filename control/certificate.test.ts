import { createPrivateKey, X509Certificate } from 'node:crypto';
import { describe, expect, it } from 'vitest';
import { makeIdentity } from './certificate.js';

describe('an identity', () => {
  const { certificate, privateKey } = makeIdentity('machine a');
  const read = new X509Certificate(certificate);

  it('is a certificate of its own key, signed by itself', () => {
    expect(read.checkPrivateKey(createPrivateKey(privateKey))).toBe(true);
    expect(read.verify(read.publicKey)).toBe(true);
    expect(read.subject).toBe('CN=machine a');
    expect(read.issuer).toBe(read.subject);
  });

  it('is valid whatever the clock says', () => {
    expect(read.validFrom).toBe('Jan  1 00:00:00 1970 GMT');
    expect(read.validTo).toBe('Dec 31 23:59:59 9999 GMT');
  });

  it('is another each time, for the longest name too', () => {
    const name = 'x'.repeat(63);
    const [one, other] = [makeIdentity(name), makeIdentity(name)];
    expect(one.certificate).not.toBe(other.certificate);
    expect(new X509Certificate(one.certificate).serialNumber).not.toBe(
      new X509Certificate(other.certificate).serialNumber,
    );
    expect(new X509Certificate(one.certificate).subject).toBe(`CN=${name}`);
  });
});
