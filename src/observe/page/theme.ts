/** Light or dark: as the system says, until the reader chooses. */
import { byId, setText } from './dom.ts';

const KEY = 'isthmus-theme';
const NEXT = { system: 'light', light: 'dark', dark: 'system' } as const;
type Theme = keyof typeof NEXT;

export function setUpTheme(): void {
  const button = byId('theme');
  const kept = localStorage.getItem(KEY);
  let theme: Theme = kept === 'light' || kept === 'dark' ? kept : 'system';
  const apply = (): void => {
    document.documentElement.dataset['theme'] = theme;
    setText(button, `Theme: ${theme}`);
  };
  button.addEventListener('click', () => {
    theme = NEXT[theme];
    localStorage.setItem(KEY, theme);
    apply();
  });
  apply();
}
