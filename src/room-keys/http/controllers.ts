/** The controllers of one import of the module. */
import type { Type } from '@nestjs/common';
import { BackupKeysController } from './backup-keys.controller.js';
import { BackupVersionsController } from './backup-versions.controller.js';

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
