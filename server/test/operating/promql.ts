/** A metric as a query reads it: its name, and the labels that the query looks at. */
export interface MetricUse {
  name: string;
  labels: string[];
}

/** Words of the language itself, wherever they stand. */
const KEYWORDS = new Set([
  ...['and', 'or', 'unless', 'bool', 'offset', 'inf', 'nan'],
  ...['by', 'without', 'on', 'ignoring', 'group_left', 'group_right'],
]);
/** Those that are followed by names of labels. */
const GROUPING = /\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)/g;

/**
 * The metrics of a query in PromQL. Labels that it groups by count as looked at in each of its
 * metrics: what the language takes, these queries do not need.
 */
export function metricsIn(query: string): MetricUse[] {
  const grouped = [...query.matchAll(GROUPING)].flatMap(([, names = '']) => namesIn(names));
  const bare = query.replaceAll(GROUPING, ' ');
  const uses: MetricUse[] = [];
  // outside of braces, a name that no bracket follows is a metric; within, one before an operator a label
  const pattern =
    /([a-zA-Z_:][\w:]*)\s*(\(|\{((?:[^}"]|"(?:[^"\\]|\\.)*")*)\})?|\[[^\]]*\]|"[^"]*"/g;
  for (const [, name, after, matchers = ''] of bare.matchAll(pattern)) {
    if (name === undefined || after === '(' || KEYWORDS.has(name.toLowerCase())) continue;
    const matched = [...matchers.matchAll(/(\w+)\s*(?:=~|!~|!=|=)\s*"/g)].flatMap(
      ([, label]) => label ?? [],
    );
    uses.push({ name, labels: [...new Set([...matched, ...grouped])] });
  }
  return uses;
}

function namesIn(list: string): string[] {
  return list
    .split(',')
    .map((name) => name.trim())
    .filter((name) => name !== '');
}
