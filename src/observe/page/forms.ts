/** What is asked and told by forms: a trace, and a reload. */
import type { TraceAnswer } from '../../gateway/trace.ts';
import { askTrace, Refusal, reload } from './calls.ts';
import { byId, fieldById, html } from './dom.ts';

const SIGNS = { add: '+', remove: '−', change: '~' } as const;

/** The form's fields by their names, without those that were left empty. */
function fieldsOf(form: HTMLFormElement): Record<string, string> {
  const fields: Record<string, string> = {};
  for (const [name, value] of new FormData(form)) {
    if (typeof value === 'string' && value.trim() !== '') fields[name] = value.trim();
  }
  return fields;
}

function wordsOf(error: unknown): string {
  return error instanceof Refusal ? error.message : 'The gateway does not answer.';
}

/** Calls `take` when the form is sent, and shows what it gives, or the fault, in `output`. */
function onSubmit(
  form: HTMLFormElement,
  output: HTMLElement,
  take: (sender: HTMLElement | null) => Promise<Node[]>,
): void {
  form.addEventListener('submit', (event) => {
    event.preventDefault();
    void take(event.submitter)
      .catch((error: unknown) => [html('p', { class: 'fault' }, wordsOf(error))])
      .then((nodes) => output.replaceChildren(...nodes));
  });
}

export function setUpTrace(): void {
  const form = fieldById('trace-form', HTMLFormElement);
  onSubmit(form, byId('trace-answer'), async () => traceNodes(await askTrace(fieldsOf(form))));
}

function traceNodes({ steps, passes, reason, to }: TraceAnswer): Node[] {
  const items = steps.map((step) =>
    html(
      'li',
      { class: step.passes ? 'passes' : 'fails' },
      html('span', { class: 'sign', 'aria-hidden': 'true' }, step.passes ? '✓' : '✕'),
      html('b', {}, step.step),
      html('span', {}, step.passes ? step.text : `stops here: ${step.text}`),
    ),
  );
  const verdict = passes ? `● passes, to ${to}` : `■ dropped: ${reason}`;
  return [
    html('p', { class: `verdict state ${passes ? 'good' : 'bad'}` }, verdict),
    html('ol', { class: 'steps' }, ...items),
  ];
}

/** The choices of where a packet comes in. */
export function offerAttachments(names: readonly string[]): void {
  const select = fieldById('trace-from', HTMLSelectElement);
  const wanted = ['auto', 'local', ...names];
  if (Array.from(select.options, ({ value }) => value).join('\n') === wanted.join('\n')) return;
  const chosen = select.value;
  const words: Readonly<Record<string, string>> = { auto: 'where its source belongs', local: 'the local VPC' };
  select.replaceChildren(...wanted.map((name) => html('option', { value: name }, words[name] ?? name)));
  select.value = wanted.includes(chosen) ? chosen : 'auto';
}

/** `changed`: called when the gateway has reloaded. */
export function setUpReload(changed: () => void): void {
  const form = fieldById('reload-form', HTMLFormElement);
  byId('reloading').hidden = false;
  onSubmit(form, byId('reload-answer'), async (sender) => {
    const dryRun = (sender as HTMLButtonElement | null)?.value !== 'reload';
    const changes = await reload(fieldById('token', HTMLInputElement).value, dryRun);
    if (!dryRun) changed();
    const items = changes.map(({ change, path, before, after, refused }) => {
      const values = before === null && after === null ? '' : `: ${before} → ${after}`;
      return html('li', {}, `${SIGNS[change]} ${path}${values}${refused ? ', which needs a restart' : ''}`);
    });
    const count = `${changes.length} ${changes.length === 1 ? 'change' : 'changes'}`;
    const words =
      changes.length === 0 ? 'The file says what the gateway does.' : dryRun ? `Would be: ${count}` : `Done: ${count}`;
    return [html('p', {}, words), html('ul', { class: 'changes' }, ...items)];
  });
}
