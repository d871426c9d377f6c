/** The textual forms of addresses, for what stands above the gateway. */
export { formatPrefix, parsePrefix } from '../routing/prefix.ts';
export { endpointFrom, formatEndpoint } from '../wire/endpoint.ts';
