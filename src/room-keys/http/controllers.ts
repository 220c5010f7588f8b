/** The controllers as one import of the module has them. */
import type { Type } from '@nestjs/common';
import { BackupKeysController } from './backup-keys.controller.js';
import { BackupVersionsController } from './backup-versions.controller.js';

/** The controllers, which say which routes there are. */
export const roomKeysControllers: readonly Type[] = [
  BackupVersionsController,
  BackupKeysController,
];

/**
 * Classes of their own for each import of the module, which carry the decorators of its host: two applications in
 * one process, as in tests, decorate different ones.
 */
export function controllersWith(decorators: readonly ClassDecorator[]): Type[] {
  return roomKeysControllers.map((base) => {
    const controller = class extends base {};
    Object.defineProperty(controller, 'name', { value: base.name });
    for (const decorate of decorators) decorate(controller);
    return controller;
  });
}
