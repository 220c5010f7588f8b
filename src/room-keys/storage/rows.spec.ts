/** Proves that the hash by which keys are found is the one that is documented, whatever the ids are. */
import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { idHash } from './rows.js';

const id = fc.oneof(
  fc.string({ unit: 'grapheme', minLength: 1, maxLength: 255 }),
  fc.nat(254).map((length) => 'a'.repeat(length + 1)),
  fc.nat(126).map((length) => 'é'.repeat(length + 1)),
);

describe('the hash of a key', () => {
  it('is the first half of SHA-256 over the length of the room id and both ids', () => {
    fc.assert(
      fc.property(id, id, (roomId, sessionId) => {
        const room = Buffer.from(roomId);
        fc.pre(room.length <= 255);
        const whole = createHash('sha256')
          .update(Buffer.concat([Buffer.from([room.length]), room, Buffer.from(sessionId)]))
          .digest('hex');
        expect(idHash({ roomId, sessionId })).toBe(whole.slice(0, 32));
      }),
      { numRuns: 2000 },
    );
  });

  it('tells apart what reads the same when it is put together', () => {
    const hashes = [
      idHash({ roomId: '!', sessionId: 'abc' }),
      idHash({ roomId: '!a', sessionId: 'bc' }),
      idHash({ roomId: '!ab', sessionId: 'c' }),
    ];
    expect(new Set(hashes).size).toBe(3);
  });
});
