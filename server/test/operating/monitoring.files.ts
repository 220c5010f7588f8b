import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

// Not imported: of its two major versions in use, one brings no types.
const yaml = createRequire(import.meta.url)('js-yaml') as { load(text: string): unknown };

/** A file of docs/monitoring, by its path. */
export const monitoringFile = (name: string) =>
  fileURLToPath(new URL(`../../../docs/monitoring/${name}`, import.meta.url));

/** A query with what it is there for. */
export interface Query {
  where: string;
  expr: string;
}

/** A panel of the dashboard, as far as it is read here. */
export interface Panel {
  id: number;
  type: string;
  title: string;
  targets?: { expr: string; legendFormat: string }[];
}

interface Dashboard {
  panels: Panel[];
  annotations: { list: { name: string; expr: string }[] };
}

/** A rule of alerts.yml. */
export interface AlertRule {
  alert: string;
  expr: string;
  annotations: { summary: string; runbook: string };
}

export const dashboard = JSON.parse(
  readFileSync(monitoringFile('grafana-dashboard.json'), 'utf8'),
) as Dashboard;

export const alertRules = (
  yaml.load(readFileSync(monitoringFile('alerts.yml'), 'utf8')) as {
    groups: { rules: AlertRule[] }[];
  }
).groups.flatMap(({ rules }) => rules);

/** Each query of the dashboard, its variables in place of what Grafana puts there. */
export const dashboardQueries: readonly Query[] = [
  ...dashboard.panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({ where: title, expr: filledIn(expr) })),
  ),
  ...dashboard.annotations.list.map(({ name, expr }) => ({ where: name, expr: filledIn(expr) })),
];

/** What Grafana puts in place of the variables of a query. */
function filledIn(expr: string): string {
  return expr
    .replaceAll('$job', 'room-keys')
    .replaceAll('$instance', '.*')
    .replaceAll('$__rate_interval', '1m');
}
