/** Proves what a host has for its tests: an application with the module, without a database or users of its own. */
import type { INestApplication } from '@nestjs/common';
import type { NestExpressApplication } from '@nestjs/platform-express';
import { Test } from '@nestjs/testing';
import { TypeOrmModule } from '@nestjs/typeorm';
import { RoomKeysModule, RoomKeysService } from '../../src/index.js';
import { inMemoryDatabase, testTokens } from '../../src/testing.js';

describe('an application under test', () => {
  let app: INestApplication;

  beforeAll(async () => {
    const fixture = await Test.createTestingModule({
      imports: [
        TypeOrmModule.forRoot(inMemoryDatabase()),
        RoomKeysModule.forRoot({ verifyAccessToken: testTokens('hs1') }),
      ],
    }).compile();
    app = fixture.createNestApplication<NestExpressApplication>({ logger: false });
    await app.listen(0, '127.0.0.1');
  });
  afterAll(() => app.close());

  it.each([
    ['alice/PHONE', 404, 'M_NOT_FOUND'],
    ['guest-zoe', 403, 'M_GUEST_ACCESS_FORBIDDEN'],
    ['unknown', 401, 'M_UNKNOWN_TOKEN'],
  ])('knows the token %s', async (token, status, errcode) => {
    const answer = await fetch(`${await app.getUrl()}/_matrix/client/v3/room_keys/version`, {
      headers: { authorization: `Bearer ${token}` },
    });
    expect(answer.status).toBe(status);
    expect(await answer.json()).toMatchObject({ errcode });
  });

  it('stores keys', async () => {
    const service = app.get(RoomKeysService);
    const algorithm = 'm.megolm_backup.v1.curve25519-aes-sha2';
    expect(await service.createBackup('@alice:hs1', { algorithm, authData: '{}' })).toBe('1');
    expect(await service.currentBackup('@alice:hs1')).toMatchObject({ version: '1', count: 0 });
  });
});
