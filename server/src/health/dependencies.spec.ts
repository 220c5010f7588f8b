/** Proves when the database counts as full: from a request that found no room, to an upload that is stored, or a minute. */
import { jest } from '@jest/globals';
import type { RoomKeysEvent } from 'nestjs-room-keys';
import { DiskSpace } from './dependencies.js';

type RoomKeysRequestEvent = Extract<RoomKeysEvent, { type: 'request' }>;

const failed = (databaseFailure: RoomKeysRequestEvent['databaseFailure']) =>
  ({ type: 'request', databaseFailure }) as RoomKeysRequestEvent;

let space: DiskSpace;
beforeEach(() => {
  jest.useFakeTimers();
  space = new DiskSpace();
});
afterEach(() => jest.useRealTimers());

it('is not full at first, nor where the database is away for another reason', () => {
  expect(space.isFull).toBe(false);
  space.observe(failed('unavailable'));
  space.observe(failed(undefined));
  expect(space.isFull).toBe(false);
});

it('is full until a key is stored; an upload that stores nothing says nothing', () => {
  space.observe(failed('disk-full'));
  expect(space.isFull).toBe(true);
  space.observe({ type: 'keys', added: 0, replaced: 0, kept: 100 });
  expect(space.isFull).toBe(true);
  space.observe({ type: 'keys', added: 1, replaced: 0, kept: 0 });
  expect(space.isFull).toBe(false);
});

it('is forgotten a minute after the last failure', () => {
  space.observe(failed('disk-full'));
  jest.advanceTimersByTime(59_000);
  expect(space.isFull).toBe(true);
  jest.advanceTimersByTime(2_000);
  expect(space.isFull).toBe(false);
});
