import { validateSync } from 'class-validator';
import type { BackupInformation } from '../room-key.js';
import { badJson, tooLarge, versionMismatch } from '../room-keys.errors.js';
import { CreateBackupDto, UpdateBackupDto } from './backup-version.dto.js';
import { MAX_MEMBERS } from './json-body.interceptor.js';
import type { JsonBody } from './room-keys.request.js';
import { checkId } from '../json/ids.js';
import { JsonCursor } from '../json/json-cursor.js';
import { RawJson } from '../json/raw-json.js';

/** @throws 400 for a body that is not a {@link CreateBackupDto} */
export function createBackupBody(body: JsonBody): BackupInformation {
  return information(fill(new CreateBackupDto(), body));
}

/**
 * @param version the version in the path
 * @throws 400 for a body that is not an {@link UpdateBackupDto}, or has another version
 */
export function updateBackupBody(body: JsonBody, version: string): BackupInformation {
  const dto = fill(new UpdateBackupDto(), body);
  if (dto.version !== undefined && dto.version !== version) throw versionMismatch();
  return information(dto);
}

function fill<T extends CreateBackupDto | UpdateBackupDto>(dto: T, { text }: JsonBody): T {
  const cursor = new JsonCursor(text);
  if (!cursor.isObject) throw badJson('The body must be an object.');
  const given = new Set<string>();
  cursor.object((name) => {
    if (given.has(name)) throw badJson('The body has the same name twice.');
    given.add(name);
    if (given.size > MAX_MEMBERS) throw tooLarge(`The body has more than ${MAX_MEMBERS} members.`);
    if (name === 'auth_data') dto.auth_data = new RawJson(cursor.value());
    else if (name === 'algorithm') dto.algorithm = JSON.parse(cursor.value()) as string;
    else if (name === 'version' && dto instanceof UpdateBackupDto) {
      dto.version = JSON.parse(cursor.value()) as string;
    }
  });
  return checkDto(dto);
}

function information({ algorithm, auth_data }: CreateBackupDto): BackupInformation {
  // an empty one is refused by the service
  if (algorithm !== '') checkId('algorithm', algorithm);
  return { algorithm, authData: auth_data.ascii };
}

/**
 * Validates a DTO by the decorators of its class.
 *
 * @param where prefix of the field name in the error
 * @throws 400 `M_BAD_JSON` naming the first invalid field
 */
export function checkDto<T extends object>(dto: T, where = ''): T {
  const [fault] = validateSync(dto, {
    stopAtFirstError: true,
    validationError: { target: false, value: false },
  });
  if (fault)
    throw badJson(`${where}${Object.values(fault.constraints ?? {})[0] ?? fault.property}`);
  return dto;
}
