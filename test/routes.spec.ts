/** Proves, by one walk over all controllers that the module declares, that its 14 routes are there, guarded and documented. */
import { GUARDS_METADATA, ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import { AccessTokenGuard, RateLimitGuard } from '../src/room-keys/http/guards.js';
import { routes } from './support/routes.js';

const OPERATIONS = [
  'DELETE /keys',
  'DELETE /keys/:roomId',
  'DELETE /keys/:roomId/:sessionId',
  'DELETE /version/:version',
  'GET /keys',
  'GET /keys/:roomId',
  'GET /keys/:roomId/:sessionId',
  'GET /version',
  'GET /version/:version',
  'POST /version',
  'PUT /keys',
  'PUT /keys/:roomId',
  'PUT /keys/:roomId/:sessionId',
  'PUT /version/:version',
];
const PREFIX = '/_matrix/client/v3/room_keys';

const metadata = (name: string, target: object) =>
  Reflect.getMetadata(`swagger/${name}`, target) as unknown;

describe('the routes', () => {
  it('are the 14 of the contract, and no others', () => {
    expect(routes.map(({ route }) => route.replace(PREFIX, '')).sort()).toEqual(OPERATIONS);
  });

  it.each(routes)(
    '$route asks for an access token, then whether its user may ask now',
    ({ controller, handler }) => {
      expect(Reflect.getMetadata(GUARDS_METADATA, controller)).toEqual([
        AccessTokenGuard,
        RateLimitGuard,
      ]);
      expect(Reflect.getMetadata(GUARDS_METADATA, handler)).toBeUndefined();
    },
  );

  it.each(routes)(
    '$route is given the request and the response, which no pipe of a host’s changes',
    ({ controller, name }) => {
      const parameters = Reflect.getMetadata(ROUTE_ARGS_METADATA, controller, name) as object;
      const kinds = Object.keys(parameters).map((kind) => Number(kind.split(':')[0]));
      expect(kinds.sort()).toEqual([RouteParamtypes.REQUEST, RouteParamtypes.RESPONSE]);
    },
  );

  it.each(routes)('$route is documented', ({ controller, handler }) => {
    expect(metadata('apiOperation', handler)).toMatchObject({
      operationId: expect.stringMatching(/RoomKey/) as string,
      summary: expect.stringMatching(/\.$/) as string,
      description: expect.stringMatching(/\.$/) as string,
    });
    const statuses = Object.keys(metadata('apiResponse', handler) as object);
    expect(statuses).toEqual(expect.arrayContaining(['200', '401', '403', '429', '503']));
    expect(metadata('apiSecurity', controller)).toEqual([{ accessToken: [] }]);
    expect(metadata('apiUseTags', controller)).toEqual(['End-to-end encryption']);
  });
});
