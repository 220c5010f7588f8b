/** The controllers of one import of the module, and the routes that they define. */
import { RequestMethod, type Type } from '@nestjs/common';
import { METHOD_METADATA, PATH_METADATA } from '@nestjs/common/constants.js';
import type { RoomKeysOperation } from '../room-keys.events.js';
import { BackupKeysController } from './backup-keys.controller.js';
import { BackupVersionsController } from './backup-versions.controller.js';
import { operationOf } from './operation.decorator.js';
import type { Route } from './room-keys.middleware.js';

/** The controllers, which define the routes. */
export const roomKeysControllers: readonly Type[] = [
  BackupVersionsController,
  BackupKeysController,
];

/**
 * Subclasses for each import of the module, with the decorators of its host: two applications in one process, as in
 * tests, must not decorate the same classes.
 */
export function controllersWith(decorators: readonly ClassDecorator[]): Type[] {
  return roomKeysControllers.map((base) => {
    const controller = class extends base {};
    Object.defineProperty(controller, 'name', { value: base.name });
    for (const decorate of decorators) decorate(controller);
    return controller;
  });
}

/** The routes of controllers, from the metadata that Nest's own router reads. */
export function routesOf(controllers: readonly Type[]): Route[] {
  const operationsOf = new Map<string, Map<string, RoomKeysOperation | undefined>>();
  for (const { prototype } of controllers) {
    for (const name of Object.getOwnPropertyNames(prototype)) {
      if (name === 'constructor') continue;
      const handler = (prototype as Record<string, object>)[name];
      if (handler === undefined) continue;
      const path = Reflect.getMetadata(PATH_METADATA, handler) as string | undefined;
      if (path === undefined) continue;
      const method = RequestMethod[Reflect.getMetadata(METHOD_METADATA, handler) as RequestMethod];
      const operations = operationsOf.get(path) ?? new Map<string, RoomKeysOperation | undefined>();
      operations.set(method, operationOf(handler));
      // Express calls the handler of GET for it, and Node sends no body
      if (method === 'GET') operations.set('HEAD', operationOf(handler));
      operationsOf.set(path, operations);
    }
  }
  return [...operationsOf].map(([path, operations]) => ({
    pattern: new RegExp(`^/${path.replace(/^\//, '').replaceAll(/:(\w+)/g, '(?<$1>[^/]+)')}$`),
    operations,
  }));
}
