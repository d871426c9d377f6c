export function bytes(hexDigits: string): Uint8Array {
  return Uint8Array.from(Buffer.from(hexDigits, 'hex'));
}

export function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}
