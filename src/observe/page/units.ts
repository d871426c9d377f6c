/** Quantities, protocols and addresses as people read them. */

/** `1.5 KiB`. */
export function formatBytes(bytes: number): string {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB', 'PiB'];
  const power = bytes < 1 ? 0 : Math.min(units.length - 1, Math.floor(Math.log2(bytes) / 10));
  return `${(bytes / 1024 ** power).toFixed(power === 0 ? 0 : 1)} ${units[power]}`;
}

/** Bits per second: `12 kbit/s`, `3.4 Mbit/s`, `1.25 Gbit/s`. */
export function formatBits(bits: number): string {
  if (bits < 1e6) return `${(bits / 1e3).toFixed(0)} kbit/s`;
  return bits < 1e9 ? `${(bits / 1e6).toFixed(1)} Mbit/s` : `${(bits / 1e9).toFixed(2)} Gbit/s`;
}

/** `90 s`, `12 min`, `5 h`, `3 days`. */
export function formatSeconds(seconds: number): string {
  if (seconds < 120) return `${seconds} s`;
  if (seconds < 7200) return `${Math.floor(seconds / 60)} min`;
  if (seconds < 172_800) return `${Math.floor(seconds / 3600)} h`;
  return `${Math.floor(seconds / 86_400)} days`;
}

/** Of something a second: `0`, `0.4`, `12`, `3,400`. */
export function formatPerSecond(rate: number): string {
  if (rate === 0) return '0';
  return rate < 10 ? rate.toFixed(1) : formatCount(Math.round(rate));
}

/** `12,345`. */
export function formatCount(count: number): string {
  return String(Math.round(count)).replace(/\B(?=(\d{3})+$)/g, ',');
}

/** A share of 0 to 1: `4 %`, and `0.4 %` where that is more than nothing. */
export function formatShare(share: number): string {
  const percent = share * 100;
  return `${percent > 0 && percent < 1 ? percent.toFixed(1) : percent.toFixed(0)} %`;
}

/** `192.0.2.1:443`, `[2001:db8::1]:443`, and the address alone for port 0. */
export function formatEnd(address: string, port: number): string {
  if (port === 0) return address;
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}

const PROTOCOLS: Readonly<Partial<Record<number, string>>> = { 1: 'icmp', 6: 'tcp', 17: 'udp', 58: 'icmpv6' };

/** `tcp`, and the number of one that is rare. */
export function formatProtocol(protocol: number): string {
  return PROTOCOLS[protocol] ?? String(protocol);
}
