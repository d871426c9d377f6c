import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import test from 'ava';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** The pages of the project, by their path in it: what git has or is about to have. */
const pages = execFileSync('git', ['ls-files', '--cached', '--others', '--exclude-standard', '*.md'], {
  cwd: ROOT,
  encoding: 'utf8',
})
  .trim()
  .split('\n')
  .filter((page) => existsSync(join(ROOT, page)));

/** A page without what only looks like headings or links: blocks and spans of code. */
function prose(page: string): string {
  return readFileSync(join(ROOT, page), 'utf8')
    .replace(/^```[^]*?^```$/gm, '')
    .replace(/``[^\n]*?``|`[^`]*`/g, (span) => (span.includes('\n\n') ? span : ''));
}

/** Anchors of a page, made of its headings as GitHub makes them. */
function anchors(page: string): Set<string> {
  const text = readFileSync(join(ROOT, page), 'utf8').replace(/^```[^]*?^```$/gm, '');
  const names = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading
      .toLowerCase()
      .replace(/[^\p{L}\p{N} _-]/gu, '')
      .replaceAll(' ', '-'),
  );
  return new Set(names);
}

/** Targets of the links of a page: `[text](target)`, and `[name]: target`. */
function links(page: string): string[] {
  const text = prose(page);
  const inline = [...text.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target]) => target);
  const named = [...text.matchAll(/^\[[^\]]+\]: (\S+)$/gm)].map(([, target]) => target);
  return [...inline, ...named];
}

test('every link between pages leads somewhere', (t) => {
  t.true(pages.includes('README.md') && pages.length > 10);
  const broken: string[] = [];
  let followed = 0;
  for (const page of pages) {
    for (const target of links(page)) {
      if (/^[a-z]+:/.test(target)) continue;
      followed++;
      const [path, anchor] = target.split('#');
      const to = path === '' ? page : normalize(join(dirname(page), path));
      if (!existsSync(join(ROOT, to))) broken.push(`${page}: ${target}: no such file`);
      else if (target.includes('#') && to.endsWith('.md') && !anchors(to).has(anchor))
        broken.push(`${page}: ${target}: no such heading`);
    }
  }
  t.deepEqual(broken, []);
  t.true(followed > 30);
});
