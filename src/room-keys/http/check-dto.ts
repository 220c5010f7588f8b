import { validateSync } from 'class-validator';
import { badJson } from '../room-keys.errors.js';

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
