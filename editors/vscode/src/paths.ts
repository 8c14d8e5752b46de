import { realpathSync } from "node:fs";
import * as path from "node:path";

/** Whether a path does not depend on the current folder or drive. On Windows `\x` and `C:x` do. */
export function isAbsolute(file: string, isWindows: boolean): boolean {
  return isWindows ? /^([A-Za-z]:[\\/]|[\\/]{2}[^\\/])/.test(file) : file.startsWith("/");
}

/** Whether it is a program name, to be searched on the PATH. */
export function isName(program: string): boolean {
  return program !== "" && !/[/\\:]/.test(program) && !/^(~|\.{1,2}$)/.test(program);
}

/** Replaces a leading `~` by the home folder. */
export function expandHome(text: string, home: string): string {
  return text.replace(/^~(?=$|[/\\])/, () => home);
}

/** The problem with a path in a setting; undefined if the path is absolute. */
export function problemOf(file: string, isWindows: boolean): string | undefined {
  if (isAbsolute(file, isWindows)) return undefined;
  return `${file} is a relative path; use an absolute path or one that starts with ~`;
}

/** Whether a file is in one of the folders, by its path or after links are resolved. */
export function isInside(file: string, folders: readonly string[]): boolean {
  const files = [path.resolve(file), real(file)];
  const roots = folders.flatMap((folder) => [path.resolve(folder), real(folder)]);
  return roots.some((root) => files.some((one) => isBelow(one, root)));
}

function isBelow(file: string, folder: string): boolean {
  const relative = path.relative(folder, file);
  return relative !== ".." && !relative.startsWith(`..${path.sep}`) && !path.isAbsolute(relative);
}

function real(file: string): string {
  try {
    return realpathSync.native(file);
  } catch {
    const parent = path.dirname(path.resolve(file));
    return parent === path.resolve(file) ? parent : path.join(real(parent), path.basename(file));
  }
}
