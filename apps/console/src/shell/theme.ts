/** Light or dark: the system's choice until somebody makes another, which lasts as long as the page. */
import { useSyncExternalStore } from 'react';

export type Theme = 'light' | 'dark';

const darkClass = 'pf-v6-theme-dark';
const system = matchMedia('(prefers-color-scheme: dark)');
const listeners = new Set<() => void>();
let chosen: Theme | undefined;

function currentTheme(): Theme {
  return chosen ?? (system.matches ? 'dark' : 'light');
}

function apply(): void {
  document.documentElement.classList.toggle(darkClass, currentTheme() === 'dark');
  for (const listen of listeners) listen();
}

export function followSystemTheme(): void {
  system.addEventListener('change', apply);
  apply();
}

export function chooseTheme(theme: Theme): void {
  chosen = theme;
  apply();
}

export function useTheme(): Theme {
  return useSyncExternalStore((listen) => {
    listeners.add(listen);
    return () => void listeners.delete(listen);
  }, currentTheme);
}
