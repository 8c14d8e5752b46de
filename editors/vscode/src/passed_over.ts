import { statSync } from "node:fs";
import type { Found } from "./server_command";

/** Programs that the user leaves for the extension's own, each until it is another one: by file and time. */
export type Passed = Readonly<Record<string, number>>;

/** Notes a program; one that is not there is not noted. */
export function passOver(passed: Passed, { command }: Pick<Found, "command">): Passed {
  const time = timeOf(command);
  return time === undefined ? passed : { ...passed, [command]: time };
}

/** Whether a program is still the one that was left. */
export function isPassedOver(passed: Passed, command: string): boolean {
  return passed[command] !== undefined && passed[command] === timeOf(command);
}

function timeOf(file: string): number | undefined {
  return statSync(file, { throwIfNoEntry: false })?.mtimeMs;
}
