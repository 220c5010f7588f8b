/** The controllers as one import of the module has them. */
import type { Type } from '@nestjs/common';
import { BackupKeysController, LegacyBackupKeysController } from './backup-keys.controller.js';
import {
  BackupVersionsController,
  LegacyBackupVersionsController,
} from './backup-versions.controller.js';

/** Those that say which routes there are. */
export const documentedControllers: readonly Type[] = [
  BackupVersionsController,
  BackupKeysController,
];

/**
 * Classes of their own for each import of the module, which carry the decorators of its host: two applications in
 * one process, as in tests, decorate different ones.
 */
export function controllersWith(decorators: readonly ClassDecorator[]): Type[] {
  return [...documentedControllers, LegacyBackupVersionsController, LegacyBackupKeysController].map(
    (base) => {
      const controller = class extends base {};
      Object.defineProperty(controller, 'name', { value: base.name });
      for (const decorate of decorators) decorate(controller);
      return controller;
    },
  );
}
