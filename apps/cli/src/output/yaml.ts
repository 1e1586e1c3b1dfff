import { stringify } from 'yaml';

/** YAML that 1.1 readers (PyYAML) understand too: there a bare `no` is false and a bare date a date. */
export function drawYaml(value: unknown): string {
  return stringify(value, { version: '1.1', lineWidth: 0 });
}
