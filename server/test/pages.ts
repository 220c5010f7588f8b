/** The pages of the documentation, as the tests read them. */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';

export const root = resolve(import.meta.dirname, '../..');

/** A fenced block of a page. */
export interface Block {
  language: string;
  /** What stands after the language: how the block is tested, in pages.spec.ts. */
  mark: string;
  text: string;
  line: number;
}

/** A page of the documentation. */
export interface Page {
  /** From the root of the repository. */
  path: string;
  text: string;
  blocks: Block[];
  /** Of its headings, as GitHub makes them. */
  anchors: string[];
  /** Its lines, without what is in fenced blocks. */
  prose: string;
}

const FENCED = /^( *)```(\S*)(?: +([^\n]*))?\n([^]*?)^\1```$/gm;

/** All pages but the changelogs, which grow with every version. */
export const pages: Page[] = [
  ...['README.md', 'ARCHITECTURE.md', 'CONTRIBUTING.md', 'SECURITY.md'],
  ...readdirSync(join(root, 'docs'))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `docs/${name}`),
  'docker/README.md',
  'examples/homeserver/README.md',
].map(readPage);

function readPage(path: string): Page {
  const text = readFileSync(join(root, path), 'utf8');
  const blocks = [...text.matchAll(FENCED)].map(
    ({ index, 1: indent = '', 2: language = '', 3: mark = '', 4: content = '' }) => ({
      language,
      mark,
      text: content.replaceAll(new RegExp(`^${indent}`, 'gm'), ''),
      line: text.slice(0, index).split('\n').length,
    }),
  );
  const prose = text.replaceAll(FENCED, '');
  const anchors = [...prose.matchAll(/^#+ (.*)$/gm)].map(([, title = '']) => anchorOf(title));
  return { path, text, blocks, anchors, prose };
}

/** Where the relative links of a page lead: a path from the root, and the anchor there. */
export function linksOf({ path, prose }: Page): { target: string; anchor: string | undefined }[] {
  return [...prose.matchAll(/\]\(<?([^)>\s]+)>?\)/g)].flatMap(([, link = '']) => {
    if (/^[a-z]+:/.test(link)) return [];
    const [file = '', anchor] = link.split('#');
    const target = file === '' ? path : relative(root, resolve(root, dirname(path), file));
    return [{ target, anchor }];
  });
}

function anchorOf(title: string): string {
  return title
    .replaceAll(/\[([^\]]*)\]\([^)]*\)/g, '$1')
    .trim()
    .toLowerCase()
    .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
    .replaceAll(/\s/g, '-');
}
