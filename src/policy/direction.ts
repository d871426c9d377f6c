/** Which way a packet goes through a peering: in from the peer, or out to it. */
export const IN = 0;
export const OUT = 1;
