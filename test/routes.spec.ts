/** Proves, by one walk over all controllers that the module declares, that its 14 routes are there, guarded and documented. */
import { GUARDS_METADATA, ROUTE_ARGS_METADATA } from '@nestjs/common/constants.js';
import { RouteParamtypes } from '@nestjs/common/enums/route-paramtypes.enum.js';
import { AccessTokenGuard } from '../src/room-keys/http/access-token.guard.js';
import { RateLimitGuard } from '../src/room-keys/http/rate-limit.guard.js';
import { type Route, routes } from './support/routes.js';

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
const PREFIXES = ['v3', 'r0', 'unstable'].map((version) => `/_matrix/client/${version}/room_keys`);

const metadata = (name: string, target: object) =>
  Reflect.getMetadata(`swagger/${name}`, target) as unknown;
const isDocumented = ({ controller }: Route) =>
  metadata('apiExcludeController', controller) === undefined;

describe('the routes', () => {
  it.each(PREFIXES)('are the 14 of the contract under %s', (prefix) => {
    const found = routes.map(({ route }) => route).filter((route) => route.includes(` ${prefix}/`));
    expect(found.map((route) => route.replace(prefix, '')).sort()).toEqual(OPERATIONS);
  });

  it('are no others', () => {
    expect(routes).toHaveLength(PREFIXES.length * OPERATIONS.length);
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

  it('are documented under v3, and nowhere else', () => {
    expect(routes.filter(isDocumented).map(({ route }) => route)).toEqual(
      routes.map(({ route }) => route).filter((route) => route.includes(` ${PREFIXES[0]}/`)),
    );
  });

  it.each(routes.filter(isDocumented))('$route is documented', ({ controller, handler }) => {
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
