/** Where a gateway keeps what it must not forget. */
import { join } from 'node:path';

const STATE_FOLDER = '/var/lib/isthmus';

/** The database of a gateway's requested peerings: in `folder`, in the one that systemd gives, or in the usual place. */
export function statePath(name: string, folder: string | undefined): string {
  const given = process.env['STATE_DIRECTORY']?.split(':')[0];
  return join(folder ?? (given === undefined || given === '' ? STATE_FOLDER : given), `${name}.db`);
}
