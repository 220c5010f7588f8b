import { ApiProperty } from '@nestjs/swagger';
import { IsString, Matches, MinLength } from 'class-validator';

export class CreateUserDto {
  @ApiProperty({ example: 'alice' })
  @Matches(/^[a-z0-9._=/+-]{1,200}$/)
  localpart!: string;

  @ApiProperty({ example: 'wonderland' })
  @IsString()
  @MinLength(8)
  password!: string;
}
