import { realpathSync } from "node:fs";
import * as path from "node:path";

/** Whether a path means the same in each folder. On Windows `\x` and `C:x` do not. */
export function isWhole(file: string, isWindows: boolean): boolean {
  return isWindows ? /^([A-Za-z]:[\\/]|[\\/]{2}[^\\/])/.test(file) : file.startsWith("/");
}

/** Whether it is the name of a program, to be looked for on the PATH. */
export function isName(program: string): boolean {
  return program !== "" && !/[/\\:]/.test(program) && !/^(~|\.{1,2}$)/.test(program);
}

/** A setting's text with the home folder in place of `~`. */
export function expanded(text: string, home: string): string {
  return text.replace(/^~(?=$|[/\\])/, () => home);
}

/** What is wrong with a path that a setting names; undefined where it is whole. */
export function problemOf(file: string, isWindows: boolean): string | undefined {
  if (isWhole(file, isWindows)) return undefined;
  return `${file} is a relative path; use an absolute path or one that starts with ~`;
}

/** Whether a file lies in one of some folders, by its path or by where its links lead. */
export function isInside(file: string, folders: readonly string[]): boolean {
  const files = [path.resolve(file), real(file)];
  const roots = folders.flatMap((folder) => [path.resolve(folder), real(folder)]);
  return roots.some((root) => files.some((one) => isBelow(one, root)));
}

function isBelow(file: string, folder: string): boolean {
  const way = path.relative(folder, file);
  return way !== ".." && !way.startsWith(`..${path.sep}`) && !path.isAbsolute(way);
}

function real(file: string): string {
  try {
    return realpathSync.native(file);
  } catch {
    const parent = path.dirname(path.resolve(file));
    return parent === path.resolve(file) ? parent : path.join(real(parent), path.basename(file));
  }
}
