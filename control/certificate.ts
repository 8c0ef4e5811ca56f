/**
 * A machine's identity: a private key, and the certificate by which its peers know it. Signed by itself, as nobody else
 * vouches for it: each peer has the very certificate. So it names nobody, allows nothing and never expires; what it needs
 * is to be one that TLS takes (RFC 5280).
 *
 * Node makes keys and signatures, but no certificates. Loaded when a network has its first tunnel.
 */
import { createHash, generateKeyPairSync, sign, X509Certificate } from 'node:crypto';
import { AsnConvert } from '@peculiar/asn1-schema';
import {
  AlgorithmIdentifier,
  AttributeTypeAndValue,
  AttributeValue,
  Certificate,
  Name,
  RelativeDistinguishedName,
  SubjectPublicKeyInfo,
  TBSCertificate,
  Validity,
  Version,
} from '@peculiar/asn1-x509';

/** PEM. */
export interface Identity {
  readonly certificate: string;
  readonly privateKey: string;
}

/** RFC 5758 §3.2, ecdsa-with-SHA256. */
const ECDSA_WITH_SHA256 = '1.2.840.10045.4.3.2';
/** RFC 5280 appendix A.1, id-at-commonName. */
const COMMON_NAME = '2.5.4.3';
/** §4.1.2.5: "no well-defined expiration date"; and a beginning that no wrong clock is before. */
const NOT_BEFORE = new Date(0);
const NOT_AFTER = new Date('9999-12-31T23:59:59Z');
/** §4.1.2.2: positive, at most 20 bytes. */
const SERIAL_BYTES = 16;

export function makeIdentity(commonName: string): Identity {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const algorithm = new AlgorithmIdentifier({ algorithm: ECDSA_WITH_SHA256 });
  const name = new Name([
    new RelativeDistinguishedName([
      new AttributeTypeAndValue({ type: COMMON_NAME, value: new AttributeValue({ utf8String: commonName }) }),
    ]),
  ]);
  const serial = createHash('sha256').update(spki).digest().subarray(0, SERIAL_BYTES);
  serial[0] = (serial[0]! & 0x7f) | 0x40;
  const tbs = new TBSCertificate({
    version: Version.v3,
    serialNumber: bufferOf(serial),
    signature: algorithm,
    issuer: name,
    subject: name,
    validity: new Validity({ notBefore: NOT_BEFORE, notAfter: NOT_AFTER }),
    subjectPublicKeyInfo: AsnConvert.parse(spki, SubjectPublicKeyInfo),
  });
  const signature = sign('sha256', Buffer.from(AsnConvert.serialize(tbs)), privateKey);
  const certificate = new Certificate({
    tbsCertificate: tbs,
    signatureAlgorithm: algorithm,
    signatureValue: bufferOf(signature),
  });
  return {
    certificate: new X509Certificate(Buffer.from(AsnConvert.serialize(certificate))).toString(),
    privateKey: privateKey.export({ type: 'pkcs8', format: 'pem' }).toString(),
  };
}

/** A copy: a Buffer's own memory may be shared with others. */
function bufferOf(bytes: Uint8Array): ArrayBuffer {
  return Uint8Array.from(bytes).buffer;
}
