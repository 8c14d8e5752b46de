/**
 * The warning about a server whose version does not match the extension's; undefined if it does.
 *
 * Major and minor must be equal: a patch release does not change the protocol.
 */
export function mismatch(
  command: string,
  server: string | undefined,
  extension: string,
): string | undefined {
  // a server without a version may be recent enough
  if (server === undefined || majorMinor(server) === majorMinor(extension)) return undefined;
  return (
    `${command} is Warmline ${server}, but this extension needs ${majorMinor(extension)}. ` +
    "Install that version, or use the extension's own environment."
  );
}

function majorMinor(version: string): string {
  return version.split(".").slice(0, 2).join(".");
}
