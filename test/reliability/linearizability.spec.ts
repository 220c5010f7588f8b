/** Proves that the checker of histories accepts what a serial server could have answered, and nothing else. */
import { type HistoryEvent, NOTHING_YET, type Operation, type UploadedKey } from './history.js';
import { linearize } from './linearizability.js';

const key = (session: string, index: number, mark: string): UploadedKey => ({
  room: '!r',
  session,
  verified: false,
  index,
  forwarded: 0,
  mark,
});
const event = (
  invoked: number,
  answered: number,
  operation: Operation,
  answer?: string,
): HistoryEvent => ({ invoked, answered, operation, answer });
const create = (invoked: number, answered: number, answer = 'version 1') =>
  event(invoked, answered, { kind: 'create backup', mark: 'a' }, answer);
const put = (
  invoked: number,
  answered: number,
  keys: UploadedKey[],
  answer?: string,
  version = 1,
) => event(invoked, answered, { kind: 'put keys', version, keys }, answer);
const read = (invoked: number, answered: number, answer: string) =>
  event(invoked, answered, { kind: 'read keys', version: 1 }, answer);
const holds =
  (...history: HistoryEvent[]) =>
  () =>
    linearize(NOTHING_YET, history);

describe('a history is accepted', () => {
  it('when uploads at one moment took place in the order that their etags tell', () => {
    const { backups } = linearize(NOTHING_YET, [
      create(1, 2),
      put(3, 8, [key('s', 5, 'one')], 'count 1, etag 2'),
      put(4, 9, [key('s', 7, 'other')], 'count 1, etag 1'),
      put(5, 7, [key('s', 9, 'third')], 'count 1, etag 2'),
      read(10, 11, '!r s: unverified 5 0 one'),
    ]);
    expect(backups.get(1)?.etag).toBe(2);
  });

  it('when an upload meets a new backup, on either side of it', () => {
    const second = create(4, 7, 'version 2');
    expect(
      holds(create(1, 2), second, put(3, 8, [key('s', 0, 'm')], 'count 1, etag 1')),
    ).not.toThrow();
    expect(
      holds(create(1, 2), second, put(3, 8, [key('s', 0, 'm')], 'current is 2')),
    ).not.toThrow();
  });

  it('when an upload without an answer took place, and when it did not', () => {
    const lost = put(3, Infinity, [key('s', 0, 'm'), key('t', 0, 'n')]);
    expect(holds(create(1, 2), lost, read(5, 6, ''))).not.toThrow();
    expect(
      holds(create(1, 2), lost, read(5, 6, '!r s: unverified 0 0 m; !r t: unverified 0 0 n')),
    ).not.toThrow();
  });

  it('when reads tell two of which of several unanswered uploads took place', () => {
    const lost = ['a', 'b', 'c'].map((mark, n) => put(3 + n, Infinity, [key(mark, 0, mark)]));
    const after = read(10, 11, '!r a: unverified 0 0 a; !r c: unverified 0 0 c');
    expect(holds(create(1, 2), ...lost, read(7, 8, '!r c: unverified 0 0 c'), after)).not.toThrow();
  });
});

describe('a history is refused', () => {
  const first = create(1, 2);
  const stored = put(3, 4, [key('s', 5, 'one')], 'count 1, etag 1');

  it.each([
    ['a key is gone', [read(5, 6, '')]],
    [
      'the worse of two keys stays',
      [
        put(5, 6, [key('s', 3, 'better')], 'count 1, etag 2'),
        read(7, 8, '!r s: unverified 5 0 one'),
      ],
    ],
    [
      'a key of the same rank takes the place of the stored one',
      [
        put(5, 6, [key('s', 5, 'same')], 'count 1, etag 1'),
        read(7, 8, '!r s: unverified 5 0 same'),
      ],
    ],
    [
      'the etag stays although a key changed',
      [put(5, 6, [key('s', 3, 'better')], 'count 1, etag 1')],
    ],
    [
      'the etag moves although nothing changed',
      [put(5, 6, [key('s', 9, 'worse')], 'count 1, etag 2')],
    ],
    [
      'two changes are told the same etag',
      [
        put(5, 8, [key('t', 0, 't')], 'count 2, etag 2'),
        put(6, 9, [key('u', 0, 'u')], 'count 2, etag 2'),
      ],
    ],
    ['the count is wrong', [put(5, 6, [key('t', 0, 't')], 'count 1, etag 2')]],
    [
      'one read goes back behind another',
      [
        put(5, 12, [key('t', 0, 't')], 'count 2, etag 2'),
        read(6, 7, '!r s: unverified 5 0 one; !r t: unverified 0 0 t'),
        read(8, 9, '!r s: unverified 5 0 one'),
      ],
    ],
    [
      'an upload without an answer is there by half',
      [
        put(5, Infinity, [key('t', 0, 't'), key('u', 0, 'u')]),
        read(7, 8, '!r s: unverified 5 0 one; !r t: unverified 0 0 t'),
      ],
    ],
    [
      'a key is stored in an old backup after the new one was there',
      [create(5, 6, 'version 2'), put(7, 8, [key('t', 0, 't')], 'count 2, etag 2')],
    ],
    ['a version is given twice', [create(5, 6, 'version 2'), create(7, 8, 'version 2')]],
    [
      'a deleted key is there again',
      [
        event(
          5,
          6,
          { kind: 'delete keys', version: 1, room: '!r', session: 's' },
          'count 0, etag 2',
        ),
        read(7, 8, '!r s: unverified 5 0 one'),
      ],
    ],
    [
      'a deleted backup is there again',
      [
        event(5, 6, { kind: 'delete backup', version: 1 }, ''),
        event(7, 8, { kind: 'read backup', version: 1 }, 'version 1, count 1, etag 1, a'),
      ],
    ],
  ] as const)('when %s', (_, events) => {
    expect(holds(first, stored)).not.toThrow();
    expect(holds(first, stored, ...events)).toThrow(/^No serial order/);
  });

  it('when only one of two at the same moment can have been first, and both say so', () => {
    expect(
      holds(
        first,
        put(3, 6, [key('s', 1, 'm')], 'count 1, etag 1'),
        put(4, 7, [key('t', 1, 'n')], 'count 1, etag 1'),
      ),
    ).toThrow(/^No serial order/);
  });
});
