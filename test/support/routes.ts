import 'reflect-metadata';
import { RequestMethod, type Type } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import { RoomKeysModule } from '../../src/index.js';
import { documentControllers } from '../../src/room-keys/http/documentation.js';

/** A route as Nest's router finds it in the metadata. */
export interface Route {
  /** Such as `GET /_matrix/client/v3/room_keys/keys/:roomId`. */
  route: string;
  controller: Type;
  name: string;
  handler: object;
}

const { controllers = [] } = RoomKeysModule.forRoot({ verifyAccessToken: () => null });
// as the start of an application does
await documentControllers(controllers, 'accessToken');

/** Every route of a controller, those that it inherits too: Nest's router takes them as well. */
function routesOf(controller: Type): Route[] {
  const routes: Route[] = [];
  for (
    let at = controller.prototype as object;
    at !== Object.prototype;
    at = Object.getPrototypeOf(at) as object
  ) {
    for (const [name, { value }] of Object.entries(Object.getOwnPropertyDescriptors(at))) {
      const handler = value as object;
      if (name === 'constructor' || !Reflect.hasMetadata(PATH_METADATA, handler)) continue;
      const method = RequestMethod[Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod];
      for (const prefix of [Reflect.getMetadata(PATH_METADATA, controller)].flat() as string[]) {
        const route = `${method} /${prefix}/${Reflect.getMetadata(PATH_METADATA, handler) as string}`;
        routes.push({ route, controller, name, handler });
      }
    }
  }
  return routes;
}

/** Every route of every controller that the module declares. */
export const routes: readonly Route[] = controllers.flatMap(routesOf);
