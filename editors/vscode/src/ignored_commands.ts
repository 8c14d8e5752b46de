import { statSync } from "node:fs";
import type { Found } from "./server_command";

/** Commands that the user replaced by the extension's own, with their modification times. */
export type IgnoredCommands = Readonly<Record<string, number>>;

/** Adds a command; a missing file is not added. */
export function ignoreCommand(
  ignored: IgnoredCommands,
  { command }: Pick<Found, "command">,
): IgnoredCommands {
  const time = timeOf(command);
  return time === undefined ? ignored : { ...ignored, [command]: time };
}

/** Whether a command is ignored: until its file changes. */
export function isIgnored(ignored: IgnoredCommands, command: string): boolean {
  return ignored[command] !== undefined && ignored[command] === timeOf(command);
}

function timeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs;
}
