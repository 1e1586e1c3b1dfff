const titles: Readonly<Record<string, string>> = {
  'install-driver': 'Install driver',
  'update-driver': 'Update driver',
  'uninstall-driver': 'Uninstall driver',
  'discover-services': 'Discover',
  'restart-backend': 'Restart backend',
  'attach-instance': 'Attach',
  'detach-instance': 'Detach',
  'clean-accelerator': 'Clean',
  'program-accelerator': 'Program',
};

export function operationTitle(kind: string): string {
  return titles[kind] ?? kind;
}
