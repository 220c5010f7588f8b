import { ApiProperty, ApiPropertyOptional } from '@nestjs/swagger';
import { Type } from 'class-transformer';
import {
  IsBoolean,
  IsObject,
  IsOptional,
  IsString,
  MaxLength,
  ValidateNested,
} from 'class-validator';

class DeviceDto {
  @ApiPropertyOptional({ example: 'PHONE' })
  @IsOptional()
  @IsString()
  @MaxLength(255)
  device_id?: string;

  @ApiPropertyOptional({ example: 'My phone' })
  @IsOptional()
  @IsString()
  @MaxLength(255)
  initial_device_display_name?: string;
}

export class IdentifierDto {
  @ApiProperty({ example: 'm.id.user' })
  @IsString()
  type!: string;

  @ApiPropertyOptional({ example: 'alice' })
  @IsOptional()
  @IsString()
  user?: string;
}

export class LoginDto extends DeviceDto {
  @ApiProperty({ example: 'm.login.password' })
  @IsString()
  type!: string;

  @ApiPropertyOptional()
  @IsOptional()
  @IsObject()
  @ValidateNested()
  @Type(() => IdentifierDto)
  identifier?: IdentifierDto;

  /** Deprecated in Matrix, and still sent. */
  @ApiPropertyOptional({ deprecated: true })
  @IsOptional()
  @IsString()
  user?: string;

  @ApiPropertyOptional({ example: 'wonderland' })
  @IsOptional()
  @IsString()
  password?: string;
}

export class AuthenticationDto {
  @ApiProperty({ example: 'm.login.dummy' })
  @IsString()
  type!: string;

  @ApiPropertyOptional({ example: 'wonderland' })
  @IsOptional()
  @IsString()
  password?: string;
}

export class RegisterDto extends DeviceDto {
  @ApiPropertyOptional({ example: 'alice' })
  @IsOptional()
  @IsString()
  username?: string;

  @ApiPropertyOptional({ example: 'wonderland' })
  @IsOptional()
  @IsString()
  password?: string;

  @ApiPropertyOptional({ default: false })
  @IsOptional()
  @IsBoolean()
  inhibit_login?: boolean;

  @ApiPropertyOptional()
  @IsOptional()
  @IsObject()
  @ValidateNested()
  @Type(() => AuthenticationDto)
  auth?: AuthenticationDto;
}

export class DeactivateDto {
  @ApiPropertyOptional()
  @IsOptional()
  @IsObject()
  @ValidateNested()
  @Type(() => AuthenticationDto)
  auth?: AuthenticationDto;
}
