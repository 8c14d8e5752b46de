/**
 * What to tell of a server of another version than the extension's; undefined where they fit.
 *
 * Major and minor count: a patch changes nothing of what they say to each other.
 */
export function mismatch(
  command: string,
  server: string | undefined,
  extension: string,
): string | undefined {
  // a server that names no version is not known to be too old
  if (server === undefined || majorMinor(server) === majorMinor(extension)) return undefined;
  return (
    `${command} is Warmline ${server}, but this extension needs ${majorMinor(extension)}. ` +
    "Install that version, or use the extension's own environment."
  );
}

function majorMinor(version: string): string {
  return version.split(".").slice(0, 2).join(".");
}
