/** What ends a command, by the table of sysexits.h. */
export const EXIT = { failure: 1, usage: 64, unavailable: 69, software: 70, cannotCreate: 73, config: 78 } as const;

/**
 * Every error that a user can meet, by its stable code: the exit code of a command that ends with it, and what it
 * means. `docs/errors.md` shows this table.
 */
export const ERRORS = {
  ISTHMUS_CONFIG_UNREADABLE: { exit: EXIT.config, meaning: 'The configuration file cannot be read.' },
  ISTHMUS_CONFIG_SYNTAX: { exit: EXIT.config, meaning: 'The file is not well-formed YAML.' },
  ISTHMUS_CONFIG_UNKNOWN_KEY: { exit: EXIT.config, meaning: 'A key that the configuration does not know.' },
  ISTHMUS_CONFIG_MISSING: { exit: EXIT.config, meaning: 'A key that must be there is not.' },
  ISTHMUS_CONFIG_VALUE: { exit: EXIT.config, meaning: 'A value of the wrong kind, or none of those it may be.' },
  ISTHMUS_CONFIG_CIDR: { exit: EXIT.config, meaning: 'Not a CIDR, or one with host bits set.' },
  ISTHMUS_CONFIG_PORT: { exit: EXIT.config, meaning: 'A port outside 1 to 65535, or a range that runs backward.' },
  ISTHMUS_CONFIG_DURATION: { exit: EXIT.config, meaning: 'A duration without its unit, or out of range.' },
  ISTHMUS_CONFIG_RATE: { exit: EXIT.config, meaning: 'A rate or a size without its unit, or out of range.' },
  ISTHMUS_CONFIG_SHAPE: { exit: EXIT.config, meaning: 'Classes of a shape that exclude each other.' },
  ISTHMUS_CONFIG_ENDPOINT: { exit: EXIT.config, meaning: 'An endpoint that is not host:port.' },
  ISTHMUS_CONFIG_INTERFACE: { exit: EXIT.config, meaning: 'A name that the kernel refuses for an interface.' },
  ISTHMUS_CONFIG_OVERLAP: { exit: EXIT.config, meaning: 'Two sides claim the same addresses.' },
  ISTHMUS_CONFIG_DUPLICATE: { exit: EXIT.config, meaning: 'A name or a public key that is used twice.' },
  ISTHMUS_CONFIG_UNKNOWN_ACL: { exit: EXIT.config, meaning: 'An ACL is named that is not there.' },
  ISTHMUS_CONFIG_UNKNOWN_GROUP: { exit: EXIT.config, meaning: 'A security group is named that is not there.' },
  ISTHMUS_CONFIG_BUNDLE: { exit: EXIT.config, meaning: 'A bundle whose peerings differ, or that has none.' },
  ISTHMUS_CONFIG_PEERING: { exit: EXIT.config, meaning: 'A flow log names a peering that is not there.' },
  ISTHMUS_CONFIG_UNKNOWN_NAME: { exit: EXIT.config, meaning: 'A name that nothing in the file has.' },
  ISTHMUS_CONFIG_PREFIX_LIST: {
    exit: EXIT.config,
    meaning: 'A prefix list that holds no network, or whose file cannot be read.',
  },
  ISTHMUS_CONFIG_CIPHER: { exit: EXIT.config, meaning: 'An unknown cipher, or one that this kind of key excludes.' },
  ISTHMUS_CONFIG_RULE: { exit: EXIT.config, meaning: 'Conditions or lists that exclude each other.' },
  ISTHMUS_CONFIG_KEYS: { exit: EXIT.config, meaning: 'A peering with no keys, or with two kinds of them.' },
  ISTHMUS_SECRET_UNREADABLE: { exit: EXIT.config, meaning: 'The file that holds a secret is missing or unreadable.' },
  ISTHMUS_SECRET_EXPOSED: { exit: EXIT.config, meaning: 'Others may read a file that holds a secret.' },
  ISTHMUS_SECRET_ENVIRONMENT: {
    exit: EXIT.config,
    meaning: 'The environment variable that holds a secret is not set.',
  },
  ISTHMUS_SECRET_FORMAT: { exit: EXIT.config, meaning: 'A PSK, key or token in no accepted notation.' },
  ISTHMUS_SECRET_SHORT: { exit: EXIT.config, meaning: 'A PSK of fewer than 256 bits.' },
  ISTHMUS_SECRET_SHARED: { exit: EXIT.config, meaning: 'Two peerings with the same PSK.' },
  ISTHMUS_KEY_FORMAT: { exit: EXIT.failure, meaning: 'Standard input holds no key.' },
  ISTHMUS_USAGE: { exit: EXIT.usage, meaning: 'A command was given arguments that it cannot use.' },
  ISTHMUS_FILE_EXISTS: { exit: EXIT.cannotCreate, meaning: 'A file that would be written is already there.' },
  ISTHMUS_FILE_WRITE: { exit: EXIT.cannotCreate, meaning: 'A file cannot be written.' },
  ISTHMUS_EXPORT_CIPHER: {
    exit: EXIT.failure,
    meaning: 'The peering is fixed to a cipher that WireGuard does not have.',
  },
  ISTHMUS_EXPORT_KEYS: { exit: EXIT.failure, meaning: 'The private key of the side asked for is not known here.' },
  ISTHMUS_NETWORK: {
    exit: EXIT.failure,
    meaning: 'The system refused a change to an interface, an address or a route.',
  },
  ISTHMUS_TUN: { exit: EXIT.failure, meaning: 'The interface cannot be created, or was deleted while in use.' },
  ISTHMUS_LISTEN: { exit: EXIT.failure, meaning: 'The UDP port cannot be listened on.' },
  ISTHMUS_SOCKET: {
    exit: EXIT.failure,
    meaning: 'A socket for control or metrics cannot be made, or is of a running program.',
  },
  ISTHMUS_DATA_PLANE: { exit: EXIT.software, meaning: 'A data-plane thread ended by itself.' },
  ISTHMUS_RELOAD: { exit: EXIT.failure, meaning: 'A configuration that cannot be changed to; the old one stays.' },
  ISTHMUS_PEERING: { exit: EXIT.failure, meaning: 'What is asked of a peering is not possible in its state.' },
  ISTHMUS_PEERING_CONFLICT: {
    exit: EXIT.config,
    meaning: 'The configuration file leaves no room for a peering that was requested.',
  },
  ISTHMUS_INVITATION: { exit: EXIT.failure, meaning: 'Not an invitation to a peering, or a damaged one.' },
  ISTHMUS_AUDIT: { exit: EXIT.failure, meaning: 'The audit log is not as it was written.' },
  ISTHMUS_STATE: {
    exit: EXIT.failure,
    meaning: 'The state of requested peerings cannot be read or written, or is of a running gateway.',
  },
  ISTHMUS_NO_GATEWAY: {
    exit: EXIT.unavailable,
    meaning: 'No running gateway answers, or it is not clear which is meant.',
  },
  ISTHMUS_PAGE: {
    exit: EXIT.failure,
    meaning: 'A call that the status page refuses: for another site, without its token, or one too many.',
  },
  ISTHMUS_INTERNAL: { exit: EXIT.software, meaning: 'A fault of the program itself.' },
} as const satisfies Record<string, { exit: number; meaning: string }>;

export type ErrorCode = keyof typeof ERRORS;

/** An error with a stable code. Its message is for the user and holds no secret. */
export class IsthmusError extends Error {
  readonly code: ErrorCode;

  constructor(code: ErrorCode, message: string) {
    super(message);
    this.name = 'IsthmusError';
    this.code = code;
  }

  /** The exit code of a command that ends with this error. */
  get exitCode(): number {
    return ERRORS[this.code].exit;
  }
}
