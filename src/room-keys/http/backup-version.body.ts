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
 * @throws 400 for a body that is not an {@link UpdateBackupDto}, or is about another version
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
  // the service refuses an empty one
  if (algorithm !== '') checkId('algorithm', algorithm);
  return { algorithm, authData: auth_data.ascii };
}

/**
 * Checks a DTO by the rules that its class carries.
 *
 * @param where what the error puts before the name of the field
 * @throws 400 `M_BAD_JSON` that names the first field that is wrong
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
